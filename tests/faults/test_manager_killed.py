"""The manager killed with SIGKILL at every named step, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.protocol import (
    SessionCreate,
    SessionInfo,
    SessionInspect,
    SessionList,
    SessionRemove,
    SessionStart,
    SessionStop,
    Verb,
)
from juliabox_manager.records import STEPS
from juliabox_spawner.client import ManagerClient
from support import tiny_image
from support.manager_process import IMAGE, LIMITS, ManagerProcess, inside, installation, started

pytestmark = pytest.mark.engine

CREATE = SessionCreate("ada", "", IMAGE, LIMITS)
ENVIRONMENT = {"TOKEN": "canary"}


@pytest.fixture(scope="module")
def place() -> Iterator[ManagerProcess]:
    """An installation whose manager each test starts and kills."""
    with installation(2, tiny_image.make()) as made:
        yield made


@pytest.fixture
async def hub(place: ManagerProcess) -> AsyncIterator[ManagerClient]:
    """A client that outlives managers."""
    client = place.client()
    yield client
    client.close()
    place.kill()
    print(place.log())  # shown with a failure


async def a_life(hub: ManagerClient, made: SessionInfo | None = None) -> SessionInfo:
    """Create, start and stop a session, as a hub would that repeats what got no answer."""
    made = made or await hub.call(CREATE, 60.0)
    await hub.call(SessionStart(made.session, ENVIRONMENT), 60.0)
    return await hub.call(SessionStop(made.session, 2.0), 60.0)  # type: ignore[no-any-return]


async def until_killed(place: ManagerProcess, hub: ManagerClient) -> asyncio.Task[SessionInfo]:
    """Live through a life until the manager dies of it; the hub goes on asking."""
    life = asyncio.create_task(a_life(hub))
    await asyncio.to_thread(place.wait)
    return life


async def settled(place: ManagerProcess, hub: ManagerClient) -> None:
    """Remove all sessions and see that nothing is left of them."""
    for info in await hub.call(SessionList()):
        await hub.call(SessionRemove(info.session), 60.0)
    left: object = None
    for _ in range(600):
        left = (place.containers(), place.mounts(), place.loops(), place.slots())
        if left == ([], [], [], []):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"left over: {left}\n{place.log()}")


#: One kill in each stretch of a life; the soak kills before and after every step.
SAMPLE = {
    "before:create.recorded",
    "after:create.slot",
    "before:create.container",
    "after:create.container",
    "after:start.starting",
    "before:start.started",
    "before:start.running",
    "after:end.stopping",
    "before:end.detached",
    "after:end.container",
}
KILLS = [
    pytest.param(step, when, marks=() if f"{when}:{step}" in SAMPLE else pytest.mark.soak)
    for step in STEPS
    for when in ("before", "after")
]


@pytest.mark.parametrize(("step", "when"), KILLS)
async def test_a_kill_at_a_step_leaves_nothing_and_the_repeated_request_succeeds(
    place: ManagerProcess, hub: ManagerClient, step: str, when: str
) -> None:
    place.start(kill_at=f"{when}:{step}")
    life = await until_killed(place, hub)
    assert len(place.containers()) <= 1
    place.start()
    await place.ready(hub)
    # the hub repeats its request by the same id until it is answered
    try:
        info = await asyncio.wait_for(life, 120.0)
        assert info.state == "ended"
    except JuliaBoxError as error:
        # what a restart made impossible is told, and asked for anew
        assert error.code in {"not_found.session", "session.ended"}, error.message
        assert (await a_life(hub)).state == "ended"
    assert place.containers() == []
    if step.startswith("end."):
        info = await started(hub, **ENVIRONMENT)
        assert inside(info.container, "open('/home/juser/works', 'w').write('yes')")[0] == 0
    await settled(place, hub)


@pytest.mark.parametrize("step", ["start.started", "start.mounted", "start.releasing"])
async def test_a_start_that_was_cut_off_goes_on_in_the_same_container(
    place: ManagerProcess, hub: ManagerClient, step: str
) -> None:
    place.start(kill_at=step)
    await place.ready(hub)
    made = await hub.call(CREATE, 60.0)
    starting = asyncio.create_task(hub.call(SessionStart(made.session, ENVIRONMENT), 120.0))
    await asyncio.to_thread(place.wait)
    place.start()
    info = await starting
    assert (info.state, info.container) == ("running", made.container)
    code, printed = inside(info.container, "import os; print(os.listdir('/home/juser'))")
    assert code == 0 and ".jupyter" in printed
    await settled(place, hub)


async def test_running_sessions_outlive_the_manager_and_their_homes_stay_locked(
    place: ManagerProcess, hub: ManagerClient
) -> None:
    place.start()
    await place.ready(hub)
    info = await started(hub, **ENVIRONMENT)
    place.kill()
    place.start()
    await place.ready(hub)
    seen = await hub.call(SessionInspect(info.session))
    assert (seen.state, seen.container, seen.address) == ("running", info.container, info.address)
    assert inside(info.container, "open('/home/juser/after', 'w').write('yes')")[0] == 0
    second = await started(hub, server="second")
    assert inside(second.container, "print(open('/home/juser/after').read())")[1] == "yes\n"
    assert len(place.loops()) == 1
    await settled(place, hub)


async def test_a_session_that_died_while_the_manager_was_away_has_ended(
    place: ManagerProcess, hub: ManagerClient
) -> None:
    place.start()
    await place.ready(hub)
    info = await started(hub, **ENVIRONMENT)
    place.kill()
    os.kill(place.containers()[0]["State"]["Pid"], 9)
    place.start()
    await place.ready(hub)
    for _ in range(600):
        seen = await hub.call(SessionInspect(info.session))
        if seen.state == "ended":
            break
        await asyncio.sleep(0.05)
    assert (seen.state, seen.exit.reason) == ("ended", "It was killed from outside.")
    await settled(place, hub)


ROUNDS = int(os.environ.get("JULIABOX_SOAK_KILLS", "2"))


async def test_random_kills_leave_nothing_and_everybody_can_start(
    place: ManagerProcess, hub: ManagerClient, chance: random.Random
) -> None:
    """``JULIABOX_SOAK_KILLS`` sets the number of kills."""
    for number in range(ROUNDS):
        place.start()
        await place.ready(hub)
        owners = [f"owner-{n}" for n in range(3)]
        lives = [asyncio.create_task(_tries(hub, owner)) for owner in owners]
        await asyncio.sleep(chance.uniform(0.0, 3.0))
        place.kill()
        assert _doubles(place) == [], number
        place.start()
        async with asyncio.timeout(120):
            infos = await asyncio.gather(*lives)
        assert {info.state for info in infos} == {"running"}, number
        assert _doubles(place) == [], number
        await settled(place, hub)
        place.stop()


async def _tries(hub: ManagerClient, owner: str) -> SessionInfo:
    """Start a session as a person would who tries again."""
    end = time.monotonic() + 100
    while time.monotonic() < end:
        with contextlib.suppress(JuliaBoxError):
            made = await _call(hub, SessionCreate(owner, "", IMAGE, LIMITS))
            if made is not None:
                info = await _call(hub, SessionStart(made.session, ENVIRONMENT))
                if info is not None:
                    return info
        await asyncio.sleep(0.2)
    raise AssertionError(f"{owner} could not start")


async def _call(hub: ManagerClient, verb: Verb) -> SessionInfo | None:
    try:
        return await hub.call(verb, 30.0)  # type: ignore[no-any-return]
    except JuliaBoxError as error:
        if error.code == "session.exists":
            found = [i for i in await hub.call(SessionList()) if i.owner == verb.owner]  # type: ignore[attr-defined]
            return found[0] if found else None
        return None


def _doubles(place: ManagerProcess) -> list[str]:
    owners = [c["Config"]["Labels"]["juliabox.session"] for c in place.containers()]
    return [owner for owner in set(owners) if owners.count(owner) > 1]
