"""Mount point ``juliabox.task``: work of the container manager.

A task runs in a process of its own beside the manager, with the manager's rights: the operator who
enables one trusts it. For each run the process is made anew; it loads this one plugin and the
providers of what it ``requires``, and is killed with all that it started when the run is over or
its time is up. So a task keeps nothing in memory from run to run, and harms no other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from juliabox_ext.plugin import Plugin, PluginSettings

#: Bytes of JSON that a run may return, and that a command may be given.
MAX_RESULT_BYTES = 64 * 1024
MAX_DATA_BYTES = 64 * 1024

#: What :class:`ManagerCalls` admits: verbs that look, and work of the manager that is safe at any
#: time. The latter take no fields:
#:
#: ``volume.refresh``  measure the homes that are attached; a list with ``session``, ``owner``,
#:                     ``size`` and ``used``
#: ``volume.purge``    delete volumes whose grace period is over; a list of their names
#: ``reconcile``       bring engine, slots and records together; a map of kind -> repairs made
#: ``image.check``     what the engine holds of the allowed images; a list with ``image``, ``id``,
#:                     ``present``, ``created`` (Unix time, 0 if absent), and ``newest`` and
#:                     ``newest_created`` of the newest image that has this name
TASK_CALLS: Sequence[str] = (
    "image.check",
    "image.list",
    "ping",
    "reconcile",
    "session.list",
    "session.usages",
    "stats",
    "volume.list",
    "volume.purge",
    "volume.refresh",
)


class TaskData(BaseModel):
    """Base of the schema of what a command is called with; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskSettings(PluginSettings):
    """Settings that a task has unless its class says otherwise: the operator may retime it."""

    #: Seconds between two runs of a periodic task; None for the plugin's own schedule.
    every: float | None = Field(None, ge=1, le=366 * 86400)
    #: Seconds that one run may take; None for the plugin's own limit.
    time_limit: float | None = Field(None, ge=1, le=86400)


@dataclass(frozen=True)
class Schedule:
    """When a periodic task runs: every so many seconds, the first time after ``delay``.

    A run that was due while the manager was down is made up for, once, ``delay`` seconds after its
    start. Both are stretched a little at random, so that not all tasks run at once.
    """

    every: float
    delay: float = 10.0


class ManagerCalls(Protocol):
    """What a task may ask of the manager that runs it."""

    def call(self, verb: str, **fields: Any) -> Any:
        """Call one of :data:`TASK_CALLS` and return its answer, made of JSON values.

        Raise the verb's error; ``PolicyError`` for what tasks may not call.
        """


class JBPluginTask(Plugin):
    """Commands and periodic work."""

    JBP_CMD_ASYNC = "task.cmd.async"
    JBP_NODE = "task.periodic.node"
    JBP_CLUSTER = "task.periodic.cluster"

    Settings: ClassVar[type[PluginSettings]] = TaskSettings

    #: Seconds that one run may take before it is killed, loading included.
    time_limit: ClassVar[float] = 300.0
    #: Bytes of memory that each process of a run may allocate.
    memory_limit: ClassVar[int] = 512 * 1024**2
    #: The manager; set before a method is called, ``configure`` included.
    manager: ManagerCalls


class CommandTask(JBPluginTask):
    """A command that other parts may ask for with the verb ``task.run`` (``JBP_CMD_ASYNC``)."""

    #: Schema of the data. What JSON Schema can tell of it is checked before the verb is answered,
    #: all of it before :meth:`do_task` is called.
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
