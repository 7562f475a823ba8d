"""The recorder loses no session and doubles none, whatever goes away meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from msgspec.structs import replace

from juliabox_ext.db import JBPluginDB
from juliabox_ext.errors import NoRoomError, PluginError, UnavailableError
from juliabox_ext.plugin import PluginContext
from juliabox_ext.registry import Registry
from juliabox_ext.testing.db_fake import FakeDatabase
from juliabox_manager import protocol as p
from juliabox_manager.endings import _sentence
from juliabox_plugins.usage import Usage
from juliabox_services.portal import recorder as recorder_module
from juliabox_services.portal.recorder import CURSOR, ORDINARY, Recorder
from juliabox_services.portal.records import Keeper, Records
from juliabox_spawner.client import ManagerClient
from support.fake_manager import FakeManager
from support.waiting import until

LIMITS = p.Limits(memory=2**30, cpu=1.0, pids=256, disk=2**30)
YEAR = timedelta(days=365)


class Plugins:
    """What the recorder asks of a registry: a database and the accounting in it."""

    def __init__(self) -> None:
        self.database = FakeDatabase()
        self.usage = Usage(PluginContext("usage", feature=self.one))

    def one(self, feature: str) -> Any:
        return self.usage if feature == JBPluginDB.JBP_USAGE_ACCOUNTING else self.database

    def sessions(self) -> dict[str, float]:
        """Return session -> seconds that it ran."""
        now = datetime.now(UTC)
        found = list(self.usage.get_sessions(now - YEAR, now + YEAR))
        assert len({one.session for one in found}) == len(found)
        return {one.session: one.hours * 3600 for one in found}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "PAUSE", (0.02, 0.05))
    monkeypatch.setattr(recorder_module, "WAIT", 0.3)
    monkeypatch.setattr(recorder_module, "GATHER", 0.01)


@pytest.fixture
def plugins() -> Plugins:
    return Plugins()


@pytest.fixture
async def manager() -> AsyncIterator[FakeManager]:
    made = FakeManager()
    made.serving = False
    yield made
    await made.close()


@asynccontextmanager
async def recording(manager: FakeManager, plugins: Plugins) -> AsyncIterator[Recorder]:
    keeper = Keeper(Records(cast(Registry, plugins)))
    made = Recorder(cast(ManagerClient, manager), keeper, "here", 30)
    made.start()
    try:
        yield made
    finally:
        await made.close()
        keeper.close()


async def start(manager: FakeManager, owner: str) -> str:
    made = await manager.call(p.SessionCreate(owner, "", "juliabox/julia", LIMITS))
    await manager.call(p.SessionStart(made.session, {}))
    return str(made.session)


async def test_a_session_is_recorded_when_it_runs_and_with_its_whole_time_when_it_ends(
    manager: FakeManager, plugins: Plugins
) -> None:
    async with recording(manager, plugins):
        session = await start(manager, "ada")
        await until(lambda: session in plugins.sessions())
        await asyncio.sleep(0.3)
        await manager.call(p.SessionStop(session))
        await manager.call(p.SessionRemove(session))
        await until(lambda: plugins.sessions()[session] > 0.28)  # by another clock than slept


async def test_a_session_that_starts_costs_no_look_at_all_the_others(
    manager: FakeManager, plugins: Plugins
) -> None:
    async with recording(manager, plugins):
        first = await start(manager, "ada")
        await until(lambda: first in plugins.sessions())
        before = plugins.sessions()[first]
        for number in range(5):
            session = await start(manager, f"person{number}")
            await until(lambda session=session: session in plugins.sessions())  # type: ignore[misc]
        assert plugins.sessions()[first] == before


async def test_sessions_that_came_and_went_while_the_portal_was_away_are_recorded_once(
    manager: FakeManager, plugins: Plugins
) -> None:
    async with recording(manager, plugins) as recorder:
        first = await start(manager, "ada")
        await until(lambda: first in plugins.sessions() and recorder.waiting == 0)
    second = await start(manager, "bob")
    await asyncio.sleep(0.2)
    for session in (first, second):
        await manager.call(p.SessionStop(session))
        await manager.call(p.SessionRemove(session))
    third = await start(manager, "eve")
    async with recording(manager, plugins):
        await until(lambda: set(plugins.sessions()) == {first, second, third})
        assert plugins.sessions()[second] > 0.18  # by another clock than slept


async def test_a_replay_of_old_events_shortens_no_row(
    manager: FakeManager, plugins: Plugins
) -> None:
    async with recording(manager, plugins):
        session = await start(manager, "ada")
        await asyncio.sleep(0.5)
        await until(lambda: session in plugins.sessions())
    records = Records(cast(Registry, plugins))
    records.set_value(CURSOR, 1000)
    async with recording(manager, plugins) as recorder:
        await until(lambda: recorder.waiting == 0 and records.value(CURSOR) != 1000)
        assert plugins.sessions()[session] > 0.48  # by another clock than slept


async def test_a_manager_that_was_started_anew_makes_the_recorder_look_at_all_sessions(
    manager: FakeManager, plugins: Plugins
) -> None:
    async with recording(manager, plugins) as recorder:
        await until(lambda: recorder.lag < 1)
        manager.away = True
        await until(lambda: recorder.manager_trouble)
        manager.away, hidden = False, []
        session = await start(manager, "ada")
        # its log is empty, and its numbers have gone on by a leap
        hidden += manager._events[1:]
        manager._events[1:] = [p.Event(9000, time.time(), "session.stage", "", "x")]
        await until(lambda: session in plugins.sessions())
        await until(lambda: not recorder.manager_trouble)


@pytest.mark.parametrize(
    "fault",
    [
        UnavailableError("locked", code="db.locked"),
        UnavailableError("down", code="db.unavailable"),
        NoRoomError("full", code="db.full"),
        PluginError("no plugin provides db", code="plugin.absent"),
    ],
    ids=lambda fault: str(fault.code),
)
async def test_a_database_that_is_away_costs_no_row(
    manager: FakeManager, plugins: Plugins, fault: Any
) -> None:
    today = datetime.now(UTC).date()
    async with recording(manager, plugins) as recorder:
        first = await start(manager, "ada")
        await until(lambda: first in plugins.sessions() and recorder.waiting == 0)
        plugins.database.fault = fault
        await manager.call(p.SessionStop(first))
        second = await start(manager, "bob")
        await manager.call(p.SessionStop(second))
        await manager.call(p.SessionRemove(second))
        await manager.fail("eve", "no_room.memory", "64 MiB are left")
        await until(lambda: recorder.database_trouble and recorder.waiting >= 3)
        assert fault.message in recorder.database_trouble
        plugins.database.fault = None
        await until(lambda: recorder.waiting == 0)
        assert set(plugins.sessions()) == {first, second}
    failures = Records(cast(Registry, plugins)).failures(today)
    assert [one["code"] for one in failures] == ["no_room.memory"]


async def test_a_database_that_is_away_at_the_start_costs_no_row_either(
    manager: FakeManager, plugins: Plugins
) -> None:
    plugins.database.fault = UnavailableError("down", code="db.unavailable")
    async with recording(manager, plugins) as recorder:
        session = await start(manager, "ada")
        await until(lambda: recorder.database_trouble)
        await manager.call(p.SessionStop(session))
        await manager.call(p.SessionRemove(session))
        plugins.database.fault = None
        await until(lambda: session in plugins.sessions())


async def test_only_what_ended_otherwise_than_it_should_is_a_failure(
    manager: FakeManager, plugins: Plugins
) -> None:
    today = datetime.now(UTC).date()  # midnight may be in between
    async with recording(manager, plugins) as recorder:
        good, bad = await start(manager, "ada"), await start(manager, "bob")
        await manager.call(p.SessionStop(good))
        await manager.end(bad, p.ExitInfo(137, True, "It ran out of memory (limit 1024 MiB)."))
        records = Records(cast(Registry, plugins))
        await until(lambda: records.failures(today))
        (found,) = records.failures(today)
        assert (found["subject"], found["kind"]) == ("bob", "session")
        assert recorder.endings == {("bob", ""): "It ran out of memory (limit 1024 MiB)."}
    assert {_sentence("it was stopped"), _sentence("its server ended by itself")} == ORDINARY


@pytest.mark.parametrize("moment", [1e300, -1e300, 1e15], ids=["huge", "before-all", "far"])
@pytest.mark.parametrize("text", ["a\0b", "half \ud800"], ids=["nul", "surrogate"])
async def test_what_no_database_can_hold_keeps_nothing_else_waiting(
    manager: FakeManager, plugins: Plugins, moment: float, text: str
) -> None:
    async with recording(manager, plugins) as recorder:
        wrong = await start(manager, "mallory")
        manager.sessions[wrong] = replace(manager.sessions[wrong], started=moment)
        await manager.end(wrong, p.ExitInfo(1, False, "Its server ended oddly."))
        await manager.fail("mallory", "odd", text)
        lying = p.Event(manager._events[-1].sequence + 1, moment, "session.failed", message="x")
        manager._add(lying)
        session = await start(manager, "ada")
        await until(lambda: session in plugins.sessions() and recorder.waiting == 0)
        records = Records(cast(Registry, plugins))
        await until(lambda: records.value(CURSOR) == manager._events[-1].sequence)


async def test_what_is_older_than_the_retention_is_deleted(
    manager: FakeManager, plugins: Plugins
) -> None:
    records = Records(cast(Registry, plugins))
    old, new = time.time() - 40 * 86400, time.time() - 10 * 86400
    for when in (old, new):
        records.add_load(when, 1, 0.5)
    async with recording(manager, plugins) as recorder:
        await until(lambda: recorder._tidied)
        today = datetime.now(UTC).date()
        kept = [one["time"] for one in records.load(today - timedelta(days=60), today)]
        assert old not in kept
        assert new in kept


async def test_a_cancellation_that_comes_with_the_database_s_answer_is_not_lost(
    plugins: Plugins,
) -> None:
    keeper, go = Keeper(Records(cast(Registry, plugins))), threading.Event()
    task = asyncio.create_task(keeper.run(lambda _: go.wait(5)))
    await asyncio.sleep(0.05)
    go.set()
    time.sleep(0.2)  # noqa: ASYNC251 the answer is there before the loop turns
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    keeper.close()
