"""A function that ends its container on demand does not have the machine start one after the other.

A crash among good calls costs nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from juliabox_services.api import crashes, fleet
from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.models import Version
from support.engine_stand import Stand, standing, version
from support.waiting import LoopClock, until

#: Function that ends its container -> what the caller is told.
ENDS = {"die": 502, "starve": 502, "exit": 500, "hang": 504, "mumble": 502}


@pytest.fixture
async def stand(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    """An engine that makes containers for calls alone: its look at all of them does not come."""
    monkeypatch.setattr(fleet, "TICK_SECONDS", 600.0)
    async with standing(idle=2400.0) as made:
        yield made


@pytest.fixture(autouse=True)
def pause(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds of the first pause, within which a busy machine makes a call."""
    monkeypatch.setattr(crashes, "FIRST_PAUSE", 10.0)
    return 10.0


async def crash(
    stand: Stand, of: Version, function: str = "die", clock: LoopClock | None = None
) -> CallError:
    """Let a function end its container; return the error when that is gone.

    The time of a call that hangs is over as soon as it is carried out, by the clock.
    """
    done = len(stand.containers.executed)
    call = asyncio.create_task(stand.call(of, function))
    if function == "hang":
        assert clock is not None
        await until(lambda: call.done() or len(stand.containers.executed) > done)
        clock.later(20.0)
    with pytest.raises(CallError) as caught:
        await call
    await until(lambda: not stand.engine.load(of.publisher, of.api).containers)
    return caught.value


async def refused(stand: Stand, of: Version) -> CallError:
    """Make a call that is refused at once, since the next container has to wait."""
    made, begun = len(stand.containers.made), time.monotonic()
    with pytest.raises(CallError) as caught:
        await stand.call(of, "echo")
    assert (caught.value.code, caught.value.http_status) == ("api.crashing", 503)
    assert time.monotonic() - begun < 5.0
    assert len(stand.containers.made) == made
    return caught.value


@pytest.mark.parametrize("function", ENDS)
async def test_after_a_few_crashes_in_a_row_the_next_container_has_to_wait(
    stand: Stand, function: str, clock: LoopClock, pause: float
) -> None:
    one = version()
    for _ in range(crashes.IN_A_ROW):
        assert (await crash(stand, one, function, clock)).http_status == ENDS[function]
    assert 1 < (await refused(stand, one)).retry_after <= pause + 1
    told = [text for kind, text in stand.news if kind == "container"]
    assert told[-1].endswith("; 3 in a row, so the next waits for 10 s")
    clock.later(pause)
    assert (await crash(stand, one, function, clock)).http_status == ENDS[function]
    clock.later(pause)  # it grows
    await refused(stand, one)
    clock.later(pause)
    assert (await stand.call(one, "echo")).body
    assert (await crash(stand, one, function, clock)).http_status == ENDS[function]
    assert (await stand.call(one, "echo")).body


async def test_a_crash_now_and_then_among_good_calls_costs_nothing(stand: Stand) -> None:
    one = version()
    for _ in range(2 * crashes.IN_A_ROW):
        assert (await stand.call(one, "echo")).body
        for _ in range(crashes.IN_A_ROW - 1):
            assert (await crash(stand, one)).code == "api.crash"


async def test_quiet_time_is_as_good_as_a_good_call(stand: Stand, clock: LoopClock) -> None:
    one = version()
    for _ in range(crashes.IN_A_ROW - 1):
        await crash(stand, one)
    clock.later(crashes.QUIET)
    await crash(stand, one)
    assert (await stand.call(one, "echo")).body


async def test_containers_that_die_together_are_one_accident(stand: Stand) -> None:
    one = version(maximum=6)
    running = [asyncio.create_task(stand.call(one, "hold")) for _ in range(6)]
    await until(lambda: len(stand.containers.executed) == 6)
    assert len(stand.containers.running) > crashes.IN_A_ROW
    for container in stand.containers.running:
        container.die()
    await asyncio.gather(*running, return_exceptions=True)
    await until(lambda: not stand.engine.load("ada", "sums").containers)
    assert (await stand.call(one, "echo")).body


async def test_who_goes_away_at_once_is_counted_and_so_are_those_who_call_together(
    stand: Stand,
) -> None:
    one = version(maximum=4)

    async def hasty() -> None:
        call = asyncio.create_task(stand.call(one, "die"))
        done = len(stand.containers.executed)
        await until(lambda: len(stand.containers.executed) > done or call.done())
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    async def again_and_again() -> None:
        for _ in range(40):
            await hasty()

    await asyncio.gather(*(again_and_again() for _ in range(4)))
    assert len(stand.containers.made) <= 8 * crashes.IN_A_ROW
    await until(lambda: not stand.engine.load("ada", "sums").containers)
    await refused(stand, one)


async def test_calls_that_wait_are_told_and_one_container_alone_is_tried_after_the_pause(
    stand: Stand, clock: LoopClock, pause: float
) -> None:
    one = version(maximum=4)
    for _ in range(crashes.IN_A_ROW - 1):
        await crash(stand, one)
    ending = asyncio.create_task(crash(stand, one))
    await until(lambda: len(stand.containers.made) == crashes.IN_A_ROW)
    calls = [asyncio.create_task(stand.call(one, "echo")) for _ in range(8)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    await ending
    assert {one.code for one in found if isinstance(one, CallError)} == {"api.crashing"}
    assert len(stand.containers.made) == crashes.IN_A_ROW
    clock.later(pause)
    made, executed = len(stand.containers.made), len(stand.containers.executed)
    calls = [asyncio.create_task(stand.call(one, "hold"))]
    calls += [asyncio.create_task(stand.call(one, "wait", 0.3)) for _ in range(7)]
    await until(lambda: len(stand.containers.executed) > executed)
    await asyncio.sleep(0.7)  # by which more would be made for calls that take long
    assert len(stand.containers.made) == made + 1
    stand.containers.go.set()
    assert all(answer.body for answer in await asyncio.gather(*calls))
    assert len(stand.containers.made) > made + 1  # once one was good


async def test_who_makes_good_calls_between_crashes_has_no_containers_without_end_either(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashes, "A_MINUTE", 6)
    one = version()
    for _ in range(6):
        assert (await stand.call(one, "echo")).body
        assert (await crash(stand, one)).code == "api.crash"
    assert (await stand.call(one, "echo")).body
    assert (await crash(stand, one)).code == "api.crash"
    assert (await refused(stand, one)).retry_after > 5
    told = [text for kind, text in stand.news if kind == "container"]
    assert "; more than 6 in a minute, so the next waits for" in told[-1]
