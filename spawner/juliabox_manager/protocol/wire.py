"""Messages: a request with its verb, a reply with its answer, and how each is read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from juliabox_ext.errors import FAMILIES, InternalError, JuliaBoxError, RequestError
from juliabox_manager.protocol.answers import (
    ApiContainer,
    Event,
    ImageInfo,
    Pong,
    PoolInfo,
    SessionInfo,
    StatsInfo,
    TaskInfo,
    TaskJob,
    TaskResult,
    UsageInfo,
    VolumeInfo,
)
from juliabox_manager.protocol.calls import (
    AnyVerb,
    ApiCreate,
    ApiList,
    ApiRetire,
    ApiStart,
    Events,
    ImageEnsure,
    ImageList,
    Ping,
    PoolList,
    PoolRenew,
    SessionCreate,
    SessionFind,
    SessionInspect,
    SessionList,
    SessionRemove,
    SessionRetire,
    SessionStart,
    SessionStop,
    SessionUsage,
    SessionUsages,
    Stats,
    TaskList,
    TaskResults,
    TaskRun,
    Verb,
    VolumeList,
    VolumeRemove,
    VolumeRestore,
)
from juliabox_manager.protocol.terms import (
    MAX_REQUEST_BYTES,
    PROTOCOL_VERSION,
    RequestId,
)


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """One call of a client."""

    #: Names the request; a repeated request with the same id gets the recorded answer.
    id: RequestId
    #: What to do.
    body: AnyVerb
    #: Seconds, from arrival, that the caller will wait.
    deadline: Annotated[float, Meta(gt=0, le=600)] = 30.0
    version: Literal[1] = 1


class ErrorInfo(Struct, frozen=True):
    """An error that crosses the wire; ``family`` is a class name of :mod:`juliabox_ext.errors`."""

    family: str
    code: str
    message: str


class Reply(Struct, frozen=True):
    """The answer to one request; exactly one of ``result`` and ``error`` has meaning."""

    id: str
    error: ErrorInfo | None = None
    result: Any = None
    version: int = PROTOCOL_VERSION


#: What each verb's ``result`` decodes to.
RESULTS: dict[type[Verb], Any] = {
    SessionCreate: SessionInfo,
    SessionStart: SessionInfo,
    SessionInspect: SessionInfo,
    SessionFind: SessionInfo,
    SessionList: list[SessionInfo],
    SessionStop: SessionInfo,
    SessionRemove: None,
    SessionRetire: None,
    SessionUsage: UsageInfo,
    SessionUsages: list[UsageInfo],
    ApiCreate: ApiContainer,
    ApiStart: ApiContainer,
    ApiList: list[ApiContainer],
    ApiRetire: None,
    ImageList: list[ImageInfo],
    ImageEnsure: ImageInfo,
    VolumeList: list[VolumeInfo],
    VolumeRemove: None,
    VolumeRestore: VolumeInfo,
    PoolList: list[PoolInfo],
    PoolRenew: None,
    TaskRun: TaskJob,
    TaskList: list[TaskInfo],
    TaskResults: list[TaskResult],
    Stats: StatsInfo,
    Events: list[Event],
    Ping: Pong,
}

_READ_ONLY: tuple[type[Verb], ...] = (
    SessionInspect,
    SessionFind,
    SessionList,
    SessionUsage,
    SessionUsages,
    ApiList,
    ImageList,
    ImageEnsure,
    VolumeList,
    PoolList,
    TaskList,
    TaskResults,
    Stats,
    Events,
    Ping,
)
#: Verbs that change nothing: answered afresh, never recorded.
READ_ONLY = frozenset(_READ_ONLY)

_encoder = msgspec.msgpack.Encoder()
_request_decoder = msgspec.msgpack.Decoder(Request)
_reply_decoder = msgspec.msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """Encode a message as one frame."""
    return _encoder.encode(message)


def decode_request(frame: bytes) -> Request:
    """Decode and validate a request; raise ``RequestError`` that names field and reason."""
    if len(frame) > MAX_REQUEST_BYTES:
        raise RequestError(f"request of {len(frame)} bytes is over {MAX_REQUEST_BYTES}")
    try:
        return _request_decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise RequestError(f"request refused: {error}") from None


def decode_reply(frame: bytes) -> Reply:
    """Decode a reply of the manager; raise ``InternalError`` if it is not one."""
    try:
        return _reply_decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise InternalError(f"the manager's reply cannot be read: {error}") from None


def result_of(verb: Verb, reply: Reply) -> Any:
    """Return the typed result of a reply to ``verb``, or raise the error that it carries."""
    if reply.error is not None:
        raise error_from(reply.error)
    return msgspec.convert(reply.result, RESULTS[type(verb)])


def error_info(error: JuliaBoxError) -> ErrorInfo:
    """Describe an error for the wire."""
    family = next(
        (name for name, cls in FAMILIES.items() if isinstance(error, cls)), "InternalError"
    )
    return ErrorInfo(family=family, code=error.code, message=error.message)


def error_from(info: ErrorInfo) -> JuliaBoxError:
    """Rebuild an error that crossed the wire; an unknown family becomes ``InternalError``."""
    return FAMILIES.get(info.family, InternalError)(info.message, code=info.code)
