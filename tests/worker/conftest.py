"""Workers in API containers of this checkout's image, which is built once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest

from juliabox_cli.image_build import ensure_images
from support.api_worker import ApiContainer, Link, api_container

ROOT = Path(__file__).resolve().parents[2]

#: Functions that most tests call.
SOURCE = '''
"""
    fib(n)

The `n`th Fibonacci number.
"""
function fib(n::Integer)
    a, b = 0, 1
    for _ in 1:n
        a, b = b, a + b
    end
    return a
end

echo(; value) = value
anything(arguments...; keywords...) = (length(arguments), length(keywords))
kind(; value) = string(typeof(value))
'''


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=600)
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> str:
    """Id of the image of API containers."""
    return ensure_images(ROOT, engine=engine)["julia-api"]


@pytest.fixture(scope="module")
def worker(engine: docker.DockerClient, image: str) -> Iterator[Link]:
    """A worker that has loaded ``SOURCE``, for all tests of a module."""
    with api_container(engine, image) as container:
        container.release()
        link = container.link()
        assert link.load(SOURCE, "fib", "echo", "anything", "kind").kind == "loaded"
        yield link


@pytest.fixture
def blank(engine: docker.DockerClient, image: str) -> Iterator[Callable[..., ApiContainer]]:
    """Start containers of the test's own, released, each with a fresh worker or several."""
    with ExitStack() as stack:

        def start(workers: int = 1, result: int = 16 * 1024**2, **more: object) -> ApiContainer:
            container = stack.enter_context(api_container(engine, image, **more))
            container.release(workers, result)
            return container

        yield start


@pytest.fixture(scope="module")
def several(engine: docker.DockerClient, image: str) -> Iterator[Iterator[Link]]:
    """Fresh workers, one after the other: those of two containers with eight each."""
    with ExitStack() as stack:

        def fresh() -> Iterator[Link]:
            while True:
                more = {"mem_limit": "2g", "memswap_limit": "2g", "pids_limit": 256}
                container = stack.enter_context(api_container(engine, image, **more))
                container.release(workers=6)
                yield from (container.link(number) for number in range(6))

        yield fresh()


@pytest.fixture
def fresh(several: Iterator[Link]) -> Link:
    """A worker that has loaded nothing yet."""
    return next(several)
