"""The tasks that the operator enabled: described by processes of their own, never imported here.

A task that cannot be loaded, or with which a process ends or hangs, is a fault of that task alone:
the others are described by a further process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from juliabox_ext.catalog import PluginInfo
from juliabox_ext.errors import PolicyError, RequestError
from juliabox_ext.registry import PluginFault, chosen
from juliabox_ext.task import MAX_DATA_BYTES, JBPluginTask
from juliabox_manager.metrics import METRICS
from juliabox_manager.protocol import error_info
from juliabox_manager.settings import ManagerSettings
from juliabox_manager.tasks.loading import GROUP
from juliabox_manager.tasks.process import Ending, converse
from juliabox_manager.tasks.wire import Answer, Call, Description, Fault, Message, Order

if TYPE_CHECKING:
    from juliabox_manager.tasks.schemas import DataSchema

log = structlog.get_logger("juliabox.manager.tasks")

#: Seconds in which a process must have described its next task; more than the registry itself
#: gives a plugin to be configured.
DESCRIBE_LIMIT: Final = 45.0

#: Bytes of memory of the process that describes.
DESCRIBE_MEMORY: Final = 512 * 1024**2

_PERIODIC = (JBPluginTask.JBP_NODE, JBPluginTask.JBP_CLUSTER)


@dataclass(frozen=True)
class Task:
    """A task that can run: what its plugin says of itself, and who may ask for it with what."""

    info: PluginInfo
    about: Description

    @property
    def periodic(self) -> list[str]:
        """The features that a schedule is for."""
        return [feature for feature in _PERIODIC if feature in self.about.features]

    async def check(self, client: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return a command's data as JSON values; raise what refuses client or data."""
        if JBPluginTask.JBP_CMD_ASYNC not in self.about.features:
            raise RequestError(
                f"task {self.info.name} is no command: it runs by its schedule alone",
                code="task.not_a_command",
            )
        if client not in self.about.clients:
            allowed = ", ".join(self.about.clients) or "nobody"
            raise PolicyError(
                f"client {client!r} may not ask for task {self.info.name}; allowed: {allowed}",
                code="task.client",
            )
        encoded = msgspec.json.encode(data)
        if len(encoded) > MAX_DATA_BYTES:
            raise RequestError(
                f"{len(encoded)} bytes of data are more than {MAX_DATA_BYTES}", code="task.data"
            )
        plain: dict[str, Any] = msgspec.json.decode(encoded)
        schema = await asyncio.to_thread(_schema, self.info.name, self.about.data)
        wrong = schema.wrong(plain)
        if wrong:
            raise RequestError(
                f"the data of task {self.info.name} are refused: {'; '.join(wrong[:5])}",
                code="task.data",
            )
        return plain


def _schema(task: str, data: dict[str, Any]) -> DataSchema:
    """Return the schema of a task's data; for a thread: its module is slow to import."""
    from juliabox_manager.tasks.schemas import DataSchema  # noqa: PLC0415

    return DataSchema(task, data)


class Declared:
    """The enabled tasks of one manager: those that can run, and what is wrong with the others."""

    def __init__(self, settings: ManagerSettings, found: Callable[[Task], None]) -> None:
        """Take the selection from the manager's settings; nothing is looked at before `find`.

        ``found`` is told of each task that can run, as soon as it is known.
        """
        self._settings = settings
        self._found = found
        self.tasks: dict[str, Task] = {}
        self.faults: list[PluginFault] = []

    def order(self, **changes: Any) -> Order:
        """Return an order with what is the same for all of this manager."""
        return Order(
            selection=self._settings.plugins,
            installation=self._settings.installation,
            instance=self._settings.instance,
            folder=str(self._settings.state / "manager" / "plugins"),
            **changes,
        )

    async def find(self) -> None:
        """Describe all enabled tasks; what is wrong is kept in :attr:`faults`."""
        begun = time.monotonic()
        infos, faults = chosen(self._settings.plugins, [GROUP])
        for fault in faults:
            if fault.group == GROUP:
                self._add(fault)
        left = {info.name: info for info in infos}
        while left:
            await self._describe(left)
        log.info(
            "tasks described", tasks=sorted(self.tasks), seconds=round(time.monotonic() - begun, 2)
        )

    async def _describe(self, left: dict[str, PluginInfo]) -> None:
        """Let one process describe tasks; take those from ``left`` that are dealt with."""

        async def heard(message: Message) -> Answer | None:
            match message:
                case Description(name=name) if name in left:
                    self.tasks[name] = Task(left.pop(name), message)
                    self._found(self.tasks[name])
                case Fault(name=name, code=code, message=reason) if name in left:
                    self._blame(left.pop(name), code, reason)
                case Call():
                    error = PolicyError("verbs are for runs", code="task.verb")
                    return Answer(error=error_info(error))
            return None

        order = self.order(describe=list(left), memory_limit=DESCRIBE_MEMORY)
        try:
            ending = await converse(order, DESCRIBE_LIMIT, heard, anew=True)
        except OSError as error:
            ending = Ending(0, unreadable=f"cannot be examined: no process can be started: {error}")
        if left:
            # the process worked on the first that is left
            info = left.pop(next(iter(left)))
            why = (
                "did not come to an end"
                if ending.timed_out
                else ending.unreadable or f"ended its process with exit code {ending.code}"
            )
            self._blame(info, "plugin.hangs" if ending.timed_out else "plugin.failed", why)

    def _blame(self, info: PluginInfo, code: str, reason: str) -> None:
        message = reason if info.name in reason else f"{info}: {reason}"
        self._add(PluginFault(info.name, info.group, info.distribution, code, message))

    def _add(self, fault: PluginFault) -> None:
        METRICS.task_faults.labels(fault.plugin, fault.distribution, fault.code).set(1)
        log.error("a task is not there", plugin=fault.plugin, reason=fault.message)
        self.faults.append(fault)
