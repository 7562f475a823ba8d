"""What the manager does when it missed news of the engine, or when a look at it failed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from juliabox_ext.errors import InternalError
from juliabox_manager import reconcile
from juliabox_manager.engine import Engine, Notice
from juliabox_manager.live import settle
from juliabox_manager.protocol import (
    Limits,
    SessionCreate,
    SessionInspect,
    SessionList,
    SessionStart,
    SessionStop,
)
from juliabox_manager.service import Manager
from manager.test_policy import roomy_settings
from support.fake_parts import FakeEngine, FakeNetwork, FakeSlots, FakeVolumes, MortalStore, World
from support.waiting import until

CREATE = SessionCreate(
    "ada", "", "juliabox/julia", Limits(memory=64 * 2**20, cpu=0.5, pids=64, disk=32 * 2**20)
)


class Place:
    """A world, and managers over it one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World(random.Random(1))
        self.manager: Any = None

    async def boot(self, interval: float) -> Manager:
        settings = roomy_settings(
            self.folder,
            reconcile_interval=interval,
        )
        self.slots, world = FakeSlots(self.world), self.world
        self.parts = [FakeEngine(world), self.slots, FakeVolumes(world), FakeNetwork(world)]
        engine, *others = self.parts
        self.store = MortalStore(self.folder / "manager.sqlite")
        self.manager = Manager(settings, self.store, engine, *others)  # type: ignore[arg-type]
        await self.manager.start()
        return self.manager  # type: ignore[no-any-return]

    async def kill(self) -> None:
        for part in (*self.parts, self.store):
            part.dead = True  # type: ignore[union-attr]
        await settle(self.manager._work, *self.manager._containers._works)
        await self.store.close()

    async def until(self, session: str, state: str) -> None:
        async def reached() -> bool:
            seen = await self.manager.handle("hub", SessionInspect(session))
            return bool(seen.state == state)

        await until(reached)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    await made.manager.close()


def hanging(reached: asyncio.Event) -> Callable[..., Any]:
    """Return a call that never ends."""

    async def hang(*_: object, **__: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    return hang


async def test_a_look_that_failed_after_a_restart_is_taken_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a session whose person works in it would be removed as "not started in time"."""
    manager = await place.boot(60.0)
    made = await manager.handle("hub", CREATE)
    reached = asyncio.Event()
    release = place.slots.release

    async def release_and_hang(*arguments: Any) -> None:
        await release(*arguments)
        await hanging(reached)()

    monkeypatch.setattr(place.slots, "release", release_and_hang)
    starting = asyncio.create_task(manager.handle("hub", SessionStart(made.session, {})))
    await reached.wait()
    starting.cancel()
    await place.kill()

    monkeypatch.setattr(reconcile, "listens", lambda *_: True)
    place.world.failures.append("inspect")
    await place.boot(0.002)
    await place.until(made.session, "running")


async def test_a_start_whose_container_died_unnoticed_fails_at_the_next_look(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's news break off when it is restarted, which ends containers."""
    manager = await place.boot(0.002)
    made = await manager.handle("hub", CREATE)
    reached = asyncio.Event()
    monkeypatch.setattr(place.slots, "await_entry", hanging(reached))
    starting = asyncio.create_task(manager.handle("hub", SessionStart(made.session, {})))
    await reached.wait()
    place.world.listener = None
    place.world.die(made.session)
    with pytest.raises(InternalError, match="ended while it started"):
        async with asyncio.timeout(20):
            await starting


async def test_a_server_that_dies_as_its_start_ends_is_noticed_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await place.boot(60.0)
    made = await manager.handle("hub", CREATE)
    close = place.slots.close

    async def close_and_die(session: str) -> None:
        await close(session)
        place.world.die(session)

    monkeypatch.setattr(place.slots, "close", close_and_die)
    with pytest.raises(InternalError, match="ended while it started"):
        await manager.handle("hub", SessionStart(made.session, {}))
    await place.until(made.session, "ended")


async def test_a_log_that_cannot_be_read_keeps_no_session_from_ending(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> list[str]:
        raise InternalError("the Docker engine refused: invalid character", code="engine.refused")

    manager = await place.boot(60.0)
    monkeypatch.setattr(place.parts[0], "last_lines", broken)
    made = await manager.handle("hub", CREATE)
    info = await manager.handle("hub", SessionStop(made.session, 0.0))
    assert (info.state, info.exit.last_lines) == ("ended", [])


async def test_ended_sessions_are_bounded_in_number(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a stolen hub fills the manager's memory with sessions that no quota counts."""
    monkeypatch.setattr(reconcile, "ENDED_COUNT", 2)
    manager = await place.boot(0.002)
    for number in range(5):
        verb = msgspec.structs.replace(CREATE, owner=f"owner-{number}")
        made = await manager.handle("hub", verb)
        await manager.handle("hub", SessionStop(made.session, 0.0))

    async def left() -> list[str]:
        return [info.owner for info in await manager.handle("hub", SessionList())]

    async def few() -> bool:
        return len(await left()) <= 2

    await until(few)
    assert await left() == ["owner-3", "owner-4"]
    assert len(await place.store.sessions()) == 2


async def test_an_event_that_is_not_understood_does_not_make_the_manager_deaf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Client:
        timeout = 1.0

        def events(self, **_: object) -> list[dict[str, Any]]:
            attributes = {"juliabox.session": "5" * 16}
            return (
                streams.pop()
                if streams
                else [{"Action": "die", "Actor": {"Attributes": attributes}}]
            )

    streams: list[list[dict[str, Any]]] = [[{"status": "die"}]]
    engine = Engine("unix:///nonexistent", "jbt", "none")
    monkeypatch.setattr(engine._calls, "new_client", Client)
    heard: asyncio.Queue[Notice] = asyncio.Queue()
    engine.watch(heard.put_nowait)
    try:
        async with asyncio.timeout(20):
            while (await heard.get()).kind != "die":
                pass
    finally:
        monkeypatch.undo()
        await engine.close()


async def test_each_session_is_looked_at_once_a_round_and_a_few_at_a_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await place.boot(36_000.0)  # it does not look by itself meanwhile
    for number in range(3):
        made = await manager.handle("hub", msgspec.structs.replace(CREATE, owner=f"o-{number}"))
        await manager.handle("hub", SessionStart(made.session, {}))
    network, engine = place.parts[3], place.parts[0]
    looked: list[int] = []
    listed: list[bool] = []

    async def look(pid: int, kind: str) -> bool:
        looked.append(pid)
        return True

    async def nothing() -> list[Any]:
        listed.append(True)
        return []

    monkeypatch.setattr(network, "in_place", look)
    monkeypatch.setattr(engine, "containers", nothing)
    await manager._reconciler.again()
    assert (len(set(looked)), len(listed)) == (3, 1)
    looked.clear()
    turns = []
    for _ in range(4):
        await manager._reconciler.some(0.4, 60.0)
        turns.append(len(looked))
    assert turns == [2, 3, 3, 3]
    assert len(set(looked)) == 3
    for _ in range(reconcile.LISTING_ROUNDS):
        manager._reconciler._next_round = 0.0
        await manager._reconciler.some(1.0, 60.0)
    assert len(listed) == 2
