"""What the verbs answer."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from juliabox_manager.protocol.terms import (
    PROTOCOL_VERSION,
    Limits,
)

SessionState = Literal["created", "starting", "running", "stopping", "ended"]
EventKind = Literal[
    "cursor",
    "session.state",
    "session.stage",
    "session.failed",
    "api.state",
    "api.failed",
    "task.done",
]


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
    #: Whether the server told that it accepts connections; false may mean that it is not known.
    ready: bool = False
    #: Whether it gave its server name away and is being ended behind.
    retired: bool = False
    #: Whether it runs, or will be started, in a warm container of the pool.
    warm: bool = False


#: Steps of a start in order, each with its share of the progress bar in percent when it begins.
START_STAGES: dict[str, tuple[int, str]] = {
    "create": (5, "Making the container"),
    "start": (20, "Starting the container"),
    "protect": (40, "Closing its network"),
    "mount": (55, "Mounting the home volume"),
    "release": (70, "Handing over to JupyterLab"),
    "running": (80, "JupyterLab is starting"),
    "ready": (95, "JupyterLab is ready"),
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


class ApiContainer(Struct, frozen=True):
    """What the manager knows of a container that serves one version of a published API."""

    #: Its id, as sessions have one; not Docker's.
    container: str
    publisher: str
    api: str
    version: int
    state: SessionState
    #: Address on the sessions network, empty unless running, and port of the first worker.
    address: str
    port: int
    #: Whether it runs, or will be started, in a warm container of the pool.
    warm: bool
    #: Unix time; 0 until running.
    started: float
    #: How it ended, once it has.
    exit: ExitInfo | None = None
    #: Whether image or settings changed since the container was made.
    stale: bool = False
    #: Whether it is being ended behind.
    retired: bool = False


class ImageInfo(Struct, frozen=True):
    """An allowed image: its name, the only engine id that it may resolve to, and its presence."""

    image: str
    id: str
    present: bool


class PoolInfo(Struct, frozen=True):
    """Warm containers of one image: started, loaded, and nobody's."""

    image: str
    #: How many there should be now, stand ready, and are being made.
    wanted: int
    ready: int
    loading: int
    #: Since the manager started: sessions that took one, sessions that found none, and warm
    #: containers that died or did not become the session that claimed them.
    claimed: int
    missed: int
    failed: int
    #: Bytes that they hold.
    memory: int
    #: Why there are fewer than wanted and none is being made; empty otherwise.
    reason: str = ""


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
    #: What the limits of all containers add up to, those of APIs included.
    memory_promised: int
    disk_free: int
    engine: str
    #: Percentage of the room for homes that is in use, as their volume plugin tells.
    volumes_used: float = 0.0
    #: API containers that have not ended.
    api_containers: int = 0


class Event(Struct, frozen=True):
    """Something that happened to a session: its state or stage changed, or its start failed.

    ``api.state`` and ``api.failed`` tell the same of an API container: ``session`` is its id,
    ``owner`` its publisher and ``server`` the name of the API. ``task.done`` tells of the end of a
    task's run.
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
