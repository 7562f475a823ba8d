"""Who makes way at the ceilings: everybody gets a turn, and nobody is ended for nothing."""

from __future__ import annotations

import asyncio

import pytest

from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.starts import Starts
from support.engine_stand import standing, until, version


async def test_a_look_gets_its_place_though_another_keeps_containers_ready() -> None:
    async with standing(containers_per_publisher=1) as stand:
        stand.engine.activate(version(minimum=1), "ada", "sums")
        await until(lambda: stand.containers.running)
        assert (await stand.engine.check("ada", "other", "fine", ["f"])).code == ""
        assert len(stand.containers.made) == 2
        assert stand.containers.peak == 1
        await until(lambda: len(stand.containers.made) == 3)


async def test_a_publisher_whose_calls_take_all_containers_can_save_what_mends_it() -> None:
    async with standing(containers_per_publisher=2) as stand:
        busy = version(api="busy")
        stop = asyncio.Event()

        async def client() -> None:
            while not stop.is_set():
                await stand.call(busy, "wait", 0.2, seconds=20.0)

        clients = [asyncio.create_task(client()) for _ in range(8)]
        await until(lambda: len(stand.containers.running) == 2)
        async with asyncio.timeout(5):
            assert (await stand.engine.check("ada", "busy", "fine", ["f"])).code == ""
        stop.set()
        await asyncio.gather(*clients)
        assert stand.containers.peak <= 2


async def test_a_look_ends_nobody_else_s_calls() -> None:
    async with standing(containers=1) as stand:
        one = version()
        await stand.call(one, "echo")
        running = asyncio.create_task(stand.call(one, "wait", 1.0))
        await until(lambda: len(stand.containers.executed) == 2)
        looking = asyncio.create_task(stand.engine.check("eve", "other", "fine", ["f"]))
        waiting = asyncio.create_task(stand.call(one, "wait", 0.1))
        assert (await running).body and (await waiting).body
        assert (await looking).code == ""
        assert [made.verb.publisher for made in stand.containers.made] == ["ada", "eve"]


async def test_who_calls_gets_the_place_of_what_is_only_kept_ready() -> None:
    async with standing(containers=1) as stand:
        stand.engine.activate(version(minimum=1, publisher="bob"), "bob", "sums")
        await until(lambda: stand.containers.running)
        assert (await stand.call(version(), "echo", seconds=3.0)).body
        assert [made.verb.publisher for made in stand.containers.made][:2] == ["bob", "ada"]


async def test_a_container_that_does_not_come_up_holds_up_the_others_for_a_while_only() -> None:
    starts = Starts(most=1, patience=0.2)
    came: list[str] = []

    async def start(name: str, seconds: float) -> None:
        async with starts.turn("ada"):
            came.append(name)
            await asyncio.sleep(seconds)

    slow = asyncio.create_task(start("slow", 1.0))
    await asyncio.sleep(0.01)
    async with asyncio.timeout(0.6):
        await start("next", 0.01)
        await start("last", 0.01)
    assert came == ["slow", "next", "last"]
    await slow
    # the turn was given back once
    two = [asyncio.create_task(start(name, 0.15)) for name in ("one", "two")]
    await asyncio.sleep(0.05)
    assert came[3:] == ["one"]
    await asyncio.gather(*two)


async def test_the_next_turn_is_of_the_publisher_who_has_fewest() -> None:
    starts = Starts(most=2)
    came: list[str] = []
    going: list[asyncio.Event] = []

    async def start(publisher: str) -> None:
        async with starts.turn(publisher):
            came.append(publisher)
            going.append(asyncio.Event())
            await going[-1].wait()

    tasks = [asyncio.create_task(start(name)) for name in ("ada", "ada", "ada", "ada", "bob")]
    await asyncio.sleep(0.01)
    assert came == ["ada", "ada"]
    going[0].set()
    await asyncio.sleep(0.01)
    assert came == ["ada", "ada", "bob"]
    # one who leaves takes no turn along, whether it waits or has just got one
    tasks[2].cancel()
    going[2].set()
    tasks[3].cancel()
    await asyncio.sleep(0.01)
    going[1].set()
    await asyncio.wait(tasks, timeout=2)
    async with asyncio.timeout(1), starts.turn("eve"), starts.turn("eve"):
        pass


async def test_no_look_begins_while_the_engine_ends() -> None:
    async with standing(containers_per_publisher=1) as stand:
        one = version(maximum=1)
        running = asyncio.create_task(stand.call(one, "hang", seconds=30))
        await until(lambda: stand.containers.executed)
        looking = asyncio.create_task(stand.engine.check("ada", "other", "fine", ["f"]))
        await asyncio.sleep(0.1)
        await stand.engine.close()
        with pytest.raises(CallError) as caught:
            await looking
        assert caught.value.code == "api.draining"
        with pytest.raises(CallError):
            await running
        assert len(stand.containers.made) == 1
