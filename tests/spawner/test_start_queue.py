"""The queue of starts: order, room, what people are told, and how one leaves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from juliabox_ext.errors import NoRoomError
from juliabox_manager import protocol as p
from juliabox_spawner import queue_words, start_queue
from juliabox_spawner.failures import StartError
from juliabox_spawner.progress import EventFeed
from juliabox_spawner.spawner import JuliaBoxSpawner
from juliabox_spawner.start_queue import StartQueue
from support.waiting import LoopClock, until

GIB = 1024**3


@pytest.fixture(autouse=True)
def quick(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell and look often; room for waiting, on a busy machine, too."""
    monkeypatch.setattr(start_queue, "TELL", 0.02)
    world.config.JuliaBoxSpawner.start_limit = 60
    world.config.JuliaBoxSpawner.start_timeout = 240
    world.config.JuliaBoxSpawner.queue_timeout = 120


@pytest.fixture
async def queue(world: Any) -> AsyncIterator[StartQueue]:
    made = StartQueue(2, EventFeed(world.manager))
    yield made
    assert made._waiting == [] and made._working == {}


async def spawned(world: Any, *names: str) -> list[asyncio.Task[Any]]:
    """Begin starts of people, in order."""
    tasks = []
    for name in names:
        user = world.user(name)
        tasks.append(asyncio.ensure_future(user.spawn()))
        await until(lambda user=user, task=tasks[-1]: task.done() or user.spawner._turn)
    return tasks


async def soon(work: Awaitable[Any]) -> None:
    """Wait for what happens in a moment; the time is for what never does."""
    async with asyncio.timeout(60):
        await work


def the_queue() -> StartQueue:
    (found,) = JuliaBoxSpawner._queues.values()
    return found


def owners(world: Any) -> list[str]:
    return [verb.owner for verb in world.manager.asked(p.SessionCreate)]


async def test_no_more_than_the_limit_work_at_once_and_the_order_is_kept(world: Any) -> None:
    world.config.JuliaBoxSpawner.concurrent_starts = 3
    world.manager.pace = 0.1
    names = [f"p{number:02}" for number in range(12)]
    tasks = await spawned(world, *names)
    most = 0

    def done() -> bool:
        nonlocal most
        most = max(most, len(the_queue()._working))
        return all(task.done() for task in tasks)

    await until(done)
    await asyncio.gather(*tasks)
    assert owners(world) == names
    assert most == 3


async def test_those_who_wait_are_told_their_place_as_it_changes(world: Any) -> None:
    world.config.JuliaBoxSpawner.concurrent_starts = 1
    world.manager.pace = 0.1
    ada, bob, eve = (world.user(name) for name in ("ada", "bob", "eve"))
    tasks = [asyncio.ensure_future(user.spawn()) for user in (ada, bob, eve)]
    await until(lambda: eve.spawner._turn)
    steps = [step["message"] async for step in eve.spawners[""].progress()]
    await asyncio.gather(*tasks)
    assert steps[:3] == [
        "Checking the image and your limits",
        "You are number 2 in the queue",
        "You are number 1 in the queue; about 5 seconds",
    ]
    assert steps[3] == "Making the container"


async def test_a_start_without_room_goes_on_when_a_session_ends(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_queue, "LOOK", 600.0)
    world.manager.capacity = 1
    await world.user("ada").spawn()
    bob = world.user("bob")
    (task,) = await spawned(world, "bob")
    await until(lambda: "" in the_queue()._feed._listeners)
    assert not task.done()
    await world.user("ada").stop()
    await soon(task)
    assert bob.orm_user.orm_spawners[""].server is not None
    assert the_queue()._hearing is None


async def test_a_start_without_room_looks_by_itself_when_events_fail(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_queue, "LOOK", 0.1)
    world.manager.capacity = 0
    (task,) = await spawned(world, "ada")
    await until(lambda: len(owners(world)) >= 3)
    world.manager.capacity = None
    await soon(task)


async def test_nobody_passes_whoever_waits_for_a_session(world: Any) -> None:
    world.manager.capacity = 1
    await world.user("first").spawn()
    tasks = await spawned(world, "ada", "bob", "eve")
    world.manager.verbs.clear()
    for name, task in zip(("first", "ada", "bob"), tasks, strict=True):
        await world.user(name).stop()
        await soon(task)
    assert list(dict.fromkeys(owners(world))) == ["ada", "bob", "eve"]


async def test_room_that_comes_while_the_manager_says_no_is_not_missed(
    queue: StartQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_queue, "LOOK", 600.0)
    async with queue.turn(1, lambda text: None, 60) as turn:
        await turn.come()
        queue.room()
        await soon(turn.no_room(NoRoomError("", code="no_room.sessions")))


async def test_a_small_start_passes_a_large_one_for_a_while_and_then_no_more(
    queue: StartQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_queue, "LOOK", 600.0)
    told: list[str] = []
    refusal = NoRoomError("", code="no_room.memory")
    async with queue.turn(8 * GIB, told.append, 60) as large:
        await large.come()
        waiting = asyncio.ensure_future(large.no_room(refusal))
        await asyncio.sleep(0)
        equals = queue.turn(8 * GIB, told.append, 60)
        async with equals as equal, queue.turn(GIB, print, 60) as small:
            await soon(small.come())
            assert not equal.may_go
        monkeypatch.setattr(start_queue, "PATIENCE", 0.0)
        await asyncio.sleep(0.01)
        async with queue.turn(GIB, told.append, 60) as late:
            assert not late.may_go
            queue.room()
            await soon(waiting)
            assert not late.may_go
            large.found_room()
            await soon(late.come())
    assert "Other servers have the memory at the moment." in told[0]


async def test_who_waits_too_long_is_told_why_and_leaves_nothing(world: Any) -> None:
    world.config.JuliaBoxSpawner.queue_timeout = 0.3
    world.manager.capacity = 0
    with pytest.raises(StartError, match="did not come within 5 seconds") as caught:
        await world.user("ada").spawn()
    assert caught.value.reason == "queue"
    assert caught.value.status_code == 503
    assert "All servers that can run" in caught.value.jupyterhub_message
    assert the_queue()._waiting == [] and the_queue()._working == {}
    assert world.manager.sessions == {}


@pytest.mark.parametrize("code", ["no_room.owner", "no_room.disk", "no_room"])
async def test_what_others_cannot_free_is_refused_at_once(world: Any, code: str) -> None:
    world.manager.errors[p.SessionCreate] = [NoRoomError("no", code=code)]
    with pytest.raises(StartError) as caught:
        await soon(world.user("ada").spawn())
    assert caught.value.reason == "no_room"


async def test_a_start_that_is_cancelled_leaves_the_queue_and_nothing_behind(world: Any) -> None:
    world.manager.capacity = 1
    await world.user("first").spawn()
    ada, bob = await spawned(world, "ada", "bob")
    await until(lambda: "" in the_queue()._feed._listeners)
    ada.cancel()
    await asyncio.gather(ada, return_exceptions=True)
    await world.user("ada").stop()
    await world.user("first").stop()
    # at the latest by the look that the queue takes by itself
    await soon(bob)
    assert {info.owner for info in world.manager.sessions.values()} == {"bob"}
    assert the_queue()._waiting == [] and the_queue()._working == {}


async def test_the_time_in_the_queue_does_not_count_as_time_of_the_start(world: Any) -> None:
    clock = LoopClock(asyncio.get_running_loop())
    world.config.JuliaBoxSpawner.start_limit = 8
    world.manager.capacity = 0
    (task,) = await spawned(world, "ada")
    await until(lambda: "" in the_queue()._feed._listeners)
    clock.later(10)
    await asyncio.sleep(0.1)
    assert not task.done()
    world.manager.capacity = None
    the_queue().room()
    await soon(task)


async def test_a_start_that_waits_for_something_else_makes_place_for_the_next(
    queue: StartQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_queue, "HOLD", 60.0)
    clock = LoopClock(asyncio.get_running_loop())
    async with queue.turn(1, print, 600) as one, queue.turn(1, print, 600) as two:
        await asyncio.gather(one.come(), two.come())
        async with queue.turn(1, print, 600) as three:
            assert not three.may_go
            clock.later(60)
            await soon(three.come())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "5 seconds"), (19, "20 seconds"), (56, "1 minute"), (61, "2 minutes")],
    ids=["moment", "seconds", "minute", "minutes"],
)
def test_times_are_told_in_steps_that_people_use(seconds: float, words: str) -> None:
    assert queue_words.amount(seconds) == words
