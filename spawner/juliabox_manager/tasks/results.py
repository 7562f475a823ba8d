"""What came of the runs of tasks, kept in the manager's store."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec
import structlog

from juliabox_ext.errors import NoRoomError, UnavailableError
from juliabox_manager.protocol import TaskResult
from juliabox_manager.store import Store

log = structlog.get_logger("juliabox.manager.tasks")

#: Runs of each task that are kept; with :data:`juliabox_ext.task.MAX_RESULT_BYTES` this bounds
#: what a task takes of the store to about 3 MB.
KEPT: Final = 50

#: Outcomes of runs that have not ended.
OPEN: Final = frozenset({"queued", "running"})


class Results:
    """The last runs of all tasks, also of those that are not enabled any more."""

    def __init__(self, store: Store) -> None:
        """Keep them in ``store``, which is opened by whoever owns it."""
        self._store = store
        #: The newest ended run of each task, without its result.
        self.last: dict[str, TaskResult] = {}
        #: Unix time of each task's and feature's newest run, and of each task's newest success.
        self.begun: dict[tuple[str, str], float] = {}
        self.succeeded: dict[str, float] = {}

    async def open(self) -> None:
        """Read what there is; runs that an earlier manager did not see to their end are lost."""
        for result in await self._store.transact(_close_open):
            self._note(result)

    def _note(self, result: TaskResult) -> None:
        key = (result.task, result.feature)
        self.begun[key] = max(result.started, self.begun.get(key, 0.0))
        if result.outcome not in OPEN:
            self.last[result.task] = msgspec.structs.replace(result, result=None)
        if result.outcome == "ok":
            self.succeeded[result.task] = result.started + result.seconds

    async def write(self, result: TaskResult) -> None:
        """Keep a run as it is now; raise ``NoRoomError`` or ``UnavailableError`` if that fails."""
        self._note(result)
        await self._store.transact(lambda db: _write(db, result))

    async def write_if_possible(self, result: TaskResult) -> None:
        """Keep a run as it is now; a full disk costs the record, not the run."""
        try:
            await self.write(result)
        except (NoRoomError, UnavailableError) as error:
            log.warning("a task's run is not recorded", task=result.task, reason=error.message)

    async def newest(self, task: str | None, limit: int) -> list[TaskResult]:
        """Return the newest runs of one task or of all, newest first."""
        return await self._store.transact(lambda db: _read(db, task, limit))


def _read(db: sqlite3.Connection, task: str | None = None, limit: int = -1) -> list[TaskResult]:
    rows = db.execute(
        "SELECT data FROM task_runs WHERE ?1 IS NULL OR task = ?1 ORDER BY number DESC LIMIT ?2",
        (task, limit),
    )
    return [msgspec.json.decode(data, type=TaskResult) for (data,) in rows]


def _close_open(db: sqlite3.Connection) -> list[TaskResult]:
    """Mark runs that have no end as lost; return all runs, oldest first."""
    results = _read(db)[::-1]
    for number, result in enumerate(results):
        if result.outcome in OPEN:
            results[number] = msgspec.structs.replace(
                result,
                outcome="lost",
                code="task.lost",
                message="the manager ended before this run did",
            )
            _write(db, results[number])
    return results


def _write(db: sqlite3.Connection, result: TaskResult) -> None:
    db.execute(
        "INSERT INTO task_runs (job, task, data) VALUES (?, ?, ?) "
        "ON CONFLICT (job) DO UPDATE SET data = excluded.data",
        (result.job, result.task, msgspec.json.encode(result)),
    )
    db.execute(
        "DELETE FROM task_runs WHERE task = ?1 AND number <= (SELECT number FROM task_runs "
        "WHERE task = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        (result.task, KEPT),
    )
