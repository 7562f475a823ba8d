"""A manager for tasks in tests, and a task that does nothing but keep the contract."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from juliabox_ext.errors import JuliaBoxError, PluginError, PolicyError, RequestError
from juliabox_ext.plugin import Plugin, PluginContext
from juliabox_ext.task import TASK_CALLS, CommandTask, JBPluginTask, PeriodicTask, TaskData

T = TypeVar("T", bound=JBPluginTask)

#: What the manager of an instance with two people answers; a test may change its copy.
ANSWERS: dict[str, Any] = {
    "image.check": [
        {
            "image": "juliabox/julia",
            "id": "sha256:" + "1" * 64,
            "present": True,
            "created": 1_700_000_000.0,
            "newest": "sha256:" + "2" * 64,
            "newest_created": 1_700_086_400.0,
        }
    ],
    "image.list": [{"image": "juliabox/julia", "id": "sha256:" + "1" * 64, "present": True}],
    "ping": {"ready": True, "instance": "fake", "protocol": 1},
    "reconcile": {"orphan": 1},
    "session.list": [
        {
            "session": f"{number:016x}",
            "owner": owner,
            "server": "",
            "state": "running",
            "image": "juliabox/julia",
            "profile": "",
            "limits": {"memory": 2**30, "cpu": 1.0, "pids": 512, "disk": 2**31},
            "container": f"{number:064x}",
            "address": f"10.0.0.{number}",
            "port": 8888,
            "started": 1_700_000_000.0,
            "stale": owner == "emmy",
            "stage": "",
            "exit": None,
            "ended": 0.0,
        }
        for number, owner in ((1, "ada"), (2, "emmy"))
    ],
    "session.usages": [],
    "stats": {
        "sessions": 2,
        "sessions_limit": 8,
        "memory_total": 8 * 2**30,
        "memory_promised": 2 * 2**30,
        "disk_free": 100 * 2**30,
        "engine": "20.10",
        "volumes_used": 12.5,
    },
    "volume.list": [
        {
            "volume": f"{owner}-0",
            "owner": owner,
            "kind": "home",
            "size": 2**31,
            "allocated": 2**28,
            "sessions": [f"{number:016x}"],
            "state": "mounted",
            "delete_after": 0.0,
        }
        for number, owner in ((1, "ada"), (2, "emmy"))
    ],
    "volume.purge": ["leslie-0-1700000000"],
    "volume.refresh": [
        {"session": "0" * 15 + "1", "owner": "ada", "size": 2**31, "used": 2**30},
        {"session": "0" * 15 + "2", "owner": "emmy", "size": 2**31, "used": None},
    ],
}


class FakeManager:
    """Answers what a manager would (``ManagerCalls``), from :attr:`answers`."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = copy.deepcopy(ANSWERS)
        #: What was called, with its fields.
        self.called: list[tuple[str, dict[str, Any]]] = []
        #: Verb -> the error that it raises.
        self.errors: dict[str, JuliaBoxError] = {}

    def call(self, verb: str, **fields: Any) -> Any:
        """Answer a call; refuse what a manager would refuse."""
        self.called.append((verb, fields))
        if verb not in TASK_CALLS:
            raise PolicyError(f"a task may not call {verb!r}", code="task.verb")
        if fields and verb not in {"volume.list", "session.usages"}:
            raise RequestError(f"{verb} takes no fields")
        if verb in self.errors:
            raise self.errors[verb]
        return copy.deepcopy(self.answers[verb])


def make_task(
    task: type[T],
    folder: Path,
    manager: FakeManager | None = None,
    providers: dict[str, Plugin] | None = None,
    **settings: Any,
) -> T:
    """Return a task as a run's process has it: with a manager, settings checked, configured.

    ``providers`` are the plugins of what it requires, by feature.
    """
    given = providers or {}

    def feature(wanted: str) -> Plugin:
        if wanted not in given:
            raise PluginError(f"no plugin provides {wanted}", code="plugin.absent")
        return given[wanted]

    made = task(
        PluginContext(
            name=task.__name__.lower(),
            settings=task.Settings.model_validate(settings),
            folder=folder,
            feature=feature,
        )
    )
    made.manager = manager or FakeManager()
    made.configure()
    return made


class Echo(TaskData):
    """What :class:`FakeTask` is called with."""

    text: str = ""


class FakeTask(PeriodicTask, CommandTask):
    """Returns what it is given, and asks the manager whether it is there."""

    provides: ClassVar = [
        JBPluginTask.JBP_CMD_ASYNC,
        JBPluginTask.JBP_NODE,
        JBPluginTask.JBP_CLUSTER,
    ]
    Data = Echo

    def do_task(self, plugin_type: str, data: TaskData) -> dict[str, Any]:
        """Return the data."""
        return {"type": plugin_type, "data": data.model_dump()}

    def do_periodic_task(self, plugin_type: str) -> dict[str, Any]:
        """Return what the manager says."""
        return {"type": plugin_type, "instance": self.manager.call("ping")["instance"]}
