"""Sessions that are stopped behind: what their owners and the next manager see of them."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from juliabox_ext.errors import ConflictError, NotFoundError, UnavailableError
from juliabox_manager import lifecycle, retired
from juliabox_manager.protocol import (
    Events,
    SessionCreate,
    SessionFind,
    SessionInfo,
    SessionList,
    SessionRemove,
    SessionRetire,
    SessionStart,
    Stats,
    VolumeRemove,
)
from juliabox_manager.store import MIGRATIONS, Store
from manager.test_missed_news import CREATE, Place, place
from manager.test_store import a_record
from support.waiting import until

__all__ = ["place"]

GRACE = 60.0


class Stubborn:
    """Lets containers ignore signals, but for those that ``obeyed`` names."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        self.obeyed = {"SIGKILL"}
        self._world = place.world
        monkeypatch.setattr(place.parts[0], "kill", self._kill)

    async def _kill(self, container: Any, signal: str) -> None:
        self.sent.append(signal)
        if signal in self.obeyed:
            self._world.die(container.session, 137)


async def started(place: Place, server: str = "") -> SessionInfo:
    made = await create(place, server)
    return await place.manager.handle("hub", SessionStart(made.session, {}))  # type: ignore[no-any-return]


async def create(place: Place, server: str = "") -> SessionInfo:
    verb: SessionCreate = msgspec.structs.replace(CREATE, server=server)
    return await place.manager.handle("hub", verb)  # type: ignore[no-any-return]


async def retire(place: Place, session: str, grace: float = GRACE) -> None:
    await place.manager.handle("hub", SessionRetire(session, grace))


async def test_a_new_session_does_not_wait_for_the_one_that_was_retired(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await place.boot(60.0)
    stubborn = Stubborn(place, monkeypatch)
    first = await started(place)
    await retire(place, first.session)
    with pytest.raises(NotFoundError):
        await manager.handle("hub", SessionFind("ada", ""))
    second = await started(place)
    assert second.session != first.session
    await until(lambda: stubborn.sent == ["SIGTERM"])
    assert place.world.homes.keys() == place.world.boxes.keys() == {first.session, second.session}
    listed = {info.session: info for info in await manager.handle("hub", SessionList())}
    assert (listed[first.session].state, listed[first.session].retired) == ("stopping", True)
    assert (await manager.handle("hub", Stats())).sessions == 2
    place.world.die(first.session, 0)
    await until(lambda: place.world.boxes.keys() == {second.session})
    await until(lambda: len(manager._registry) == 1)
    assert await manager.handle("hub", SessionFind("ada", "")) == second
    assert [record.session for record in await place.store.sessions()] == [second.session]
    told = await manager.handle("hub", Events(0, session=first.session))
    assert [(one.value, one.started > 0) for one in told if one.kind == "session.state"][-2:] == [
        ("stopping", True),
        ("ended", True),
    ]


async def test_without_grace_a_retired_session_is_killed_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await place.boot(60.0)
    stubborn = Stubborn(place, monkeypatch)
    info = await started(place)
    await retire(place, info.session)
    await until(lambda: stubborn.sent == ["SIGTERM"])
    await retire(place, info.session, 0.0)
    await until(lambda: not len(manager._registry))
    assert stubborn.sent == ["SIGTERM", "SIGKILL"]
    await retire(place, info.session)  # it is unknown by now, which is no error


async def test_a_start_that_is_retired_is_cut_off_and_its_caller_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await place.boot(60.0)
    made = await create(place)
    reached = asyncio.Event()

    async def hang(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(place.slots, "await_entry", hang)
    starting = asyncio.create_task(manager.handle("hub", SessionStart(made.session, {})))
    await reached.wait()
    await retire(place, made.session)
    with pytest.raises(ConflictError) as refused:
        await starting
    assert refused.value.code == "session.stopped"
    await until(lambda: not place.world.boxes)


async def test_a_session_that_was_retired_before_its_start_is_not_started(place: Place) -> None:
    manager = await place.boot(60.0)
    made = await create(place)
    live = manager._registry.named(made.session)
    async with live.lock:
        await retire(place, made.session)
        starting = asyncio.create_task(manager.handle("hub", SessionStart(made.session, {})))
        await asyncio.sleep(0.01)
    with pytest.raises((ConflictError, NotFoundError)):
        await starting
    await until(lambda: not place.world.boxes)


async def test_a_restarted_manager_ends_and_forgets_what_was_retired(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.boot(60.0)
    Stubborn(place, monkeypatch).obeyed = set()
    first = await started(place)
    await retire(place, first.session, 0.001)
    await place.kill()
    manager = await place.boot(60.0)
    second = await started(place)
    await until(lambda: first.session not in manager._registry)
    assert place.world.boxes.keys() == {second.session}
    assert [record.session for record in await place.store.sessions()] == [second.session]


async def test_many_retired_sessions_of_a_person_hold_the_next_one_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a loop of stops and starts piles containers up without a bound."""
    manager = await place.boot(60.0)
    Stubborn(place, monkeypatch)
    sessions = []
    for _ in range(2):
        sessions.append((await started(place)).session)
        await retire(place, sessions[-1])
    waiting = asyncio.create_task(create(place))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    place.world.die(sessions[0])
    assert (await waiting).state == "created"

    monkeypatch.setattr(retired, "ROOM_LIMIT", 0.01)
    await retire(place, (await waiting).session)
    await until(lambda: len(manager._registry) == 1)
    await retire(place, (await started(place)).session)
    with pytest.raises(UnavailableError) as refused:
        await create(place)
    assert refused.value.code == "session.stopping"
    assert len(await manager.handle("hub", SessionList())) == 2


async def test_a_person_s_restart_waits_for_the_room_that_the_old_session_leaves(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await place.boot(60.0)
    Stubborn(place, monkeypatch)
    capacity = manager._policy._settings.capacity
    full = msgspec.structs.replace(capacity, sessions=1)
    settings = msgspec.structs.replace(manager._policy._settings, capacity=full)
    monkeypatch.setattr(manager._policy, "_settings", settings)
    info = await started(place)
    await retire(place, info.session)
    waiting = asyncio.create_task(create(place))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    place.world.die(info.session)
    assert (await waiting).state == "created"


async def test_a_stuck_session_is_told_to_who_would_share_its_home(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "KILL_LIMIT", 0.01)
    await place.boot(60.0)
    stubborn = Stubborn(place, monkeypatch)
    stubborn.obeyed = set()
    info = await started(place)
    await retire(place, info.session, 0.0)
    await until(lambda: place.manager._registry.named(info.session).stuck)
    with pytest.raises(UnavailableError, match="disk") as refused:
        await create(place)
    assert (refused.value.code, refused.value.retryable) == ("session.stopping", True)
    with pytest.raises(ConflictError, match=info.session):
        await place.manager.handle("hub", VolumeRemove("ada"))
    stubborn.obeyed = {"SIGKILL"}
    place.manager._look_again.set()
    await until(lambda: not place.world.boxes)
    assert (await started(place)).state == "running"


async def test_a_home_is_removed_after_the_retired_sessions_that_use_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await place.boot(60.0)
    Stubborn(place, monkeypatch)
    first, second = await started(place), await started(place, "second")
    await retire(place, first.session)
    with pytest.raises(ConflictError, match=second.session):
        await manager.handle("hub", VolumeRemove("ada"))
    await retire(place, second.session)
    removing = asyncio.create_task(manager.handle("hub", VolumeRemove("ada")))
    await asyncio.sleep(0.02)
    assert not removing.done()
    # a removal has no patience with a grace
    for info in (first, second):
        await manager.handle("hub", SessionRemove(info.session))
    await removing
    assert place.world.homes == {}


async def test_records_of_an_older_manager_are_taken_over_and_a_retired_one_gives_its_name(
    tmp_path: Path,
) -> None:
    path = tmp_path / "manager.sqlite"
    record = a_record(1)
    with sqlite3.connect(path) as db:
        db.executescript(MIGRATIONS[0] + MIGRATIONS[1])
        row = (record.session, record.owner, record.server, msgspec.json.encode(record))
        db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", row)
        db.execute("PRAGMA user_version=2")
    db.close()
    store = Store(path)
    await store.open()
    assert await store.sessions() == [record]
    record.retired = True
    await store.retire(record)
    await store.record(a_record(2, owner=record.owner), "create.recorded")
    assert [(one.session[-1], one.retired) for one in await store.sessions()] == [
        ("1", True),
        ("2", False),
    ]
    await store.close()
