"""Functions that yield: item by item, at the reader's speed, to an end or to an error."""

from __future__ import annotations

import asyncio

import pytest

from juliabox_services.api.engine_contract import Answer, CallError
from juliabox_services.api.stream import Items
from support.engine_stand import Stand, version
from support.waiting import LoopClock, until


async def read(answer: Answer) -> list[bytes]:
    assert answer.items is not None
    return [item async for item in answer.items]


async def test_items_come_in_order_and_the_end_tells_of_the_call(stand: Stand) -> None:
    answer = await stand.call(version(), "count", 1000)
    assert await read(answer) == [str(number).encode() for number in range(1000)]
    assert isinstance(answer.items, Items)
    assert (answer.items.seconds, answer.items.printed) == (0.5, "counted\n")
    assert stand.engine.load("ada", "sums").outstanding == 0


async def test_a_function_may_yield_nothing(stand: Stand) -> None:
    assert await read(await stand.call(version(), "count", 0)) == []


async def test_an_error_comes_after_the_items_before_it(stand: Stand) -> None:
    answer = await stand.call(version(), "break", 3)
    assert answer.items is not None
    assert [await anext(answer.items) for _ in range(3)] == [b"0", b"1", b"2"]
    with pytest.raises(CallError, match="broke"):
        await anext(answer.items)


async def test_a_worker_that_dies_ends_the_stream_with_an_error(stand: Stand) -> None:
    one = version(idempotent=["count_and_die"])
    answer = await stand.call(one, "count_and_die", 2)
    assert answer.items is not None
    assert [await anext(answer.items) for _ in range(2)] == [b"0", b"1"]
    with pytest.raises(CallError) as caught:
        await anext(answer.items)
    assert caught.value.code == "api.crash"
    assert len(stand.containers.executed) == 1


async def test_a_stream_counts_as_a_call_until_it_is_over(stand: Stand, clock: LoopClock) -> None:
    answer = await stand.call(version(), "flood", seconds=20.0)
    assert answer.items is not None
    await anext(answer.items)
    assert stand.engine.load("ada", "sums").outstanding == 1
    clock.later(20.0)
    with pytest.raises(CallError) as caught:
        await read(answer)
    assert caught.value.code == "api.timeout"
    assert stand.engine.load("ada", "sums").outstanding == 0
    await until(lambda: not stand.containers.there)


async def test_a_worker_waits_for_a_reader_who_is_slow(stand: Stand) -> None:
    answer = await stand.call(version(), "count", 2000, seconds=30)
    assert answer.items is not None
    await asyncio.sleep(0.3)
    assert stand.engine.load("ada", "sums").outstanding == 1
    assert len(await read(answer)) == 2000


async def test_a_reader_who_goes_away_lets_the_worker_go_on_to_its_end(stand: Stand) -> None:
    one = version(maximum=1)
    answer = await stand.call(one, "count", 1000)
    assert isinstance(answer.items, Items)
    await anext(answer.items)
    await answer.items.aclose()
    assert (await stand.call(one, "echo", 1)).body
    assert len(stand.containers.made) == 1


async def test_a_stream_that_is_forgotten_without_a_word_frees_its_worker(stand: Stand) -> None:
    one = version(maximum=1)
    answer: Answer | None = await stand.call(one, "count", 1000)
    assert answer is not None
    del answer
    assert (await stand.call(one, "echo", 1)).body
    assert len(stand.containers.made) == 1
