"""The manager is away, a container cannot be had, the engine is stopped: never a wrong answer."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from juliabox_manager import protocol as p
from juliabox_services.api import fate, machine, pool
from juliabox_services.api.container import CONNECT_SECONDS, FATE_SECONDS
from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.settings import Bounds
from support.engine_stand import Stand, standing, version
from support.waiting import LoopClock, until


async def test_running_containers_serve_while_the_manager_is_away(stand: Stand) -> None:
    one, other = version(), version(api="other")
    await stand.call(one, "echo")
    stand.containers.away = True
    assert (await stand.call(one, "echo", 2)).body
    with pytest.raises(CallError) as caught:
        await stand.call(other, "echo")
    assert (caught.value.code, caught.value.http_status) == ("api.starting", 503)
    assert caught.value.retry_after >= 1
    stand.containers.away = False  # the engine's end would wait for it


async def test_calls_are_refused_at_once_while_it_is_known_that_no_container_can_be_had(
    stand: Stand, clock: LoopClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "FIRST_PAUSE", pool.LONGEST_PAUSE)
    one = version()
    stand.containers.away = True
    for _ in range(3):
        with pytest.raises(CallError):
            await stand.call(one, "echo")
        await asyncio.sleep(0)
    with pytest.raises(CallError) as caught:
        await stand.call(one, "echo")
    assert caught.value.retry_after >= 1
    assert stand.containers.asked["ApiCreate"] == 1
    stand.containers.away = False
    clock.later(pool.LONGEST_PAUSE)
    assert (await stand.call(one, "echo")).body


async def test_a_container_that_must_go_is_ended_when_the_manager_is_back(
    stand: Stand, clock: LoopClock
) -> None:
    one = version()
    await stand.call(one, "echo")
    running = asyncio.create_task(stand.call(one, "hang", seconds=20.0))
    await until(lambda: len(stand.containers.executed) == 2)
    stand.containers.away = True
    clock.later(20.0)
    with pytest.raises(CallError, match="in time"):
        await running
    await asyncio.sleep(0.2)
    assert stand.containers.running
    stand.containers.away = False
    await until(lambda: not stand.containers.there)


async def test_the_end_of_a_worker_is_told_at_once_though_the_manager_is_away(
    stand: Stand, clock: LoopClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "LIST_SECONDS", 60.0)
    one = version()
    running = asyncio.create_task(stand.call(one, "hold", seconds=120.0))
    await until(lambda: stand.containers.executed)
    stand.containers.away, stand.containers.silence = True, 60.0
    begun = time.monotonic()
    stand.containers.running[0].die()
    with pytest.raises(CallError) as caught:
        await running
    assert caught.value.code == "api.crash"
    assert time.monotonic() - begun < 20.0
    # the engine's end would wait for it
    stand.containers.away, stand.containers.silence = False, 0.0
    clock.later(60.0)


async def test_what_an_earlier_engine_left_is_taken_away_at_the_start() -> None:
    stand = Stand(Bounds(idle=60.0, load_timeout=20.0))
    verb = p.ApiCreate("eve", "old", 1, p.Limits(2**29, 1.0, 128, 0))
    left = [await stand.containers.call(verb) for _ in range(3)]
    await stand.engine.open()
    await until(lambda: not stand.containers.there)
    assert len(left) == 3
    await stand.engine.close()
    stand.containers.close()


async def test_it_is_taken_away_later_if_the_manager_was_away_at_the_start() -> None:
    stand = Stand(Bounds(idle=60.0, load_timeout=5.0))
    await stand.containers.call(p.ApiCreate("eve", "old", 1, p.Limits(2**29, 1.0, 128, 0)))
    stand.containers.away = True
    await stand.engine.open()
    assert stand.containers.there
    stand.containers.away = False
    await until(lambda: not stand.containers.there)
    await stand.engine.close()
    stand.containers.close()


@pytest.mark.usefixtures("patient")
async def test_a_container_that_dies_while_it_loads_is_tried_once_more(stand: Stand) -> None:
    one = version(source="exit!")
    with pytest.raises(CallError, match="died while it loaded") as caught:
        await stand.call(one, "echo")
    assert (caught.value.code, caught.value.http_status) == ("api.load", 500)
    assert len(stand.containers.made) == 2
    await until(lambda: not stand.containers.there)


async def test_a_container_that_is_killed_from_outside_while_it_loads_is_not_the_source_s_fault(
    stand: Stand,
) -> None:
    one = version(source="kill!")
    with pytest.raises(CallError) as caught:
        await stand.call(one, "echo")
    assert (caught.value.code, caught.value.http_status) == ("api.starting", 503)
    assert caught.value.retry_after >= 1
    assert len(stand.containers.made) == 2


async def test_a_container_that_is_gone_before_it_is_reached_is_found_out_soon(
    stand: Stand,
) -> None:
    stand.containers.stillborn = 1
    one = version()
    begun = time.monotonic()
    assert (await stand.call(one, "echo", seconds=20.0)).body
    assert time.monotonic() - begun < CONNECT_SECONDS
    assert len(stand.containers.made) == 2
    stand.containers.stillborn = 2
    with pytest.raises(CallError) as caught:
        await stand.call(version(api="other"), "echo", seconds=20.0)
    assert (caught.value.code, caught.value.http_status) == ("api.starting", 503)


async def test_none_is_made_before_it_is_known_why_the_last_one_could_not_be_had(
    stand: Stand, clock: LoopClock
) -> None:
    stand.containers.stillborn = 2
    call = asyncio.create_task(stand.call(version(), "echo"))
    await until(lambda: stand.engine._fleet._pools)
    (waiting,) = stand.engine._fleet._pools.values()
    # a test that was not looking for longer than that has missed it
    await until(lambda: call.done() or (waiting.failures and waiting.blocked_until > clock.now()))
    clock.later(FATE_SECONDS)  # the machine stood still
    with pytest.raises(CallError) as caught:
        await call
    assert caught.value.code == "api.starting"
    assert len(stand.containers.made) == 2


async def test_a_source_that_does_not_load_any_more_is_told_with_its_line(stand: Stand) -> None:
    one = version(source="syntax!")
    for _ in range(2):
        with pytest.raises(CallError, match="syntax: incomplete") as caught:
            await stand.call(one, "echo")
        assert (caught.value.code, caught.value.http_status) == ("api.load", 500)
        assert caught.value.frames is not None
        assert caught.value.frames[0].line == 3
    assert len(stand.containers.made) == 1


async def test_a_source_that_never_finishes_is_given_up() -> None:
    async with standing(load_timeout=0.5) as stand:
        with pytest.raises(CallError, match=r"within 0\.5 s") as caught:
            await stand.call(version(source="never!"), "echo")
        assert caught.value.code == "api.load"
        await until(lambda: not stand.containers.there)


async def test_no_room_with_the_manager_is_a_matter_of_trying_again(stand: Stand) -> None:
    one = version()
    stand.containers.room = 0
    with pytest.raises(CallError, match="no room") as caught:
        await stand.call(one, "echo")
    assert (caught.value.code, caught.value.retry_after) == ("api.starting", 2)
    stand.containers.room = 10
    await asyncio.sleep(1.1)
    assert (await stand.call(one, "echo")).body


async def test_a_call_that_no_container_was_ready_for_in_time_was_not_made(stand: Stand) -> None:
    stand.containers.delay = 0.6
    one = version()
    with pytest.raises(CallError) as caught:
        await stand.call(one, "echo", seconds=0.2)
    assert caught.value.code == "api.starting"
    assert stand.containers.executed == []
    assert (await stand.call(one, "echo")).body
    assert len(stand.containers.made) == 1


async def test_an_idle_container_that_dies_is_no_bodys_error(stand: Stand) -> None:
    one = version()
    await stand.call(one, "echo")
    stand.containers.running[0].die()
    await until(lambda: stand.engine.load("ada", "sums").containers == 0)
    assert (await stand.call(one, "echo")).body


async def test_calls_under_way_are_ended_well_when_the_engine_drains(stand: Stand) -> None:
    one = version(maximum=1)
    await stand.call(one, "echo")
    running = [asyncio.create_task(stand.call(one, "hold")) for _ in range(2)]
    await until(lambda: stand.engine.load("ada", "sums").outstanding == 2)
    drained = asyncio.create_task(stand.engine.drain(20.0))
    await asyncio.sleep(0)
    with pytest.raises(CallError) as caught:
        await stand.call(one, "echo")
    assert (caught.value.code, caught.value.http_status) == ("api.draining", 503)
    assert not drained.done()
    begun = time.monotonic()
    stand.containers.go.set()
    await drained
    assert time.monotonic() - begun < 10.0
    assert [answer.body for answer in await asyncio.gather(*running)] == [b'"held"'] * 2


async def test_the_end_of_the_engine_ends_all_containers_and_the_calls_that_are_late() -> None:
    async with standing() as stand:
        one = version()
        running = asyncio.create_task(stand.call(one, "hang", seconds=30))
        await until(lambda: stand.containers.executed)
        await stand.engine.drain(0.1)
        await stand.engine.close()
        with pytest.raises(CallError) as caught:
            await running
        assert caught.value.http_status == 503
        assert stand.containers.there == {}


async def test_an_engine_that_ends_while_containers_start_leaves_none() -> None:
    async with standing() as stand:
        stand.containers.delay = 0.2
        calls = [asyncio.create_task(stand.call(version(api=f"a{n}"), "echo")) for n in range(3)]
        await until(lambda: len(stand.containers.there) == 3)
        await stand.engine.close()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, CallError) for one in results)
        assert stand.containers.there == {}


@pytest.mark.parametrize("seed", range(3))
async def test_a_load_with_kills_answers_each_call_once_or_with_an_error(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fate, "_LOOKS", (0.01,))
    chance = random.Random(seed)
    async with standing() as stand:
        one = version(workers=2, maximum=3)
        failed: list[str] = []
        good: list[int] = []

        async def client(number: int) -> None:
            for turn in range(40):
                mine = number * 1000 + turn
                try:
                    answer = await stand.call(one, "echo", mine)
                except CallError as error:
                    assert error.http_status in (502, 503)
                    failed.append(error.code)
                    await asyncio.sleep(0.05)
                else:
                    assert answer.body.startswith(f"[[{mine}]".encode())
                    good.append(mine)
                await asyncio.sleep(chance.random() * 0.02)

        async def killer() -> None:
            while True:
                # after so many calls: after a time it would be more of them on a busy machine
                last = len(stand.containers.executed) + chance.randrange(20, 50)
                await until(lambda last=last: len(stand.containers.executed) >= last)
                if stand.containers.running:
                    chance.choice(stand.containers.running).die()

        killing = asyncio.create_task(killer())
        await asyncio.gather(*(client(number) for number in range(8)))
        killing.cancel()
        assert len(good) + len(failed) == 320
        assert len(good) > 200
        executed = stand.containers.executed
        assert len(executed) == len(set(executed))
        assert stand.engine.load("ada", "sums").outstanding == 0
