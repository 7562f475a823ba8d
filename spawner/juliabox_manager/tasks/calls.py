"""What tasks may ask of the manager: the closed list of :data:`juliabox_ext.task.TASK_CALLS`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog

from juliabox_ext.errors import InternalError, JuliaBoxError, PolicyError, RequestError
from juliabox_ext.task import TASK_CALLS
from juliabox_manager.protocol import Verb, error_info
from juliabox_manager.tasks.wire import Answer, Call
from juliabox_manager.verbs import VERBS

log = structlog.get_logger("juliabox.manager.tasks")

#: Carries out a verb for a client: the manager's own way in.
Handle = Callable[[str, Verb], Awaitable[Any]]

#: Work of the manager that is no verb of clients, by its name; it takes no fields.
Works = Mapping[str, Callable[[], Awaitable[Any]]]


class Calls:
    """Answers the calls of tasks."""

    def __init__(self, handle: Handle, works: Works) -> None:
        """Answer by verbs of the manager and by works of its own."""
        self._handle = handle
        self._works = works

    async def answer(self, task: str, call: Call) -> Answer:
        """Answer one call; whatever goes wrong becomes an error that the task is told."""
        try:
            return Answer(msgspec.to_builtins(await self._perform(task, call)))
        except JuliaBoxError as error:
            return Answer(error=error_info(error))
        except Exception:
            log.exception("a call of a task failed", task=task, verb=call.verb)
            fault = InternalError(f"the manager failed at {call.verb}: its log has the cause")
            return Answer(error=error_info(fault))

    async def _perform(self, task: str, call: Call) -> Any:
        if call.verb not in TASK_CALLS:
            log.warning("call refused", audit=True, task=task, verb=call.verb[:60])
            raise PolicyError(
                f"task {task} may not call {call.verb!r}; tasks may call: {', '.join(TASK_CALLS)}",
                code="task.verb",
            )
        work = self._works.get(call.verb)
        if work is None:
            try:
                verb = msgspec.convert({**call.fields, "verb": call.verb}, VERBS[call.verb])
            except msgspec.ValidationError as error:
                raise RequestError(f"{call.verb}: {error}") from None
            return await self._handle(f"task:{task}", verb)
        if call.fields:
            raise RequestError(f"{call.verb} takes no fields")
        return await work()
