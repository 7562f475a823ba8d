"""Mount point ``juliabox.task``: work of the container manager.

A task runs in a process of its own beside the manager, with the manager's rights: the operator who
enables one trusts it. It is killed when its time is up, and harms no other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from juliabox_ext.plugin import Plugin


class TaskData(BaseModel):
    """Base of the schema of what a command is called with; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Schedule:
    """When a periodic task runs: every so many seconds, the first time after ``delay``."""

    every: float
    delay: float = 10.0


class ManagerCalls(Protocol):
    """What a task may ask of the manager that runs it."""

    def call(self, verb: str, **fields: Any) -> Any:
        """Call a verb of the manager (``stats``, ``session.list`` …) and return its answer.

        Answers are JSON values. Raise the verb's error; ``PolicyError`` for a verb that tasks may
        not use.
        """


class JBPluginTask(Plugin):
    """Commands and periodic work."""

    JBP_CMD_ASYNC = "task.cmd.async"
    JBP_NODE = "task.periodic.node"
    JBP_CLUSTER = "task.periodic.cluster"

    #: Seconds that one run may take before it is killed.
    time_limit: ClassVar[float] = 300.0
    #: The manager; set before a method is called.
    manager: ManagerCalls


class CommandTask(JBPluginTask):
    """A command that other parts may ask for with the verb ``task.run`` (``JBP_CMD_ASYNC``)."""

    #: Schema of the data.
    Data: ClassVar[type[TaskData]] = TaskData
    #: Names of the manager's clients that may ask (``hub``, ``portal``, ``api``, ``operator``).
    clients: ClassVar[Sequence[str]] = ("operator",)

    @abstractmethod
    def do_task(self, plugin_type: str, data: TaskData) -> Any:
        """Do it and return a JSON value, the result; ``plugin_type`` is ``JBP_CMD_ASYNC``."""


class PeriodicTask(JBPluginTask):
    """Work on every instance (``JBP_NODE``) or on the leader alone (``JBP_CLUSTER``)."""

    schedule: ClassVar[Schedule] = Schedule(300.0)

    @abstractmethod
    def do_periodic_task(self, plugin_type: str) -> Any:
        """Do it and return a JSON value, the result.

        ``plugin_type`` tells which feature is due. A run never overlaps another of its plugin, and
        may be repeated after a crash: make it idempotent.
        """


JBPluginTask.functionalities = {
    JBPluginTask.JBP_CMD_ASYNC: CommandTask,
    JBPluginTask.JBP_NODE: PeriodicTask,
    JBPluginTask.JBP_CLUSTER: PeriodicTask,
}
