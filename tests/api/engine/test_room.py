"""Who makes way at the ceilings: everybody gets a turn, and nobody is ended for nothing."""

from __future__ import annotations

import asyncio

import pytest

from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.starts import Starts
from support.engine_stand import standing, version
from support.waiting import until


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
        async with asyncio.timeout(15):  # of the 20 s after which it would be given up
            assert (await stand.engine.check("ada", "busy", "fine", ["f"])).code == ""
        stop.set()
        await asyncio.gather(*clients)
        assert stand.containers.peak <= 2


async def test_a_look_ends_nobody_else_s_calls() -> None:
    async with standing(containers=1) as stand:
        one = version()
        await stand.call(one, "echo")
        running = asyncio.create_task(stand.call(one, "hold"))
        await until(lambda: len(stand.containers.executed) == 2)
        looking = asyncio.create_task(stand.engine.check("eve", "other", "fine", ["f"]))
        waiting = asyncio.create_task(stand.call(one, "echo"))
        await asyncio.sleep(0.5)
        stand.containers.go.set()
        assert (await running).body and (await waiting).body
        assert (await looking).code == ""
        assert [made.verb.publisher for made in stand.containers.made] == ["ada", "eve"]


async def test_who_calls_gets_the_place_of_what_is_only_kept_ready() -> None:
    async with standing(containers=1) as stand:
        stand.engine.activate(version(minimum=1, publisher="bob"), "bob", "sums")
        await until(lambda: stand.containers.running)
        assert (await stand.call(version(), "echo")).body
        assert [made.verb.publisher for made in stand.containers.made][:2] == ["bob", "ada"]


async def test_a_container_that_does_not_come_up_holds_up_the_others_for_a_while_only() -> None:
    starts = Starts(most=1, patience=0.2)
    came: list[str] = []
    up = asyncio.Event()

    async def start(name: str, up: asyncio.Event) -> None:
        async with starts.turn("ada"):
            came.append(name)
            await up.wait()

    slow = asyncio.create_task(start("slow", up))
    await until(lambda: came)
    quick = asyncio.Event()
    quick.set()
    async with asyncio.timeout(20):
        await start("next", quick)
        await start("last", quick)
    assert came == ["slow", "next", "last"]
    up.set()
    await slow
    # the turn was given back once
    up.clear()
    starts._patience = 60.0
    two = [asyncio.create_task(start(name, up)) for name in ("one", "two")]
    await asyncio.sleep(0.05)
    assert came[3:] == ["one"]
    up.set()
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
    await asyncio.sleep(0.05)
    assert came == ["ada", "ada"]
    going[0].set()
    await until(lambda: len(came) > 2)
    assert came == ["ada", "ada", "bob"]
    # one who leaves takes no turn along, whether it waits or has just got one
    tasks[2].cancel()
    going[2].set()
    tasks[3].cancel()
    await asyncio.sleep(0.01)
    going[1].set()
    await asyncio.wait(tasks, timeout=20)
    async with asyncio.timeout(20), starts.turn("eve"), starts.turn("eve"):
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
