"""How many containers there are: under load, at rest, at their ceilings, between versions."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.fleet import WATCH_SECONDS
from juliabox_services.api.pool import MOMENT
from support.engine_stand import Stand, standing, version
from support.waiting import unhurried, until


def started(stand: Stand) -> Counter[tuple[str, int]]:
    """Return how many containers were made of each API and version."""
    return Counter((one.verb.api, one.verb.version) for one in stand.containers.made)


async def test_slow_calls_get_a_container_each_up_to_the_maximum(stand: Stand) -> None:
    one = version(maximum=4)
    await stand.call(one, "echo")
    calls = [asyncio.create_task(stand.call(one, "hold")) for _ in range(8)]
    await until(lambda: len(stand.containers.executed) == 1 + 4)
    stand.containers.go.set()
    await asyncio.gather(*calls)
    assert len(stand.containers.made) == 4


async def test_quick_calls_are_not_worth_another_container() -> None:
    async def calls() -> None:
        async with standing() as stand:
            one = version()
            await stand.call(one, "echo")
            await stand.call(one, "echo")

            async def client() -> None:
                for number in range(50):
                    await stand.call(one, "echo", number)

            await asyncio.gather(*(client() for _ in range(16)))
            assert len(stand.containers.made) == 1

    await unhurried(calls, late=MOMENT / 2)


async def test_a_single_slow_call_among_quick_ones_is_worth_one_more_container_at_first() -> None:
    async def calls() -> None:
        async with standing() as stand:
            one = version()
            for _ in range(3):
                await stand.call(one, "echo")
            slow = asyncio.create_task(stand.call(one, "hold"))
            await until(lambda: len(stand.containers.executed) == 4)
            await asyncio.gather(*(stand.call(one, "echo", number) for number in range(15)))
            assert len(stand.containers.made) == 2
            stand.containers.go.set()
            await slow

    await unhurried(calls, late=WATCH_SECONDS / 2)


async def test_a_container_without_calls_goes_after_its_time_and_comes_back() -> None:
    async with standing(idle=0.3) as stand:
        one = version()
        await stand.call(one, "echo")
        await until(lambda: not stand.containers.there)
        assert (await stand.call(one, "echo")).body
        assert stand.figure("juliabox_api_container_ends_total", reason="idle") == 1


async def test_the_minimum_is_made_at_once_and_kept() -> None:
    async with standing(idle=0.2) as stand:
        one = version(minimum=2)
        stand.engine.activate(one, "ada", "sums")
        await until(lambda: len(stand.containers.running) == 2)
        await asyncio.sleep(0.6)
        assert len(stand.containers.made) == 2
        stand.containers.running[0].die()
        await until(lambda: len(stand.containers.running) == 2)
        assert len(stand.containers.made) == 3


async def test_the_calls_follow_one_another_to_the_container_that_was_used_last() -> None:
    async with standing(idle=0.6) as stand:
        one = version(maximum=2)
        await stand.call(one, "echo")
        await asyncio.gather(*(stand.call(one, "wait", 0.3) for _ in range(4)))
        await until(lambda: len(stand.containers.made) == 2)
        async with asyncio.timeout(60):
            while len(stand.containers.there) == 2:
                await stand.call(one, "echo")
                await asyncio.sleep(0.02)
        await stand.call(one, "echo")
        assert len(stand.containers.there) == 1


async def test_a_new_version_takes_over_under_load_without_a_failed_call(stand: Stand) -> None:
    stand.containers.delay = 0.3
    versions = [version(number, maximum=2) for number in (1, 2)]
    active = 0
    stand.engine.activate(versions[0], "ada", "sums")
    await stand.call(versions[0], "echo")
    seen: list[int] = []

    async def client() -> None:
        for _ in range(60):
            of = versions[active]
            answer = await stand.call(of, "echo")
            seen.append(int(answer.body[-2:-1]))
            assert seen[-1] == of.version
            await asyncio.sleep(0.02)

    clients = [asyncio.create_task(client()) for _ in range(8)]
    await until(lambda: len(seen) > 40)
    active = 1
    stand.engine.activate(versions[1], "ada", "sums")
    await asyncio.gather(*clients)
    assert set(seen) == {1, 2}
    await until(lambda: {one.verb.version for one in stand.containers.there.values()} == {2})


async def test_a_call_on_the_old_version_ends_on_it(stand: Stand) -> None:
    old, new = version(1), version(2)
    stand.engine.activate(old, "ada", "sums")
    running = asyncio.create_task(stand.call(old, "hold"))
    await until(lambda: stand.containers.executed)
    stand.engine.activate(new, "ada", "sums")
    assert (await stand.call(new, "echo")).body[-2:-1] == b"2"
    stand.containers.go.set()
    assert (await running).body == b'"held"'
    await until(lambda: len(stand.containers.there) == 1)


async def test_a_version_switched_in_use_has_a_container_before_its_first_call(
    stand: Stand,
) -> None:
    old, new = version(1), version(2)
    stand.engine.activate(old, "ada", "sums")
    await stand.call(old, "echo")
    stand.engine.activate(new, "ada", "sums")
    await until(lambda: [one.verb.version for one in stand.containers.running] == [2])


async def test_an_api_that_is_stopped_loses_its_containers(stand: Stand) -> None:
    one = version(minimum=1)
    stand.engine.activate(one, "ada", "sums")
    await until(lambda: stand.containers.running)
    stand.engine.activate(None, "ada", "sums")
    await until(lambda: not stand.containers.there)
    assert stand.engine.load("ada", "sums").containers == 0


async def test_a_name_that_is_taken_again_does_not_answer_with_what_was_removed(
    stand: Stand,
) -> None:
    first = version(1)
    stand.engine.activate(first, "ada", "sums")
    await stand.call(first, "echo")
    stand.engine.activate(None, "ada", "sums")
    again = version(1, source="other")
    stand.engine.activate(again, "ada", "sums")
    await stand.call(again, "echo")
    assert len(stand.containers.made) == 2


async def test_versions_and_publishers_never_share_a_container(stand: Stand) -> None:
    kinds: list[dict[str, Any]] = [
        {"publisher": publisher, "api": api} for publisher in ("ada", "bob") for api in ("a", "b")
    ]
    all_ = [version(number, **kind) for kind in kinds for number in (1, 2)]
    await asyncio.gather(*(stand.call(one, "echo") for one in all_ for _ in range(5)))
    for container in stand.containers.made:
        assert container.loads <= 1
    made = Counter(
        (one.verb.publisher, one.verb.api, one.verb.version) for one in stand.containers.made
    )
    assert set(made) == {one.key for one in all_}


async def test_a_container_is_replaced_after_so_many_calls(stand: Stand) -> None:
    one = version(recycle_calls=10)
    for turn in range(1, 4):
        for number in range(9):
            await stand.call(one, "echo", number)
            assert len(stand.containers.made) == turn
        await stand.call(one, "echo", 9)
        await until(lambda turn=turn: len(stand.containers.made) == turn + 1)
        await until(lambda: len(stand.containers.there) == 1)
    assert len(stand.containers.executed) == 30


async def test_a_container_whose_memory_grows_is_replaced(stand: Stand) -> None:
    one = version()
    await stand.call(one, "grow", 50_000_000)
    assert len(stand.containers.made) == 1
    await stand.call(one, "grow", 400_000_000)
    await until(lambda: len(stand.containers.made) == 2 and len(stand.containers.there) == 1)
    assert (await stand.call(one, "echo")).body


async def test_a_publisher_has_no_more_containers_than_the_operator_gives() -> None:
    async with standing(containers_per_publisher=3) as stand:
        apis = [version(api=name) for name in ("a", "b")]
        calls = [stand.call(one, "wait", 0.2) for one in apis for _ in range(10)]
        await asyncio.gather(*calls)
        assert stand.containers.peak <= 3
        assert set(started(stand)) == {("a", 1), ("b", 1)}


async def test_an_api_gets_its_turn_though_another_of_the_publisher_has_all_containers() -> None:
    async with standing(containers_per_publisher=2) as stand:
        greedy, other = version(api="greedy"), version(api="other")
        stop = asyncio.Event()

        async def client() -> None:
            while not stop.is_set():
                await stand.call(greedy, "wait", 0.2)

        clients = [asyncio.create_task(client()) for _ in range(6)]
        await until(lambda: len(stand.containers.running) == 2)
        answer = await stand.call(other, "echo")
        stop.set()
        await asyncio.gather(*clients)
        assert answer.body
        assert stand.containers.peak <= 2


async def test_something_idle_makes_way_for_another_publisher() -> None:
    async with standing(containers=2) as stand:
        ada, bob, eve = (version(publisher=name) for name in ("ada", "bob", "eve"))
        await stand.call(ada, "echo")
        await stand.call(bob, "echo")
        await stand.call(eve, "echo")
        owners = {one.verb.publisher for one in stand.containers.there.values()}
        assert owners == {"bob", "eve"}
        assert stand.containers.peak == 2


async def test_a_container_of_a_version_that_nobody_calls_any_more_is_forgotten() -> None:
    async with standing(idle=0.2) as stand:
        old, new = version(1), version(2)
        stand.engine.activate(old, "ada", "sums")
        stand.engine.activate(new, "ada", "sums")
        await stand.call(old, "echo")
        await until(lambda: not stand.containers.there)
        pools = stand.engine._fleet._pools
        await until(lambda: [pool.version for pool in pools.values()] == [new])


async def test_the_workers_of_one_container_carry_out_calls_side_by_side(stand: Stand) -> None:
    one = version(workers=4, memory=1024**3, maximum=1)
    await stand.call(one, "echo")
    calls = [asyncio.create_task(stand.call(one, "hold")) for _ in range(4)]
    await until(lambda: len(stand.containers.executed) == 1 + 4)
    stand.containers.go.set()
    await asyncio.gather(*calls)
    assert sorted(one.calls for one in stand.containers.made[0].workers) == [1, 1, 1, 2]


async def test_figures_tell_what_there_is(stand: Stand) -> None:
    one = version()
    running = asyncio.create_task(stand.call(one, "hold"))
    await until(lambda: stand.containers.executed)
    labels = {"publisher": "ada", "api": "sums"}
    assert stand.figure("juliabox_api_containers", **labels) == 1
    assert stand.figure("juliabox_api_outstanding", **labels) == 1
    stand.containers.go.set()
    await running
    assert stand.figure("juliabox_api_call_seconds_count", **labels) == 1
    assert stand.figure("juliabox_api_container_start_seconds_count") == 1
    with pytest.raises(CallError):
        await stand.call(one, "boom")
    assert stand.figure("juliabox_api_calls_total", outcome="api.error", **labels) == 1
