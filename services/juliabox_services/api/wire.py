"""What the engine and a worker say to each other: version 2 of their wire.

Messages of several frames, which travel as one frame of ZMQ's. The engine asks, the worker answers;
both name version, request and verb (or kind of answer) in the first three frames, then comes a
header, which is a JSON object, and whatever goes with it::

    JBW2  request  load    {"file", "functions"}  source
    JBW2  request  call    {"function"}           arguments  keywords  body
    JBW2  request  health  {}

A worker runs what its publisher wrote, so nothing that it says is believed before it was read here:
frames are counted, headers are decoded to the types below, texts are cut.
"""

from __future__ import annotations

import itertools
import math
import re
import struct
from collections.abc import Sequence
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from juliabox_services.api.models import Frame, Function

VERSION = b"JBW2"

#: Ahead of the frames of a message: their number and their lengths, by that number. libzmq encrypts
#: each frame of its own by itself, which costs more than a call's frames have bytes.
_HEADS = [struct.Struct(f"<{1 + number}I") for number in range(9)]

#: Kinds of answers; after each but ``item`` the request is over.
ITEM, RESULT, END, ERROR = b"item", b"result", b"end", b"error"
LOADED, FAILED, HEALTHY = b"loaded", b"failed", b"healthy"
_LAST = frozenset({RESULT, END, ERROR, LOADED, FAILED, HEALTHY})
_KINDS = _LAST | {ITEM}

#: Largest header, in bytes; characters of output and of a message that are kept.
HEADER_BYTES = 1024**2
OUTPUT_CHARACTERS = 4096
MESSAGE_CHARACTERS = 4000
MOST_FRAMES = 100
#: What an answer may have beside its body, in bytes, before libzmq drops the connection.
MARGIN_BYTES = HEADER_BYTES + 4096

#: Names of a worker's secrets and figures in the environment that its container gets.
KEY_VARIABLE = "JULIABOX_WORKER_KEY"
WORKERS_VARIABLE = "JULIABOX_WORKERS"
RESULT_VARIABLE = "JULIABOX_RESULT_BYTES"

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*"
_TYPE = re.compile(rf"{_NAME}/{_NAME}(; ?[a-z]+=[A-Za-z0-9_.-]+)?")

_T = TypeVar("_T")

#: Bytes of memory that a worker tells: a figure to reckon with.
Bytes = Annotated[int, Meta(ge=0, le=2**62)]


class Garbled(Exception):
    """A worker said what cannot be read: it is no worker any more."""


class Reply(NamedTuple):
    """One message of a worker."""

    kind: bytes
    header: bytes
    part: bytes = b""

    @property
    def last(self) -> bool:
        """Whether nothing follows it."""
        return self.kind in _LAST


class Loaded(Struct, frozen=True):
    """Header of ``loaded``."""

    functions: Annotated[list[Function], Meta(max_length=100)]
    seconds: float = 0.0
    printed: str = ""


class Failed(Struct, frozen=True):
    """Header of ``failed``, and of ``error``."""

    code: str
    message: str = ""
    frames: Annotated[list[Frame], Meta(max_length=MOST_FRAMES)] = field(default_factory=list)
    seconds: float = 0.0
    memory: Bytes = 0
    printed: str = ""
    #: Whether its worker is about to end.
    leaving: bool = False


class Result(Struct, frozen=True):
    """Header of ``result``, and of ``end``, which has no type."""

    type: str = "application/json"
    seconds: float = 0.0
    memory: Bytes = 0
    printed: str = ""


class Healthy(Struct, frozen=True):
    """Header of ``healthy``."""

    calls: int = 0
    memory: Bytes = 0
    loaded: bool = False


_encode = msgspec.json.encode
_loaded = msgspec.json.Decoder(Loaded)
_failed = msgspec.json.Decoder(Failed)
_result = msgspec.json.Decoder(Result)
_healthy = msgspec.json.Decoder(Healthy)


def pack(frames: Sequence[bytes]) -> bytes:
    """Return the message that has these frames, eight at most."""
    head = _HEADS[len(frames)].pack(len(frames), *map(len, frames))
    return b"".join((head, *frames))


def unpack(message: bytes) -> list[bytes]:
    """Return the frames of a message; raise :class:`Garbled`."""
    try:
        head = _HEADS[_HEADS[0].unpack_from(message)[0]]
        number, *lengths = head.unpack_from(message)
    except (struct.error, IndexError):
        raise Garbled("no frames") from None
    if head.size + sum(lengths) != len(message):
        raise Garbled(f"{number} frames of other lengths")
    ends = itertools.accumulate(lengths, initial=head.size)
    return [message[begin:end] for begin, end in itertools.pairwise(ends)]


def read(message: bytes) -> tuple[bytes, Reply]:
    """Return which request a message answers, and the answer; raise :class:`Garbled`."""
    frames = unpack(message)
    if not 4 <= len(frames) <= 5:
        raise Garbled(f"{len(frames)} frames")
    if frames[0] != VERSION:
        raise Garbled("another version of the wire")
    if frames[2] not in _KINDS or len(frames[3]) > HEADER_BYTES:
        raise Garbled("an unknown kind of answer, or too large a header")
    return frames[1], Reply(*frames[2:])


def load_message(request: bytes, file: str, functions: list[str], source: str) -> bytes:
    """Return what asks a worker to load a source."""
    header = _encode({"file": file, "functions": functions})
    return pack([VERSION, request, b"load", header, source.encode()])


def call_message(
    request: bytes, header: bytes, arguments: bytes, keywords: bytes, body: bytes
) -> bytes:
    """Return what asks a worker for a call."""
    return pack([VERSION, request, b"call", header, arguments, keywords, body])


def call_header(function: str) -> bytes:
    """Return the header of calls of a function."""
    return _encode({"function": function})


def health_message(request: bytes) -> bytes:
    """Return what asks a worker how it is."""
    return pack([VERSION, request, b"health", b"{}"])


def loaded(reply: Reply) -> Loaded | Failed:
    """Read the answer to ``load``."""
    if reply.kind == FAILED:
        return failed(reply)
    if reply.kind != LOADED:
        raise Garbled("no answer to a load")
    return _told(_loaded, reply)


def failed(reply: Reply) -> Failed:
    """Read an ``error``."""
    told = _told(_failed, reply)
    if len(told.message) <= MESSAGE_CHARACTERS:
        return told
    return msgspec.structs.replace(told, message=told.message[:MESSAGE_CHARACTERS] + "…")


def result(reply: Reply) -> Result:
    """Read a ``result`` or an ``end``."""
    return _told(_result, reply)


def is_type(name: str) -> bool:
    """Return whether a function names a type of content that can stand in a header."""
    return len(name) <= 100 and _TYPE.fullmatch(name) is not None


def leaves(reply: Reply) -> bool:
    """Return whether a worker says with its answer that it is about to end."""
    if reply.kind != ERROR or b'"leaving"' not in reply.header:
        return False
    try:
        return failed(reply).leaving
    except Garbled:
        return False


def healthy(reply: Reply) -> Healthy:
    """Read the answer to ``health``."""
    if reply.kind != HEALTHY:
        raise Garbled("no answer to a look at the worker's health")
    return _told(_healthy, reply)


def item(reply: Reply) -> bytes:
    """Return the JSON text of an ``item``, which is one line."""
    if b"\n" in reply.part or b"\r" in reply.part:
        raise Garbled("an item of several lines")
    return reply.part


def span(seconds: float) -> float:
    """Return a span that a worker told, or 0 for one that cannot be."""
    return seconds if math.isfinite(seconds) and 0 <= seconds < 1e6 else 0.0


def output(printed: str) -> str:
    """Return the end of what a function printed, as much as is kept."""
    return printed[-OUTPUT_CHARACTERS:]


def _told(decoder: msgspec.json.Decoder[_T], reply: Reply) -> _T:
    try:
        return decoder.decode(reply.header)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Garbled(str(error)) from None
