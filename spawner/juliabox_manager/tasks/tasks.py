"""The tasks of one manager: when each runs, in what order, and what it leaves behind.

A run waits for the run of the same plugin before it, then for one of :data:`AT_ONCE` places. So a
task that hangs holds one place until its time is up, and takes none from its next run. What a
schedule makes due while a run of it waits or runs is left out.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from juliabox_ext.errors import NoRoomError, NotFoundError, PluginError
from juliabox_ext.task import JBPluginTask
from juliabox_manager.events import EventLog
from juliabox_manager.live import settle
from juliabox_manager.metrics import METRICS
from juliabox_manager.protocol import (
    TaskInfo,
    TaskJob,
    TaskList,
    TaskResult,
    TaskResults,
    TaskRun,
)
from juliabox_manager.settings import ManagerSettings
from juliabox_manager.store import Store
from juliabox_manager.tasks.calls import Calls
from juliabox_manager.tasks.declared import Declared, Task
from juliabox_manager.tasks.process import Ending, converse
from juliabox_manager.tasks.results import Results
from juliabox_manager.tasks.wire import Answer, Call, Done, Failed, Message, decode_result

log = structlog.get_logger("juliabox.manager.tasks")

#: Runs at the same time: with fewer, two tasks that hang would keep the others waiting.
AT_ONCE: Final = 4

#: Commands of one task that may wait.
QUEUE: Final = 20

#: Share of its interval, and seconds at most, by which a run comes earlier or later.
_JITTER, _MAX_JITTER = 0.1, 30.0

_SCHEDULE: Final = "schedule"


class Tasks:
    """Runs tasks by schedule and on demand."""

    def __init__(
        self,
        settings: ManagerSettings,
        store: Store,
        events: EventLog,
        calls: Calls,
        is_leader: Callable[[], bool] = lambda: True,
    ) -> None:
        """Put the parts together; nothing runs before :meth:`start`.

        ``is_leader`` tells whether this instance runs the tasks of the cluster.
        """
        self._settings = settings
        self._results = Results(store)
        self._events = events
        self._calls = calls
        self._is_leader = is_leader
        self._declared = Declared(settings, self._schedule)
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._turns: dict[str, asyncio.Lock] = {}
        self._running: set[str] = set()
        self._queued: Counter[str] = Counter()
        self._work: set[asyncio.Task[Any]] = set()

    # -- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Find out which tasks there are, and begin to run them.

        Waits for that only if the operator requires one of the enabled plugins; raises
        ``PluginError`` if that one cannot be loaded.
        """
        await self._results.open()
        for task, moment in self._results.succeeded.items():
            METRICS.task_success.labels(task).set(moment)
        self._scheduler.start()
        finding = self._in_background(self._declared.find(), "describe tasks")
        if set(self._settings.plugins.required) & set(self._settings.plugins.enabled):
            await finding
            self._refuse_without_required()

    def _refuse_without_required(self) -> None:
        for fault in self._declared.faults:
            if fault.plugin in self._settings.plugins.required:
                raise PluginError(
                    f"{fault.message}. It is listed in plugins.required", code=fault.code
                )

    async def close(self) -> None:
        """Start nothing more and kill what runs."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        await settle(*self._work)

    def _in_background(self, work: Any, name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=name)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    # -- the schedule -------------------------------------------------------------------------

    def _schedule(self, task: Task) -> None:
        """Let the schedule make a task due, the first time when it would have been due by now."""
        name, now = task.info.name, time.time()
        every, delay = task.about.every, task.about.delay
        jitter = min(every * _JITTER, _MAX_JITTER)
        for feature in task.periodic:
            begun = self._results.begun.get((name, feature), 0.0)
            # a record of the future is one of a clock that was set back
            due = begun + every if begun <= now else now
            self._scheduler.add_job(
                self._due,
                IntervalTrigger(seconds=every, jitter=jitter, timezone=UTC),
                args=(task, feature),
                id=f"{name} {feature}",
                next_run_time=datetime.fromtimestamp(max(due, now + delay), UTC),
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )

    async def _due(self, task: Task, feature: str) -> None:
        """Run a task that its schedule has made due; returns when the run is over."""
        if feature == JBPluginTask.JBP_CLUSTER and not self._is_leader():
            return
        result = _new(task, feature, _SCHEDULE)
        await self._in_background(self._run(task, result, {}), f"task {result.task}")

    # -- verbs --------------------------------------------------------------------------------

    async def ask(self, client: str, verb: TaskRun) -> TaskJob:
        """Queue a command of a client; raise what refuses task, client or data."""
        task = self._named(verb.task)
        data = await task.check(client, verb.data)
        if self._queued[verb.task] >= QUEUE:
            raise NoRoomError(
                f"{QUEUE} runs of task {verb.task} wait already: ask again later",
                code="no_room.tasks",
            )
        result = _new(task, JBPluginTask.JBP_CMD_ASYNC, client, "queued")
        self._queued[verb.task] += 1
        try:
            await self._results.write(result)
        except BaseException:
            self._queued[verb.task] -= 1
            raise
        self._in_background(self._run_queued(task, result, data), f"task {verb.task}")
        return TaskJob(result.job)

    def _named(self, name: str) -> Task:
        task = self._declared.tasks.get(name)
        if task is not None:
            return task
        for fault in self._declared.faults:
            if fault.plugin == name:
                raise PluginError(fault.message, code=fault.code)
        known = ", ".join(sorted(self._declared.tasks)) or "none"
        raise NotFoundError(
            f"there is no task {name!r}; this manager has: {known}", code="not_found.task"
        )

    async def list(self, _: TaskList) -> list[TaskInfo]:
        """Return the enabled tasks, those at fault included, by name."""
        found = [self._info(task) for task in self._declared.tasks.values()]
        found += [
            TaskInfo(
                task=fault.plugin,
                distribution=fault.distribution,
                features=[],
                every=0.0,
                next_run=0.0,
                time_limit=0.0,
                running=False,
                clients=[],
                data={},
                last=self._results.last.get(fault.plugin),
                code=fault.code,
                message=fault.message,
            )
            for fault in self._declared.faults
        ]
        return sorted(found, key=lambda info: info.task)

    def _info(self, task: Task) -> TaskInfo:
        name, about = task.info.name, task.about
        jobs = [self._scheduler.get_job(f"{name} {feature}") for feature in task.periodic]
        due = [job.next_run_time.timestamp() for job in jobs if job and job.next_run_time]
        return TaskInfo(
            task=name,
            distribution=f"{task.info.distribution} {task.info.version}",
            features=about.features,
            every=about.every,
            next_run=min(due, default=0.0),
            time_limit=about.time_limit,
            running=name in self._running,
            clients=about.clients,
            data=about.data,
            last=self._results.last.get(name),
        )

    async def results(self, verb: TaskResults) -> Any:
        """Return the newest runs, newest first."""
        return await self._results.newest(verb.task, verb.limit)

    # -- runs ---------------------------------------------------------------------------------

    async def _run_queued(self, task: Task, result: TaskResult, data: dict[str, Any]) -> None:
        name = task.info.name
        try:
            async with self._turn(name):
                self._queued[name] -= 1
                await self._run_in_turn(task, result, data)
        except asyncio.CancelledError:
            log.info("the manager ends before a task's run", task=name, job=result.job)
            raise

    async def _run(self, task: Task, result: TaskResult, data: dict[str, Any]) -> None:
        async with self._turn(task.info.name):
            await self._run_in_turn(task, result, data)

    def _turn(self, name: str) -> asyncio.Lock:
        return self._turns.setdefault(name, asyncio.Lock())

    async def _run_in_turn(self, task: Task, result: TaskResult, data: dict[str, Any]) -> None:
        name = task.info.name
        async with self._places:
            self._running.add(name)
            begun = time.monotonic()
            result = msgspec.structs.replace(result, outcome="running", started=time.time())
            try:
                await self._results.write_if_possible(result)
                result = await self._perform(task, result, data)
            finally:
                self._running.discard(name)
        await self._ended(msgspec.structs.replace(result, seconds=time.monotonic() - begun))

    async def _perform(self, task: Task, result: TaskResult, data: dict[str, Any]) -> TaskResult:
        """Let a process do the run; return what came of it."""
        last: list[Done | Failed] = []

        async def heard(message: Message) -> Answer | None:
            if isinstance(message, Call):
                return await self._calls.answer(task.info.name, message)
            if isinstance(message, Done | Failed):
                last.append(message)
            return None

        about = task.about
        order = self._declared.order(
            task=task.info.name,
            feature=result.feature,
            data=data,
            memory_limit=about.memory_limit,
        )
        try:
            ending = await converse(order, about.time_limit, heard)
        except OSError as error:
            failed = Failed("task.ended", f"no process can be started: {error}")
            return _with(result, failed, Ending(0), task)
        except Exception:
            log.exception("the manager failed at a task's run", task=task.info.name)
            failed = Failed("internal", "the manager failed at this run: its log has the cause")
            return _with(result, failed, Ending(0), task)
        return _with(result, last[0] if last else None, ending, task)

    async def _ended(self, result: TaskResult) -> None:
        """Record, count and tell a run that has ended."""
        METRICS.task_runs.labels(result.task, result.outcome).inc()
        METRICS.task_seconds.labels(result.task).observe(result.seconds)
        if result.outcome == "ok":
            METRICS.task_success.labels(result.task).set(time.time())
            log.info("a task is done", task=result.task, seconds=round(result.seconds, 2))
        else:
            log.warning("a task failed", task=result.task, code=result.code, reason=result.message)
        await self._results.write_if_possible(result)
        self._events.emit("task.done", result.task, result.outcome)


def _new(task: Task, feature: str, client: str, outcome: Any = "running") -> TaskResult:
    return TaskResult(
        job=uuid.uuid4().hex,
        task=task.info.name,
        feature=feature,
        client=client,
        outcome=outcome,
        started=time.time(),
    )


def _with(result: TaskResult, last: Done | Failed | None, ending: Ending, task: Task) -> TaskResult:
    """Return a run's result with what came of it."""
    name, limit = task.info.name, task.about.time_limit
    match last:
        case Done(result=returned):
            try:
                value = decode_result(bytes(returned))
            except ValueError as error:
                said = f"task {name} returned what is no JSON value: {error}"
                return msgspec.structs.replace(
                    result, outcome="failed", code="task.result", message=said
                )
            return msgspec.structs.replace(result, outcome="ok", result=value)
        case Failed(code=code, message=message):
            return msgspec.structs.replace(result, outcome="failed", code=code, message=message)
    if ending.timed_out:
        return msgspec.structs.replace(
            result,
            outcome="timeout",
            code="task.timeout",
            message=f"task {name} was killed after {limit:g} s, its time limit",
        )
    why = ending.unreadable or f"its process ended with exit code {ending.code}"
    return msgspec.structs.replace(
        result,
        outcome="failed",
        code="task.ended",
        message=f"task {name} gave no result: {why}",
    )
