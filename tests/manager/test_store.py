"""The store: what it keeps through restarts, full disks and a damaged write-ahead log."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from juliabox_ext.errors import ConfigurationError, NoRoomError
from juliabox_manager import store as store_module
from juliabox_manager.events import EventLog
from juliabox_manager.protocol import Limits
from juliabox_manager.records import SessionRecord
from juliabox_manager.store import Store

LIMITS = Limits(memory=2**27, cpu=1, pids=64, disk=2**25)


def a_record(number: int = 1, **changes: object) -> SessionRecord:
    record = SessionRecord(
        session=f"{number:016x}",
        owner=f"owner-{number}",
        server="",
        image="juliabox/julia",
        image_id="sha256:1",
        profile="",
        limits=LIMITS,
        digest="d",
        created=float(number),
    )
    for name, value in changes.items():
        setattr(record, name, value)
    return record


@pytest.fixture
async def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "manager.sqlite")
    await opened.open()
    yield opened
    await opened.close()


async def test_records_come_back_oldest_first_with_the_step_they_reached(tmp_path: Path) -> None:
    first = Store(tmp_path / "manager.sqlite")
    await first.open()
    await first.record(a_record(2), "create.recorded")
    await first.record(a_record(1, state="running"), "start.running")
    await first.close()
    again = Store(tmp_path / "manager.sqlite")
    await again.open()
    assert [(r.session[-1], r.state, r.step) for r in await again.sessions()] == [
        ("1", "running", "start.running"),
        ("2", "created", "create.recorded"),
    ]
    await again.close()


async def test_api_containers_of_one_owner_exclude_neither_each_other_nor_a_session(
    store: Store,
) -> None:
    kept = [a_record(1), *(a_record(one, kind="api", api="fib", version=3) for one in (2, 3))]
    for record in kept:
        record.owner = "ada"
        await store.record(record, "create.recorded")
    assert await store.sessions() == kept


async def test_a_second_manager_over_the_same_file_is_refused(store: Store, tmp_path: Path) -> None:
    await store.record(a_record(), "create.recorded")
    second = Store(tmp_path / "manager.sqlite")
    with pytest.raises(ConfigurationError, match="another manager"):
        await second.open()


async def test_a_file_of_a_newer_manager_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "manager.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    newer = Store(tmp_path / "manager.sqlite")
    with pytest.raises(ConfigurationError, match="newer"):
        await newer.open()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "manager.sqlite").write_bytes(b"no database " * 1000)
    damaged = Store(tmp_path / "manager.sqlite")
    with pytest.raises(ConfigurationError, match="damaged"):
        await damaged.open()
    assert (tmp_path / "manager.sqlite").read_bytes().startswith(b"no database")


@pytest.mark.parametrize("left", [0.0, 0.3, 0.9], ids=["lost", "torn", "nearly-whole"])
async def test_a_truncated_log_costs_no_record(store: Store, tmp_path: Path, left: float) -> None:
    for number in range(1, 21):
        await store.record(a_record(number), "create.recorded")
    await store.forget(a_record(20).session)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("manager.sqlite", "manager.sqlite-wal"):
        shutil.copy(tmp_path / name, crashed / name)
    log = crashed / "manager.sqlite-wal"
    os.truncate(log, int(log.stat().st_size * left))
    recovered = Store(crashed / "manager.sqlite")
    await recovered.open()
    assert [r.created for r in await recovered.sessions()] == [float(n) for n in range(1, 20)]
    await recovered.close()


async def test_records_survive_a_kill_at_any_moment(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
sys.path[:0] = {sys.path!r}
from juliabox_manager.store import Store
from pathlib import Path
from manager.test_store import a_record
async def main():
    store = Store(Path({str(tmp_path / "manager.sqlite")!r}))
    await store.open()
    for number in range(1, 100000):
        await store.record(a_record(number), "create.recorded")
        print(number, flush=True)
asyncio.run(main())
"""
    for _ in range(3):
        writer = subprocess.Popen(  # noqa: ASYNC220 nothing else runs in this loop
            [sys.executable, "-c", program], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(30)]
        writer.kill()
        told += [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        writer.stdout.close()
        opened = Store(tmp_path / "manager.sqlite")
        await opened.open()
        assert {int(r.created) for r in await opened.sessions()} >= set(told)
        await opened.close()


async def test_answers_are_kept_by_client_and_survive_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path / "manager.sqlite")
    await first.open()
    await first.record_answer("hub", "a" * 32, b"reply")
    await first.close()
    again = Store(tmp_path / "manager.sqlite")
    await again.open()
    assert await again.recorded_answer("hub", "a" * 32) == b"reply"
    assert await again.recorded_answer("cli", "a" * 32) is None
    await again.close()


async def test_answers_go_after_an_hour_of_uptime_and_not_by_the_wall_clock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.record_answer("hub", "a" * 32, b"reply")
    monkeypatch.setattr(time, "time", lambda: 9e9)
    await store.flush()
    assert await store.recorded_answer("hub", "a" * 32) == b"reply"
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + store_module.ANSWER_AGE + 1)
    await store.flush()
    assert await store.recorded_answer("hub", "a" * 32) is None


async def test_answers_are_bounded_in_number(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "ANSWER_COUNT", 10)
    for number in range(30):
        await store.record_answer("hub", f"{number:032x}", b"reply")
    await store.flush()
    kept = [n for n in range(30) if await store.recorded_answer("hub", f"{n:032x}")]
    assert kept == list(range(20, 30)) or kept == list(range(19, 30))


async def test_event_numbers_never_go_back_over_restarts_and_clock_jumps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = -1
    for clock in (1_700_000_000.0, 1_600_000_000.0, 1_650_000_000.0):
        monkeypatch.setattr(time, "time", lambda clock=clock: clock)
        opened = Store(tmp_path / "manager.sqlite")
        await opened.open()
        events = EventLog(opened)
        await events.open()
        (cursor,) = await events.after(-1, 0, None)
        assert cursor.sequence >= newest
        for _ in range(50):
            events.emit("session.state", "running", "", session="1" * 16)
        newest = (await events.after(cursor.sequence, 0, None))[-1].sequence
        assert newest == cursor.sequence + 50
        await opened.close()


async def test_waiting_readers_wake_for_their_session_only(store: Store) -> None:
    import asyncio

    events = EventLog(store)
    await events.open()
    (cursor,) = await events.after(-1, 0, None)
    reading = asyncio.create_task(events.after(cursor.sequence, 60, "b" * 16))
    await asyncio.sleep(0)
    events.emit("session.stage", "mount", "", session="a" * 16)
    await asyncio.sleep(0.01)
    assert not reading.done()
    events.emit("session.stage", "mount", "Mounting", session="b" * 16)
    (event,) = await reading
    assert (event.kind, event.session, event.value) == ("session.stage", "b" * 16, "mount")
    assert await events.after(event.sequence, 0.01, None) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    image, folder = tmp_path / "disk.img", tmp_path / "small"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(2 * 1024**2)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.engine
async def test_a_full_disk_refuses_intents_keeps_the_rest_and_recovers(small_disk: Path) -> None:
    store = Store(small_disk / "manager" / "manager.sqlite")
    await store.open()
    running = a_record(1, state="running")
    await store.record(running, "start.running")
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 512)
    refused = None
    for number in range(2, 200):
        # the first few may still fit into pages that the files have already
        try:
            await store.record(a_record(number, profile="p" * 60), "create.recorded")
        except NoRoomError as error:
            refused = error
            break
    assert refused is not None and refused.code == "no_room.disk"
    assert "free disk space" in refused.message
    ended = a_record(number - 1, state="ended", profile="p" * 60)
    running.state = "ended"
    for record in (running, ended):
        await store.record(record, "end.ended")
    await store.record_answer("hub", "f" * 32, b"x" * 3000)
    assert await store.recorded_answer("hub", "f" * 32) == b"x" * 3000
    filler.unlink()
    await store.flush()
    await store.close()
    again = Store(small_disk / "manager" / "manager.sqlite")
    await again.open()
    found = await again.sessions()
    assert len(found) == number - 1
    assert found[0].state == "ended"
    assert await again.recorded_answer("hub", "f" * 32) == b"x" * 3000
    await again.close()
