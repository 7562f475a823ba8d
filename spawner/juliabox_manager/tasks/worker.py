"""What the process of a task does: read its order, load the plugin, run it, tell what came of it.

Whatever the plugin does, the manager learns how it ended: by a message of this module, or by the
process' end without one. The plugin's standard output and error are the manager's log.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
import structlog
from pydantic import ValidationError

from juliabox_ext.errors import JuliaBoxError, PluginError, RequestError, UnavailableError
from juliabox_ext.task import MAX_RESULT_BYTES, CommandTask, JBPluginTask, TaskData
from juliabox_manager import logs
from juliabox_manager.protocol import error_from
from juliabox_manager.tasks import wire
from juliabox_manager.tasks.loading import describe, load
from juliabox_manager.tasks.wire import Call, Done, Failed, Fault, Order

#: Politeness towards manager and sessions.
_NICENESS: Final = 10

#: Of all that shares the manager's memory, the kernel ends a task first.
_OOM_SCORE: Final = "1000"

log = structlog.get_logger("juliabox.task")


class Channel:
    """The socket to the manager; also the task's way to call verbs (``ManagerCalls``)."""

    def __init__(self, number: int) -> None:
        os.set_inheritable(number, False)
        self._socket = socket.socket(fileno=number)
        self._answers = self._socket.makefile("rb")
        self._lock = threading.Lock()

    def tell(self, message: wire.Message) -> None:
        """Send one message."""
        line = wire.encode(message)
        if len(line) > wire.MAX_LINE:
            raise ValueError(f"{len(line)} bytes are more than {wire.MAX_LINE}")
        self._socket.sendall(line)

    def call(self, verb: str, **fields: Any) -> Any:
        """Call a verb of the manager and return its answer, or raise its error."""
        with self._lock:
            self.tell(Call(verb, fields))
            line = self._answers.readline()
        if not line:
            raise UnavailableError("the manager has let go of this task", code="task.abandoned")
        answer = wire.decode_answer(line)
        if answer.error is not None:
            raise error_from(answer.error)
        return answer.result


def work(number: int) -> NoReturn:
    """Carry out the order on standard input, and end the process."""
    os.nice(_NICENESS)
    Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    order = wire.decode_order(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    logs.configure(f"task {order.task or 'plugins'}", logs.level(os.environ), sys.stderr)
    channel = Channel(number)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (order.memory_limit or soft, hard))
    try:
        if order.task:
            channel.tell(_run(order, channel))
        else:
            _describe_all(order, channel)
    except OSError:
        pass  # the manager is gone, and the guardian ends this process
    sys.stdout.flush()
    sys.stderr.flush()
    # neither threads nor exit handlers of a plugin hold the process up
    os._exit(0)


def _run(order: Order, channel: Channel) -> Done | Failed:
    """Run a plugin; return what came of it."""
    try:
        plugin, _ = load(order, order.task, channel)
        return Done(_encoded(order.task, _perform(plugin, order)))
    except JuliaBoxError as error:
        log.warning("failed", code=error.code, reason=error.message)
        return Failed(error.code, wire.bounded(error.message))
    except BaseException as error:
        return _failed(order, error)


def _failed(order: Order, error: BaseException) -> Failed:
    """Return what a fault of a plugin becomes; its traceback goes to the log alone."""
    if isinstance(error, MemoryError):
        # what the failed frames hold is let go of, and there must be room to say so
        error.__traceback__ = None
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        limit = order.memory_limit // 1024**2
        return Failed(
            "task.memory",
            f"task {order.task} asked for more than its {limit} MiB of memory; mend it, or raise "
            "its memory_limit",
        )
    log.error("failed", exc_info=error)
    said = f"task {order.task}: {type(error).__name__}: {error}"
    return Failed("task.failed", wire.bounded(said))


def _perform(plugin: JBPluginTask, order: Order) -> Any:
    if order.feature == JBPluginTask.JBP_CMD_ASYNC:
        schema: type[TaskData] = getattr(plugin, "Data", CommandTask.Data)
        try:
            data = schema.model_validate(order.data)
        except ValidationError as error:
            found = [
                f"{'.'.join(map(str, one['loc'])) or 'data'}: {one['msg']}"
                for one in error.errors(include_input=False, include_url=False)
            ]
            raise RequestError(
                f"the data of task {order.task} are refused: {'; '.join(found)}", code="task.data"
            ) from None
        return plugin.do_task(order.feature, data)  # type: ignore[attr-defined]
    return plugin.do_periodic_task(order.feature)  # type: ignore[attr-defined]


def _encoded(task: str, result: Any) -> msgspec.Raw:
    try:
        encoded = msgspec.json.encode(result)
        if len(encoded) <= MAX_RESULT_BYTES:
            wire.decode_result(encoded)
    except (TypeError, ValueError, RecursionError) as error:
        raise PluginError(
            f"task {task} returned what is no JSON value: {error}", code="task.result"
        ) from None
    if len(encoded) > MAX_RESULT_BYTES:
        raise PluginError(
            f"task {task} returned {len(encoded)} bytes; a result has at most {MAX_RESULT_BYTES}",
            code="task.result",
        )
    return msgspec.Raw(encoded)


def _describe_all(order: Order, channel: Channel) -> None:
    for name in order.describe:
        try:
            told: wire.Message = describe(order, name, channel)
        except JuliaBoxError as error:
            told = Fault(name, error.code, wire.bounded(error.message))
        except Exception as error:
            log.exception("failed", plugin=name)
            message = f"plugin {name} failed: {type(error).__name__}: {error}"
            told = Fault(name, "plugin.failed", wire.bounded(message))
        channel.tell(told)
