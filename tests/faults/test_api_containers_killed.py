"""The manager killed with SIGKILL at every step of an API container's life, and started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.protocol import (
    ApiContainer,
    ApiCreate,
    ApiList,
    ApiRetire,
    ApiStart,
    PoolList,
)
from juliabox_manager.records import STEPS
from juliabox_spawner.client import ManagerClient
from support import tiny_image
from support.machine import policy_in_place
from support.manager_process import API_IMAGE, API_LIMITS, MIB, ManagerProcess, installation

pytestmark = pytest.mark.engine

CREATE = ApiCreate("ada", "fib", 1, API_LIMITS)
ENVIRONMENT = {"JULIABOX_WORKER_KEY": "canary"}

#: Steps of a life in a container of its own, and of one in a warm container.
WARM = ("create.claimed", "start.warm", "start.running", "end.stopping")
COLD = [step for step in STEPS if step not in {"create.claimed", "create.vacant", "start.warm",
                                               "start.replacing"}]  # fmt: skip
#: One kill in each stretch of a life; the soak kills before and after every step.
SAMPLE = {
    "before:create.recorded",
    "after:create.container",
    "after:start.started",
    "after:start.releasing",
    "before:end.stopped",
    "after:end.container",
}
COLD_KILLS = [
    pytest.param(step, when, marks=() if f"{when}:{step}" in SAMPLE else pytest.mark.soak)
    for step in COLD
    for when in ("before", "after")
]
WARM_KILLS = [
    pytest.param(step, when, marks=() if when == "after" else pytest.mark.soak)
    for step in WARM
    for when in ("before", "after")
]


@pytest.fixture(scope="module")
def place() -> Iterator[ManagerProcess]:
    """An installation whose manager each test starts and kills."""
    api = {"image_id": tiny_image.make_api(), "warm_memory": 64 * MIB}
    with installation(4, tiny_image.make(), api=api) as made:
        yield made


@pytest.fixture
async def engine(place: ManagerProcess) -> AsyncIterator[ManagerClient]:
    """A client that outlives managers, as the API engine does."""
    client = place.client()
    yield client
    client.close()
    place.kill()
    print(place.log())  # shown with a failure


def with_pool(place: ManagerProcess, size: int) -> None:
    """Let the next manager keep so many API containers warm."""
    place.changes["api"]["pool"] = size
    place.write_settings()


async def a_life(engine: ManagerClient) -> ApiContainer:
    """Create, start and retire a container, repeating what got no answer."""
    made = await engine.call(CREATE, 60.0)
    info: ApiContainer = await engine.call(ApiStart(made.container, ENVIRONMENT), 60.0)
    await engine.call(ApiRetire(info.container, 1.0), 60.0)
    return info


async def none_left(place: ManagerProcess, engine: ManagerClient) -> None:
    """Retire what there is, as an engine does as it starts; see that nothing is left of it."""
    for one in await engine.call(ApiList()):
        await engine.call(ApiRetire(one.container), 60.0)
    left: object = None
    for _ in range(600):
        warm = sum(one.ready for one in await engine.call(PoolList()))
        left = (len(place.containers()), len(place.slots()), await engine.call(ApiList()))
        if left == (warm, warm, []):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"left over: {left}\n{place.log()}")


async def killed_once(place: ManagerProcess, engine: ManagerClient, kill_at: str) -> None:
    """Live through a life whose manager dies at a step; see that it, or the next one, succeeds."""
    life = asyncio.create_task(a_life(engine))
    await asyncio.to_thread(place.wait, 60.0)
    place.start()
    await place.ready(engine, 60.0)
    try:
        info = await asyncio.wait_for(life, 120.0)
        assert info.state == "running"
    except JuliaBoxError as error:
        # what a restart made impossible is told, and asked for anew
        told = {"not_found.api_container", "session.ended", "session.stopping"}
        assert error.code in told, f"{kill_at}: {error.code} {error.message}"
        assert (await a_life(engine)).state == "running"
    await none_left(place, engine)


@pytest.mark.parametrize(("step", "when"), COLD_KILLS)
async def test_a_kill_at_a_step_leaves_nothing_and_the_repeated_request_succeeds(
    place: ManagerProcess, engine: ManagerClient, step: str, when: str
) -> None:
    with_pool(place, 0)
    place.start(kill_at=f"{when}:{step}")
    await place.ready(engine, 60.0)
    await killed_once(place, engine, f"{when}:{step}")
    assert place.containers() == []


@pytest.mark.parametrize(("step", "when"), WARM_KILLS)
async def test_a_kill_in_a_claim_leaves_a_blank_container_or_none(
    place: ManagerProcess, engine: ManagerClient, step: str, when: str
) -> None:
    with_pool(place, 1)
    place.start(kill_at=f"{when}:{step}")
    await place.ready(engine, 60.0)
    for _ in range(600):
        if any(one.image == API_IMAGE and one.ready for one in await engine.call(PoolList())):
            break
        await asyncio.sleep(0.1)
    await killed_once(place, engine, f"{when}:{step}")


async def test_running_ones_outlive_many_managers_with_their_networks_closed(
    place: ManagerProcess, engine: ManagerClient
) -> None:
    with_pool(place, 0)
    place.start()
    await place.ready(engine, 60.0)
    made = await engine.call(CREATE, 60.0)
    info = await engine.call(ApiStart(made.container, ENVIRONMENT), 60.0)
    for _ in range(3):
        place.kill()
        place.start()
        await place.ready(engine, 60.0)
        assert await engine.call(ApiList()) == [info]
    (container,) = place.containers()
    assert policy_in_place(container)
    await none_left(place, engine)
