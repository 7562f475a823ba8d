"""What the manager and the process of a task say to each other.

The order comes as JSON on the process' standard input. All else are lines of JSON on one socket:
the process describes plugins, calls verbs, and says how its run ended; the manager answers calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, field

from juliabox_ext.selection import PluginSelection
from juliabox_ext.task import MAX_RESULT_BYTES
from juliabox_manager.protocol import ErrorInfo

#: Longest line, in bytes: a result or a schema with what is around it.
MAX_LINE = MAX_RESULT_BYTES + 32 * 1024

#: Lists and mappings within each other in a result: every reader of it, whatever else is on its
#: stack, must be able to follow.
MAX_DEPTH = 64

#: Longest message of an error that is kept, in characters.
MAX_MESSAGE = 2000


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a process of a task is for: describe plugins, or run one."""

    #: Name of the plugin to run; empty to describe.
    task: str = ""
    #: Plugins to describe.
    describe: list[str] = field(default_factory=list)
    #: The feature that is due, and the data of a command.
    feature: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    memory_limit: int = 0
    selection: PluginSelection
    installation: str
    instance: str
    folder: str


class Description(Struct, frozen=True, kw_only=True, tag="description"):
    """What the manager must know of a task to run it: read from its class and its settings."""

    name: str
    features: list[str]
    time_limit: float
    memory_limit: int
    #: Of a periodic task: seconds between two runs, and before the first; 0 for a mere command.
    every: float = 0.0
    delay: float = 0.0
    #: Of a command: who may ask for it, and the JSON Schema of its data.
    clients: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


class Fault(Struct, frozen=True, tag="fault"):
    """Why a plugin cannot be described."""

    name: str
    code: str
    message: str


class Call(Struct, frozen=True, tag="call"):
    """The task asks for a verb."""

    verb: str
    fields: dict[str, Any]


class Done(Struct, frozen=True, tag="done"):
    """The run ended well; its result is a JSON value."""

    result: msgspec.Raw


class Failed(Struct, frozen=True, tag="failed"):
    """The run ended by an error."""

    code: str
    message: str


Message = Description | Fault | Call | Done | Failed


class Answer(Struct, frozen=True):
    """The manager's answer to a call: a result, or the verb's error."""

    result: Any = None
    error: ErrorInfo | None = None


_order = msgspec.json.Decoder(Order)
_message: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_answer = msgspec.json.Decoder(Answer)


def encode(message: Order | Message | Answer) -> bytes:
    """Encode as one line; raises ``TypeError`` or ``ValueError`` for what JSON cannot hold."""
    return msgspec.json.encode(message) + b"\n"


def decode_order(line: bytes) -> Order:
    """Decode an order."""
    return _order.decode(line)


def decode_message(line: bytes) -> Message:
    """Decode what a task's process said; raises ``msgspec.DecodeError``."""
    return _message.decode(line)


def decode_answer(line: bytes) -> Answer:
    """Decode an answer of the manager."""
    return _answer.decode(line)


def decode_result(result: bytes) -> Any:
    """Decode a result; raise ``ValueError`` that says why for one that others could not read."""
    try:
        value = msgspec.json.decode(result)
    except RecursionError:
        raise ValueError(f"it has more than {MAX_DEPTH} levels") from None
    level, depth = [value], 0
    while level := [inner for one in level for inner in _within(one)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it has more than {MAX_DEPTH} levels")
    return value


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def bounded(text: str) -> str:
    """Return a text of at most :data:`MAX_MESSAGE` characters."""
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + "…"
