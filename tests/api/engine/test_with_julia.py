"""The engine with a real manager and real workers: Julia in containers, nothing in between."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import docker
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from juliabox_cli.image_build import ensure_images
from juliabox_manager.protocol import ApiContainer, ApiList
from juliabox_services.api.back import Engine
from juliabox_services.api.engine_contract import Answer, Call, CallError
from juliabox_services.api.models import Function, Version
from juliabox_services.api.settings import Bounds
from juliabox_spawner.client import ManagerClient
from support.engine_stand import version
from support.manager_process import MIB, ManagerProcess, installation
from support.waiting import measured, until

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("patient")]

ROOT = Path(__file__).resolve().parents[3]
SOURCE = """
function fib(n)
    a, b = 0, 1
    for _ in 1:n
        a, b = b, a + b
    end
    return a
end
nap(seconds) = (sleep(seconds); seconds)
spin() = while true end
boom() = sqrt(-1.0)
crash() = unsafe_store!(Ptr{Int}(8), 1)
leave() = exit(3)
eat() = (x = Any[]; while true push!(x, ones(UInt8, 10_000_000)) end)
squares(n) = JuliaBox.Stream(i^2 for i in 1:n)
state = Ref(0)
count() = (state[] += 1)
"""
NAMES = ["fib", "nap", "spin", "boom", "crash", "leave", "eat", "squares", "count"]
BOUNDS = Bounds(idle=60.0, pids=64, load_timeout=120.0)


@pytest.fixture(scope="module")
def place() -> Iterator[ManagerProcess]:
    """A manager that makes API containers of Julia, reached from this machine."""
    engine = docker.from_env(timeout=600)
    image = ensure_images(ROOT, engine=engine)["julia-api"]
    engine.close()
    limits = {"memory": 1024 * MIB, "cpu": 2.0, "pids": 128, "disk": 0}
    with installation(7, image, api={"image_id": image, "ceilings": limits, "pool": 1}) as made:
        # the bridge's own address is the first of those that containers get
        upper = list(ipaddress.ip_network(made.subnet).subnets())[1]
        made.changes["api"]["trusted"] = [str(upper.network_address)]
        made.write_settings()
        made.start()
        yield made
        print(made.log())


class Running:
    """An engine on that manager."""

    def __init__(self, engine: Engine, client: ManagerClient) -> None:
        self.engine = engine
        self.client = client

    async def call(
        self, of: Version, function: str, *arguments: Any, seconds: float = 200
    ) -> Answer:
        deadline = time.monotonic() + seconds
        encoded = json.dumps(arguments).encode()
        call = Call(
            request=uuid.uuid4().hex, function=function, arguments=encoded, deadline=deadline
        )
        return await self.engine.call(of, call)

    async def fails(self, of: Version, function: str, *arguments: Any, seconds: float = 200) -> Any:
        with pytest.raises(CallError) as caught:
            await self.call(of, function, *arguments, seconds=seconds)
        return caught.value

    async def without(self, containers: set[str], seconds: float) -> None:
        """Wait until none of these containers is there."""
        async with asyncio.timeout(seconds):
            while containers & set(await self.containers()):  # noqa: ASYNC110  (nobody tells)
                await asyncio.sleep(0.05)

    async def all(self) -> list[ApiContainer]:
        found = await self.client.call(ApiList())
        return [one for one in found if not one.retired]

    async def containers(self) -> list[str]:
        return [one.container for one in await self.all()]


@pytest.fixture
async def running(place: ManagerProcess) -> AsyncIterator[Running]:
    client = place.client()
    await place.ready(client)
    engine = Engine(BOUNDS, client, CollectorRegistry())
    await engine.open()
    yield Running(engine, client)
    await engine.close()
    assert await Running(engine, client).containers() == []
    client.close()


def published(**options: Any) -> Version:
    functions = [Function(name=name) for name in NAMES]
    return msgspec.structs.replace(version(source=SOURCE, **options), functions=functions)


async def test_functions_answer_err_and_yield(running: Running) -> None:
    one = published()
    assert (await running.call(one, "fib", 30)).body == b"832040"
    error = await running.fails(one, "boom")
    assert (error.code, error.frames[0].function) == ("api.error", "boom")
    assert (await running.fails(one, "fib", 1, 2)).code == "api.arguments"
    items = (await running.call(one, "squares", 4)).items
    assert items is not None
    assert [item async for item in items] == [b"1", b"4", b"9", b"16"]
    assert len(await running.containers()) == 1


async def test_a_call_that_never_returns_is_killed_a_second_after_its_time_at_most(
    running: Running,
) -> None:
    one = published()
    for took in measured(3.0):
        await running.call(one, "fib", 1)
        (container,) = await running.containers()
        begun = time.monotonic()
        assert (await running.fails(one, "spin", seconds=2.0)).code == "api.timeout"
        took.append(time.monotonic() - begun)
        await running.without({container}, 60.0)


@pytest.mark.parametrize(
    ("function", "words"), [("crash", "exit code 139"), ("eat", "ran out of its memory")]
)
async def test_a_worker_that_dies_in_a_call_is_told_and_replaced(
    running: Running, function: str, words: str
) -> None:
    one = published()
    error = await running.fails(one, function)
    assert (error.code, error.http_status) == ("api.crash", 502)
    assert words in error.message
    assert (await running.call(one, "fib", 3)).body == b"2"


async def test_code_that_ends_julia_is_told_and_harms_no_other_call(running: Running) -> None:
    one = published()
    assert "ended Julia" in (await running.fails(one, "leave")).message
    assert (await running.call(one, "fib", 3)).body == b"2"


async def test_who_ends_julia_again_and_again_has_few_containers_started(running: Running) -> None:
    one, codes, end = published(), Counter[str](), time.monotonic() + 8.0
    async with asyncio.timeout(120):
        # a slow machine starts less than three by then
        while time.monotonic() < end or not codes["api.crashing"]:
            codes[(await running.fails(one, "leave")).code] += 1
            await asyncio.sleep(0.05)
    print(codes)
    assert codes["api.crashing"] > 0
    assert codes["api.error"] <= 6  # three at once, then after pauses of 1, 2 and 4 s
    assert codes.total() == codes["api.crashing"] + codes["api.error"]


async def test_versions_keep_their_state_to_themselves(running: Running) -> None:
    first, second = published(), published(publisher="bob")
    assert [(await running.call(first, "count")).body for _ in range(2)] == [b"1", b"2"]
    assert (await running.call(second, "count")).body == b"1"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("f(x) = x", ""),
        ("f(x) = (\n", "source.syntax"),
        ("error(1)", "source.error"),
        ("using Mine", "source.error"),
        ("g(x) = x", "source.missing"),
        ("unsafe_store!(Ptr{Int}(8), 1)", "source.crash"),
    ],
)
async def test_sources_are_looked_at(running: Running, source: str, code: str) -> None:
    checked = await running.engine.check("ada", "sums", source, ["f"])
    assert checked.code == code, checked
    assert "Pkg.add" not in checked.message


async def test_a_look_whose_container_is_killed_from_outside_is_made_once_more(
    running: Running, place: ManagerProcess
) -> None:
    source = 'touch("/tmp/begun")\nsleep(6)\nf(x) = x'
    looking = asyncio.create_task(running.engine.check("ada", "sums", source, ["f"]))
    async with asyncio.timeout(60):
        while not (  # noqa: ASYNC110  (nobody tells)
            found := [one for one in await running.all() if one.state == "running"]
        ):
            await asyncio.sleep(0.05)
    (container,) = [
        one
        for one in await asyncio.to_thread(place.containers)
        if one["Config"]["Labels"]["juliabox.session"] == found[0].container
    ]
    pid = container["State"]["Pid"]
    # before that nothing is known of the source, and a look whose container goes is not repeated
    await until(Path(f"/proc/{pid}/root/tmp/begun").exists)
    os.kill(pid, signal.SIGKILL)
    checked = await looking
    assert (checked.code, [one.name for one in checked.functions]) == ("", ["f"])


async def test_running_containers_serve_while_the_manager_is_dead_and_after_it(
    running: Running, place: ManagerProcess
) -> None:
    one = published()
    await running.call(one, "count")
    place.kill()
    assert (await running.call(one, "count")).body == b"2"
    place.start()
    await place.ready(running.client)
    await asyncio.sleep(3)
    assert (await running.call(one, "count")).body == b"3"


async def test_a_new_engine_ends_what_the_one_before_left(place: ManagerProcess) -> None:
    client = place.client()
    await place.ready(client)
    dead = Running(Engine(BOUNDS, client, CollectorRegistry()), client)
    await dead.call(published(), "fib", 1)
    left = set(await dead.containers())
    assert left
    following = Engine(BOUNDS, client, CollectorRegistry())
    await following.open()
    await dead.without(left, 60.0)
    await following.close()
    await dead.engine.close()
    client.close()
