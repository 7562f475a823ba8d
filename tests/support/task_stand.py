"""A manager's tasks, over a store of their own, with a stranger's package on the path."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from juliabox_ext.selection import PluginSelection
from juliabox_manager import protocol
from juliabox_manager.events import EventLog
from juliabox_manager.protocol import TaskList, TaskResult, TaskResults, TaskRun
from juliabox_manager.settings import ManagerSettings
from juliabox_manager.store import Store
from juliabox_manager.tasks.calls import Calls
from juliabox_manager.tasks.tasks import Tasks
from support.door import Door

SOURCE = Path(__file__).with_name("stray_tasks.py")

#: Settings of tasks that hang: a busy machine may need more than their own few seconds to start
#: their process, which is a polite one, and what a test does meanwhile takes its time, too.
PATIENT = {name: {"time_limit": 1000.0} for name in ("hangs", "hangs-in-c", "prints")}

PLUGINS = {
    "greet": "Greet",
    "raises": "Raises",
    "raises_typed": "RaisesTyped",
    "exits": "Exits",
    "exits_politely": "ExitsPolitely",
    "hangs": "Hangs",
    "hangs_in_c": "HangsInC",
    "prints": "Prints",
    "no_json": "NoJson",
    "too_much": "TooMuch",
    "deep": "Deep",
    "deep_words": "DeepWords",
    "nonsense": "Nonsense",
    "leaves": "Leaves",
    "multiplies": "Multiplies",
    "eats": "Eats",
    "asks": "Asks",
    "sleeps": "Sleeps",
    "ticks": "Ticks",
    "rarely": "Rarely",
    "configured": "Configured",
    "lacks": "Lacks",
    "unknown": "Unknown",
    "no_task": "NoTask",
    "bad_schedule": "BadSchedule",
    "needs": "Needs",
    "absent": "Absent",
}


class Stand:
    """The tasks of one manager after the other, over the same state folder."""

    def __init__(self, folder: Path, notes: Path) -> None:
        self.folder = folder
        self.notes = notes
        self.handled: list[tuple[str, protocol.Verb]] = []
        self.worked: list[str] = []
        self.leads = True
        self.store: Store
        self.events: EventLog
        self.tasks: Tasks

    def settings(self, selection: PluginSelection) -> ManagerSettings:
        settings = Door(self.folder).settings()
        return msgspec.structs.replace(settings, plugins=selection)

    async def handle(self, client: str, verb: protocol.Verb) -> Any:
        self.handled.append((client, verb))
        return protocol.Pong(True, "one")

    async def purge(self) -> list[str]:
        self.worked.append("volume.purge")
        return ["a-volume"]

    @contextlib.asynccontextmanager
    async def running(self, *names: str, **selection: Any) -> AsyncIterator[Tasks]:
        """Run a manager's tasks with these plugins enabled."""
        chosen = PluginSelection(enabled=list(names), **selection)
        self.store = Store(self.folder / "manager.sqlite")
        await self.store.open()
        self.events = EventLog(self.store)
        await self.events.open()
        calls = Calls(self.handle, {"volume.purge": self.purge})
        self.tasks = Tasks(
            self.settings(chosen), self.store, self.events, calls, lambda: self.leads
        )
        try:
            await self.tasks.start()
            yield self.tasks
        finally:
            await self.tasks.close()
            await self.store.close()

    async def described(self, number: int) -> dict[str, protocol.TaskInfo]:
        """Wait until so many tasks are known, those at fault included."""
        end = time.monotonic() + 120
        while len(found := await self.tasks.list(TaskList())) < number:
            assert time.monotonic() < end, found
            await asyncio.sleep(0.05)
        return {info.task: info for info in found}

    async def run(self, task: str, client: str = "operator", **data: Any) -> str:
        """Ask for a command as soon as it is known; return the job."""
        end = time.monotonic() + 120
        while task not in {info.task for info in await self.tasks.list(TaskList())}:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        return (await self.tasks.ask(client, TaskRun(task, data))).job

    async def ended(self, job: str, limit: float = 120.0) -> TaskResult:
        """Wait for the end of a job."""
        end = time.monotonic() + limit
        while True:
            for result in await self.tasks.results(TaskResults(limit=100)):
                if result.job == job and result.outcome not in {"queued", "running"}:
                    found: TaskResult = result
                    return found
            assert time.monotonic() < end, f"job {job} has not ended"
            await asyncio.sleep(0.05)

    async def outcome(self, task: str, **data: Any) -> TaskResult:
        """Run a command to its end."""
        return await self.ended(await self.run(task, **data))

    def children(self) -> list[int]:
        """Return the processes of tasks that this process has now."""
        lines: dict[int, str] = {}
        for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends just now
                lines[int(pid)] = Path(f"/proc/{pid}/cmdline").read_text()
        return [pid for pid, line in lines.items() if "tasks.runner" in line]

    async def noted(self, name: str, limit: float = 120.0) -> list[str]:
        """Wait for a note of a task; return its lines."""
        end = time.monotonic() + limit
        while not (self.notes / name).exists() or not (self.notes / name).read_text():
            assert time.monotonic() < end, f"{name} was not noted"
            await asyncio.sleep(0.05)
        return (self.notes / name).read_text().split("\n")[:-1]


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
