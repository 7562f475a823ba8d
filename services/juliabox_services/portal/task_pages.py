"""Data of the admins' page of tasks: what runs by itself on each machine, and what came of it."""

from __future__ import annotations

import json
from typing import Literal

from juliabox_ext.task import JBPluginTask
from juliabox_manager import protocol as p
from juliabox_services.portal.handlers import Handler
from juliabox_services.portal.models_admin import Tasks, TaskView

Kind = Literal["node", "cluster", "command"]
State = Literal["never", "running", "succeeded", "failed", "timeout"]

#: Characters of a result that a page shows.
SHOWN = 300

_STATES: dict[str, State] = {
    "queued": "running",
    "running": "running",
    "ok": "succeeded",
    "timeout": "timeout",
}
_FEATURES: tuple[tuple[str, Kind], ...] = (
    (JBPluginTask.JBP_NODE, "node"),
    (JBPluginTask.JBP_CLUSTER, "cluster"),
    (JBPluginTask.JBP_CMD_ASYNC, "command"),
)


async def tasks(handler: Handler, _: str = "") -> Tasks:
    """Return the tasks of this instance, each with its newest run."""
    listed: list[p.TaskInfo] = await handler.parts.instance.ask(p.TaskList())
    results: list[p.TaskResult] = await handler.parts.instance.ask(p.TaskResults(limit=100))
    newest: dict[str, p.TaskResult] = {}
    for result in results:
        newest.setdefault(result.task, result)
    instance = handler.portal.installation
    return Tasks(tasks=[_view(one, newest.get(one.task), instance) for one in listed])


def _view(task: p.TaskInfo, newest: p.TaskResult | None, instance: str) -> TaskView:
    run = newest or task.last
    kind: Kind = next((kind for feature, kind in _FEATURES if feature in task.features), "command")
    state: State = "never" if run is None else _STATES.get(run.outcome, "failed")
    if task.code:
        state = "failed"
    return TaskView(
        name=task.task,
        plugin=task.distribution,
        kind=kind,
        instance=instance,
        schedule=f"every {_span(task.every)}" if task.every else "when asked for",
        state="running" if task.running else state,
        last_run=run.started if run else None,
        duration=run.seconds if run else None,
        next_run=task.next_run or None,
        result=task.message or (_said(run) if run else ""),
        code=task.code or (run.code if run else ""),
    )


def _said(run: p.TaskResult) -> str:
    if run.message or run.result is None:
        return run.message[:SHOWN]
    text = run.result if isinstance(run.result, str) else json.dumps(run.result, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _span(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
