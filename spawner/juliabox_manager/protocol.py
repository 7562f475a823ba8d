"""Wire protocol between the manager and its clients (hub, services, command line).

Transport: ROUTER in the manager, DEALER in the client, CURVE with a ZAP allow-list. One message is
one frame: a msgpack map that decodes to :class:`Request` or :class:`Reply`. Unknown fields, unknown
verbs and values out of bounds are refused while decoding, before any code of a verb runs.

A verb's schema *is* the policy surface: no field can carry privileges, host paths, devices, host
namespaces or raw Docker options, so a stolen hub cannot ask for them.

This module imports nothing of the manager; the spawner imports nothing else of the manager.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from juliabox_ext.errors import FAMILIES, InternalError, JuliaBoxError, RequestError

PROTOCOL_VERSION = 1

#: Largest request in bytes; ``ZMQ_MAXMSGSIZE`` of the manager's socket.
MAX_REQUEST_BYTES = 256 * 1024

#: Largest reply in bytes; ``ZMQ_MAXMSGSIZE`` of a client's socket.
MAX_REPLY_BYTES = 16 * 1024 * 1024

#: ZAP domain; both ends must name it (``ZAP_ENFORCE_DOMAIN``).
ZAP_DOMAIN = "juliabox-manager"

#: Inside a container: where the slot folder is mounted, the socket of the manager in it, and the
#: folder over which the home volume is mounted.
SLOT_MOUNT = "/home"
ENTRY_SOCKET = "entry.sock"
HOME_MOUNT = "juser"

#: Port on which the single-user server listens inside its container.
SESSION_PORT = 8888

#: Uid and gid of everything that runs in a session.
SESSION_UID = 1000

SessionId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
#: A JupyterHub user name, as the hub knows it: any Unicode, bounded, no control characters.
Owner = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f/]+\Z")]
#: A JupyterHub server name; empty for the default server.
ServerName = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00-\x1f\x7f/]*\Z")]
#: Name of an image on the manager's allow-list; never resolved by the engine.
ImageName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-z0-9][\w.\-/:@]*\Z")]
ProfileName = Annotated[str, Meta(max_length=63, pattern=r"^[a-z0-9_-]*\Z")]
RequestId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
#: Name of a plugin that is a task.
TaskName = Annotated[str, Meta(max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
EnvironmentName = Annotated[str, Meta(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z")]
EnvironmentValue = Annotated[str, Meta(max_length=32768, pattern=r"^[^\x00]*\Z")]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Resource limits of one session; each has a ceiling in the manager's settings."""

    #: Memory in bytes; swap is never added.
    memory: Annotated[int, Meta(ge=64 * 1024**2, le=2**44)]
    #: CPU in cores.
    cpu: Annotated[float, Meta(ge=0.01, le=1024)]
    #: Number of processes and threads.
    pids: Annotated[int, Meta(ge=16, le=65536)]
    #: Size of the home volume in bytes; applies when the volume is made and when it grows.
    disk: Annotated[int, Meta(ge=16 * 1024**2, le=2**44)]


class Verb(Struct, frozen=True, forbid_unknown_fields=True, tag_field="verb"):
    """Base of all verbs; the wire's ``verb`` field picks the class."""


class SessionCreate(Verb, frozen=True, tag="session.create"):
    """Make a session's container and slot, not yet running; answers :class:`SessionInfo`.

    A session of the same owner and server that still exists is a conflict, unless it has ended:
    then it is replaced.
    """

    owner: Owner
    server: ServerName
    image: ImageName
    limits: Limits
    profile: ProfileName = ""


class SessionStart(Verb, frozen=True, tag="session.start"):
    """Start, protect, mount and release a session; answers :class:`SessionInfo`, running.

    The environment reaches the container through its slot only; it is never stored.
    """

    session: SessionId
    environment: Annotated[dict[EnvironmentName, EnvironmentValue], Meta(max_length=256)]


class SessionInspect(Verb, frozen=True, tag="session.inspect"):
    """Answer :class:`SessionInfo` of one session."""

    session: SessionId


class SessionFind(Verb, frozen=True, tag="session.find"):
    """Answer :class:`SessionInfo` of the session of an owner and server."""

    owner: Owner
    server: ServerName


class SessionList(Verb, frozen=True, tag="session.list"):
    """Answer a list of :class:`SessionInfo`, oldest first."""


class SessionStop(Verb, frozen=True, tag="session.stop"):
    """Stop a session's container and release its volumes; answers :class:`SessionInfo`."""

    session: SessionId
    #: Seconds between SIGTERM and SIGKILL.
    grace: Annotated[float, Meta(ge=0, le=60)] = 10.0


class SessionRemove(Verb, frozen=True, tag="session.remove"):
    """Stop if needed and remove a session, its container and its slot; answers null."""

    session: SessionId


class SessionUsage(Verb, frozen=True, tag="session.usage"):
    """Answer :class:`UsageInfo` of one running session."""

    session: SessionId


class SessionUsages(Verb, frozen=True, tag="session.usages"):
    """Answer a list of :class:`UsageInfo`: of the named sessions that run, or of all that run."""

    sessions: Annotated[list[SessionId], Meta(max_length=1000)] | None = None


class ImageList(Verb, frozen=True, tag="image.list"):
    """Answer a list of :class:`ImageInfo`: the allow-list and what the engine holds of it."""


class ImageEnsure(Verb, frozen=True, tag="image.ensure"):
    """Answer :class:`ImageInfo` of an allowed image that is present on the engine, or an error."""

    image: ImageName


class VolumeList(Verb, frozen=True, tag="volume.list"):
    """Answer a list of :class:`VolumeInfo`, of one owner or of all."""

    owner: Owner | None = None


class VolumeRemove(Verb, frozen=True, tag="volume.remove"):
    """Put an owner's home volume aside, to be deleted after the grace period; answers null.

    The owner's sessions must have ended (conflict otherwise). A later user of the same name gets a
    new, empty volume.
    """

    owner: Owner


class VolumeRestore(Verb, frozen=True, tag="volume.restore"):
    """Bring back the newest volume that was put aside for an owner; answers :class:`VolumeInfo`."""

    owner: Owner


class TaskRun(Verb, frozen=True, tag="task.run"):
    """Ask for a command of a plugin; answers :class:`TaskJob` at once, before it runs."""

    task: TaskName
    #: What the command is called with; the plugin's schema is checked before the answer.
    data: Annotated[dict[str, Any], Meta(max_length=256)] = field(default_factory=dict)


class TaskList(Verb, frozen=True, tag="task.list"):
    """Answer a list of :class:`TaskInfo`: the enabled tasks, those at fault included, by name."""


class TaskResults(Verb, frozen=True, tag="task.results"):
    """Answer a list of :class:`TaskResult`, of one task or of all, newest first."""

    task: TaskName | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class Stats(Verb, frozen=True, tag="stats"):
    """Answer :class:`StatsInfo` of this instance."""


class Events(Verb, frozen=True, tag="events"):
    """Answer the :class:`Event` list after a sequence number, waiting up to ``wait`` seconds.

    ``after=-1`` asks for the newest sequence number alone (an empty list is answered at once with
    one ``cursor`` event).
    """

    after: Annotated[int, Meta(ge=-1)] = -1
    wait: Annotated[float, Meta(ge=0, le=30)] = 0.0
    session: SessionId | None = None


class Ping(Verb, frozen=True, tag="ping"):
    """Answer :class:`Pong`."""


AnyVerb = (
    SessionCreate
    | SessionStart
    | SessionInspect
    | SessionFind
    | SessionList
    | SessionStop
    | SessionRemove
    | SessionUsage
    | SessionUsages
    | ImageList
    | ImageEnsure
    | VolumeList
    | VolumeRemove
    | VolumeRestore
    | TaskRun
    | TaskList
    | TaskResults
    | Stats
    | Events
    | Ping
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


SessionState = Literal["created", "starting", "running", "stopping", "ended"]
EventKind = Literal["cursor", "session.state", "session.stage", "session.failed", "task.done"]


class ExitInfo(Struct, frozen=True):
    """Why a session ended."""

    #: Exit code of the container; 137 after SIGKILL.
    code: int
    #: Whether the kernel killed a process of the container for want of memory.
    oom_killed: bool
    #: One sentence for the person.
    reason: str
    #: The last lines that the container printed, at most 20 of at most 500 characters.
    last_lines: list[str] = field(default_factory=list)


class SessionInfo(Struct, frozen=True):
    """What the manager knows of a session."""

    session: str
    owner: str
    server: str
    state: SessionState
    image: str
    profile: str
    limits: Limits
    #: Docker's container id.
    container: str
    #: Address on the sessions network; empty until running.
    address: str
    port: int
    #: Unix time; 0 until running.
    started: float
    #: Whether image or settings changed since the container was made.
    stale: bool
    #: Step of a start under way, for progress: see :data:`START_STAGES`.
    stage: str = ""
    exit: ExitInfo | None = None
    #: Unix time; 0 until ended.
    ended: float = 0.0


#: Steps of a start in order, each with its share of the progress bar in percent when it begins.
START_STAGES: dict[str, tuple[int, str]] = {
    "create": (5, "Making the container"),
    "start": (20, "Starting the container"),
    "protect": (40, "Closing its network"),
    "mount": (55, "Mounting the home volume"),
    "release": (70, "Handing over to JupyterLab"),
    "running": (80, "JupyterLab is starting"),
}


class UsageInfo(Struct, frozen=True):
    """What a running session uses now, beside its limits."""

    session: str
    #: Unix time of the reading.
    time: float
    #: Bytes in use without the page cache that can be given back, as ``docker stats`` counts them.
    memory: int
    memory_limit: int
    #: Cores in use, on average since a reading a moment before.
    cpu: float
    cpu_limit: float
    #: Processes and threads.
    pids: int
    pids_limit: int
    #: Bytes in use on the home; null where its kind of volume does not tell.
    disk: int | None = None
    #: Bytes of the home's disk; 0 where it has no bound.
    disk_size: int = 0


class ImageInfo(Struct, frozen=True):
    """An allowed image: its name, the only engine id that it may resolve to, and its presence."""

    image: str
    id: str
    present: bool


class VolumeInfo(Struct, frozen=True):
    """A home volume."""

    volume: str
    owner: str
    kind: Literal["home"]
    #: Size in bytes, 0 for no bound, and bytes that the disk image occupies on the host.
    size: int
    allocated: int
    #: Sessions that have it mounted.
    sessions: list[str]
    state: Literal["idle", "mounted", "stuck", "quarantined", "removed"]
    #: Unix time after which a removed volume is deleted; 0 otherwise.
    delete_after: float = 0.0
    #: Volume plugin that holds it.
    plugin: str = "home"


TaskOutcome = Literal["queued", "running", "ok", "failed", "timeout", "lost"]


class TaskJob(Struct, frozen=True):
    """A run that was asked for; ``task.results`` tells what becomes of it."""

    job: str


class TaskResult(Struct, frozen=True):
    """One run of a task: what came of it, or that it waits or runs."""

    job: str
    task: str
    #: The feature that was due: ``task.cmd.async``, ``task.periodic.node`` or ``….cluster``.
    feature: str
    #: Name of the client that asked; ``schedule`` for a periodic run.
    client: str
    #: ``lost``: the manager ended before the run did.
    outcome: TaskOutcome
    #: Unix time when it was asked for or began.
    started: float
    seconds: float = 0.0
    #: JSON value that the task returned.
    result: Any = None
    #: Code and message of what went wrong.
    code: str = ""
    message: str = ""


class TaskInfo(Struct, frozen=True):
    """An enabled task, and how its last run ended."""

    task: str
    #: Name and version of the package that it comes with.
    distribution: str
    features: list[str]
    #: Seconds between two periodic runs, 0 if there are none, and the Unix time of the next.
    every: float
    next_run: float
    #: Seconds that a run may take.
    time_limit: float
    running: bool
    #: Clients that may ask for it, and the JSON Schema of the data that they give.
    clients: list[str]
    data: dict[str, Any]
    #: The newest run that has ended, without its result; null if there is none.
    last: TaskResult | None
    #: Why it cannot run: code and message; empty if it can.
    code: str = ""
    message: str = ""


class StatsInfo(Struct, frozen=True):
    """Load of this instance."""

    sessions: int
    sessions_limit: int
    memory_total: int
    memory_promised: int
    disk_free: int
    engine: str
    #: Percentage of the room for homes that is in use, as their volume plugin tells.
    volumes_used: float = 0.0


class Event(Struct, frozen=True):
    """Something that happened to a session: its state or stage changed, or its start failed.

    ``task.done`` tells of the end of a task's run.
    """

    sequence: int
    time: float
    kind: EventKind
    #: Empty where a session was refused before it was made.
    session: str = ""
    #: The state, the stage, the code of the error, or the name of the task.
    value: str = ""
    message: str = ""
    owner: str = ""
    server: str = ""
    image: str = ""
    #: Unix time at which the session began to run; 0 if it has not.
    started: float = 0.0


class Pong(Struct, frozen=True):
    """The manager is up; ``ready`` is false until its first reconcile is done."""

    ready: bool
    instance: str
    protocol: int = PROTOCOL_VERSION


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
    SessionUsage: UsageInfo,
    SessionUsages: list[UsageInfo],
    ImageList: list[ImageInfo],
    ImageEnsure: ImageInfo,
    VolumeList: list[VolumeInfo],
    VolumeRemove: None,
    VolumeRestore: VolumeInfo,
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
    ImageList,
    ImageEnsure,
    VolumeList,
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
