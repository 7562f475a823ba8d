"""Logs and figures are bounded, written in the background, and there after a restart."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juliabox_ext.db import Database
from juliabox_ext.errors import UnavailableError
from juliabox_ext.plugin import PluginContext
from juliabox_plugins.rdbms import Rdbms
from juliabox_services.api import ledger as ledger_module
from juliabox_services.api.ledger import LINES_PER_MINUTE, TEXT_BYTES
from juliabox_services.api.models import Version
from juliabox_services.api.people import made
from juliabox_services.api.publishing import Publishing
from juliabox_services.api.spread import FIRST, Minute, Recent
from support.postgres import Postgres
from support.published_stand import FaintDatabase, publishing_on, request
from support.waiting import measured


async def _saved(one: Publishing) -> Version:
    version, _ = await one.saving.save("ada", "hi", request(), "ada")
    return version


async def _written(one: Publishing) -> int:
    return await one.store.run(lambda tables: tables.newest_line("ada/hi"))


async def test_calls_of_one_minute_add_up_over_a_restart(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = time.time() // 60 * 60 + 30
    monkeypatch.setattr(time, "time", lambda: at)
    for _ in range(2):
        one = publishing_on(database, tmp_path)
        await one.open()
        known = one.published.known("ada", "hi")
        version = known[1] if known else await _saved(one)
        await one.ledger.recall()
        one.ledger.called(version, "hello", 200, 0.010)
        one.ledger.called(version, "hello", 404, 0.010)
        one.ledger.called(version, "hello", 500, 0.500, "said\n", "a" * 32, "it broke")
        await one.ledger.flush()
        counted = one.ledger.day("ada", "hi")
        await one.ledger.recall()  # what was written meanwhile is not counted once more
        assert one.ledger.day("ada", "hi") == counted
        await one.close()
    three = publishing_on(database, tmp_path)
    await three.open()
    await three.ledger.recall()
    await three.ledger.recall()  # as often as it likes
    assert three.ledger.day("ada", "hi") == (6, 2)
    buckets = await three.ledger.buckets("ada", "hi", 1)
    assert len(buckets) == 60
    last = buckets[-1]
    assert (last.calls, last.refused, last.errors) == (6, 4, 2)
    assert last.p50 == pytest.approx(0.010, rel=0.1)
    assert last.p95 == pytest.approx(0.500, rel=0.1)
    assert buckets[0].calls == 0 and buckets[0].p50 is None
    lines = await three.ledger.lines("ada", "hi", 0, 10)
    assert [(line.kind, line.text) for line in lines if line.kind == "call"] == [
        ("call", "said\nit broke")
    ] * 2
    later = await three.ledger.lines("ada", "hi", lines[-2].number, 10)
    assert later == lines[-1:]
    await three.close()


async def test_what_a_function_prints_without_end_is_cut(
    anywhere: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = await _saved(anywhere)
    # lines are counted in minutes, and none is to turn meanwhile
    at = time.time() // 60 * 60 + 90
    monkeypatch.setattr(time, "time", lambda: at)
    anywhere.ledger.called(version, "hello", 200, 0.01, "\0\ud800" + "é" * 10_000 + "end")
    line = (await anywhere.ledger.lines("ada", "hi", 0, 10))[-1]
    assert line.text.startswith("…") and line.text.endswith("éend")
    assert len(line.text.encode()) <= TEXT_BYTES
    for number in range(LINES_PER_MINUTE + 50):
        anywhere.ledger.called(version, "hello", 200, 0.01, f"{number}\n")
    lines = await anywhere.ledger.lines("ada", "hi", 0, 1000)
    # with the one of the save, which was a minute earlier
    assert len(lines) == LINES_PER_MINUTE + 1
    assert any("is left out" in line.text for line in lines)
    assert len({line.number for line in lines}) == len(lines)


async def test_a_database_that_is_away_loses_no_line_and_doubles_none(
    publishing: Publishing, faint: FaintDatabase
) -> None:
    version = await _saved(publishing)
    await publishing.ledger.flush()
    faint.fault = UnavailableError("gone", code="db.unavailable")
    for number in range(3):
        publishing.ledger.called(version, "hello", 500, 0.1, message=f"failure {number}")
        with pytest.raises(UnavailableError):
            await publishing.ledger.flush()
    await publishing.audit.write("ada", "stop", "ada", "hi")
    faint.fault = None
    lines = await publishing.ledger.lines("ada", "hi", 0, 100)
    assert [one.text for one in lines if one.kind == "call"] == [
        "failure 0", "failure 1", "failure 2"
    ]  # fmt: skip
    assert sum(one.calls for one in await publishing.ledger.buckets("ada", "hi", 1)) == 3
    rows = await publishing.audit.rows(None, 10)
    assert [row.what for row in rows] == ["stop", "save"]


async def test_rows_of_the_audit_are_of_an_account_or_of_a_time(
    anywhere: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = "2026-03-01T08:00:00.000001Z", "2026-03-01T08:00:30.000001Z"
    began = made(first)
    told = [(5.0, ""), (10.0, first), (35.0, first), (40.0, second), (45.0, "")]
    for number, (after, account) in enumerate(told):
        at = began + after
        monkeypatch.setattr(time, "time", lambda at=at: at)
        await anywhere.audit.write("ada", "save", "ada", "hi", number, account=account)

    async def seen(account: str, limit: int = 9) -> list[int]:
        return [row.version for row in await anywhere.audit.rows("ada", limit, account)]

    assert await seen("") == [4, 3, 2, 1, 0]
    assert await seen(first) == [4, 2, 1, 0]
    assert await seen(second) == [4, 3]
    assert (await seen(first, 2), await seen(second, 1)) == ([4, 2], [4])
    assert await seen("whenever") == []
    # as another database of the hub tells the first one
    assert await seen("2026-03-01T08:00:00Z") == [4, 2, 1, 0]


async def test_a_row_of_the_audit_that_waited_is_of_its_account(
    publishing: Publishing, faint: FaintDatabase
) -> None:
    first, second = "2026-03-01T08:00:00Z", "2026-03-02T08:00:00Z"
    faint.fault = UnavailableError("gone", code="db.unavailable")
    await publishing.audit.write("ada", "save", "ada", "hi", account=first)
    faint.fault = None
    assert len(await publishing.audit.rows("ada", 9, first)) == 1
    assert await publishing.audit.rows("ada", 9, second) == []


@pytest.mark.parametrize(
    ("account", "at"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00.500000", 60.5),
        ("1970-01-01T01:01:00+01:00", 60.0),
        ("user 7", math.inf),
    ],
    ids=["whole", "bare", "elsewhere", "words"],
)
def test_when_an_account_was_made_is_read_from_its_words(account: str, at: float) -> None:
    assert made(account) == at


async def test_a_server_that_is_stopped_and_started_has_all_that_was_done_meanwhile(
    postgres: Postgres, tmp_path: Path
) -> None:
    settings = Rdbms.Settings.model_validate({"url": postgres.url, "table_prefix": "stopped_"})
    database = Rdbms(PluginContext("rdbms", settings, folder=tmp_path))
    database.configure()
    one, two = publishing_on(database, tmp_path), publishing_on(database, tmp_path)
    await one.open()
    version = await _saved(one)
    await one.ledger.flush()
    postgres.stop()
    try:
        for number in range(3):
            one.ledger.called(version, "hello", 500, 0.1, message=f"failure {number}")
            with pytest.raises(UnavailableError):
                await one.ledger.flush()
        with pytest.raises(UnavailableError):
            await one.saving.stop("ada", "hi", "ada", "owner")
        await two.open()  # an engine that starts meanwhile
        assert not two.published.ready
    finally:
        postgres.start()
    async with asyncio.timeout(60):
        while one.saving.doubtful or not two.published.ready:  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.05)
    assert two.published.find("ada", "hi")[1] == version
    lines = await one.ledger.lines("ada", "hi", 0, 100)
    assert [each.text for each in lines if each.kind == "call"] == [
        "failure 0", "failure 1", "failure 2"
    ]  # fmt: skip
    for each in (one, two):
        await each.close()
    database.close()


async def test_the_ledger_writes_by_itself(
    faint: FaintDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "FLUSH", 0.02)
    one = publishing_on(faint, tmp_path)
    await one.open()
    version = await _saved(one)
    one.ledger.called(version, "hello", 500, 0.1, message="failed")
    async with asyncio.timeout(20):
        while not await _written(one):  # noqa: ASYNC110 it writes in a thread
            await asyncio.sleep(0.02)
    await one.close()


async def test_what_is_too_old_and_what_is_removed_goes(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = publishing_on(database, tmp_path)
    await one.open()
    version = await _saved(one)
    for _ in range(5):
        one.ledger.called(version, "hello", 500, 0.1, message="failed")
    await one.ledger.flush()
    monkeypatch.setattr(ledger_module, "KEPT_LINES", 3)
    await one.ledger.tidy()
    assert len(await one.ledger.lines("ada", "hi", 0, 100)) == 3
    await one.saving.remove("ada", "hi", "ada")
    for _ in range(2):
        await one.ledger.tidy()
    assert not one.ledger.removed
    assert await one.store.run(lambda tables: tables.newest_line("ada/hi")) == 0
    assert await one.store.run(lambda tables: tables.minutes("ada/hi", 0)) == {}
    later = time.time() + 40 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    await one.ledger.tidy()
    assert await one.audit.rows("ada", 10) == []
    await one.close()


async def test_a_log_that_grows_quickly_is_cut_to_its_newest_lines(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "KEPT_LINES", 3)
    monkeypatch.setattr(ledger_module, "BATCH", 5)
    version = await _saved(publishing)
    for number in range(40):
        publishing.ledger.called(version, "hello", 500, 0.1, message=f"failure {number}")
    await publishing.ledger.flush()
    await publishing.ledger.tidy()
    lines = await publishing.ledger.lines("ada", "hi", 0, 100)
    assert [line.text for line in lines] == ["failure 37", "failure 38", "failure 39"]


async def test_the_log_of_a_removed_api_is_not_that_of_the_next_of_its_name(
    anywhere: Publishing,
) -> None:
    version = await _saved(anywhere)
    anywhere.ledger.called(version, "hello", 500, 0.1, message="secret")
    await anywhere.ledger.flush()
    await anywhere.saving.remove("ada", "hi", "ada")
    again = await _saved(anywhere)
    lines = await anywhere.ledger.lines("ada", "hi", 0, 100, again.saved)
    assert all("secret" not in line.text for line in lines)


@given(st.lists(st.floats(min_value=FIRST, max_value=86_400), min_size=1, max_size=200))
def test_medians_are_right_within_a_tenth(seconds: list[float]) -> None:
    whole, left, right = Minute(), Minute(), Minute()
    for place, each in enumerate(seconds):
        whole.count(200, each)
        (left if place % 2 else right).count(200, each)
    left.add(right)
    assert left.row() == whole.row() == Minute.of(whole.row()).row()
    exact = sorted(seconds)[max(0, -(-len(seconds) // 2) - 1)]
    found = whole.quantile(0.5)
    assert found is not None and 0.9 * exact <= found <= 1.1 * exact


def test_what_is_recent_is_added_up_and_forgotten_in_its_order() -> None:
    recent = Recent()
    for minute in (60, 120, 180):
        recent.put(minute, 2, 1)
    recent.put(120, 5, 0)
    assert (recent.calls, recent.errors, recent.of(120)) == (9, 2, (5, 0))
    recent.forget(121)
    assert (recent.calls, recent.errors, recent.of(60)) == (2, 1, (0, 0))
    recent.forget(1000)
    assert (recent.calls, recent.errors) == (0, 0)


async def test_a_list_of_many_apis_that_were_busy_all_day_keeps_nobody_waiting(
    publishing: Publishing,
) -> None:
    version, now = await _saved(publishing), int(time.time()) // 60 * 60
    book = publishing.ledger._book("ada/hi")
    for minute in range(now - 86_000, now, 60):
        book.recent.put(minute, 3, 1)
        book.before.put(minute, 1, 0)
    for took in measured(0.1):  # garbage of others may be collected within one try
        begun = time.thread_time()
        for _ in range(1000):
            publishing.ledger.day("ada", "hi")
        took.append(time.thread_time() - begun)
    publishing.ledger.called(version, "hello", 500, 0.1)
    assert publishing.ledger.day("ada", "hi") == (4 * 1434 + 1, 1434 + 1)


class SlowDatabase(FaintDatabase):
    """Takes its time for each new row."""

    seconds = 0.0

    def record_create(self, table: Any, data: Mapping[str, Any]) -> None:
        time.sleep(self.seconds)
        super().record_create(table, data)


async def _on_a_slow_database(folder: Path) -> tuple[SlowDatabase, Publishing, Version]:
    """Publish on a database that is not slow yet, and has all that was said by now."""
    database = SlowDatabase()
    one = publishing_on(database, folder)
    await one.open()
    version = await _saved(one)
    await one.ledger.flush()
    return database, one, version


async def test_what_is_being_written_at_the_end_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "FLUSH", 0.01)
    database, one, version = await _on_a_slow_database(tmp_path)
    database.seconds = 0.3
    one.ledger.called(version, "hello", 200, 0.01)
    await asyncio.sleep(0.1)
    await one.close()
    database.seconds = 0.0
    two = publishing_on(database, tmp_path)
    await two.open()
    await two.ledger.recall()
    assert two.ledger.day("ada", "hi") == (1, 0)
    await two.close()


async def test_what_waited_for_long_goes_to_a_slow_database_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "BATCH", 20)
    database, one, version = await _on_a_slow_database(tmp_path)
    for number in range(LINES_PER_MINUTE - 5):
        one.ledger.called(version, "hello", 200, 0.01, f"{number}\n")
    database.seconds, one.store._patience = 0.01, 2.5
    await one.ledger.flush()  # which takes longer than one piece of work may
    assert len(await one.ledger.lines("ada", "hi", 0, 1000)) >= LINES_PER_MINUTE - 5
    await one.close()
