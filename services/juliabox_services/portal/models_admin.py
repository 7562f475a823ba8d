"""What the portal's admin pages show; units and ``None`` as in :mod:`.models`.

Lists that grow with the installation come in pages: ``offset``, ``limit`` (at most 200),
``search`` (part of a name, case does not count), ``sort`` (name of a field) and ``order`` (``asc``
or ``desc``) are query arguments of their address.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from juliabox_services.api.models import AuditRow, Summary


class Message(Struct, frozen=True, kw_only=True):
    """Message of the day; body of PUT ``api/admin/message``, where an empty text takes it away."""

    #: Plain text; addresses in it become links, nothing else.
    text: str = ""
    level: Literal["info", "warning", "danger"] = "info"
    #: When it disappears; ``None``: never.
    until: float | None = None
    #: Who wrote it, and when; set by the service.
    author: str = ""
    written: float | None = None


class UserRow(Struct, frozen=True, kw_only=True):
    """A person, as an admin sees it."""

    name: str
    admin: bool = False
    roles: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    #: ``pending``: waits for approval.
    state: Literal["active", "pending"] = "active"
    created: float | None = None
    last_activity: float | None = None
    #: Servers that run.
    servers: int = 0


class Users(Struct, frozen=True, kw_only=True):
    """Data of ``users``; sorted by ``name``, ``created``, ``last_activity`` or ``servers``."""

    users: list[UserRow]
    #: How many match ``search``, on all pages.
    total: int
    offset: int = 0
    limit: int = 50
    #: How many wait for approval, whatever is searched.
    pending: int = 0


class SessionRow(Struct, frozen=True, kw_only=True):
    """A session, as an admin sees it."""

    owner: str
    #: Empty for the default server.
    server: str
    state: str
    image: str = ""
    profile: str = ""
    instance: str = ""
    #: First 12 digits of the engine's container id.
    container: str = ""
    started: float | None = None
    time_left: float | None = None
    time_left_why: Literal["idle", "age", "none"] = "none"
    #: Bytes and cores in use, and their limits; ``None`` unless it runs and is measured.
    memory: float | None = None
    memory_limit: float | None = None
    cpu: float | None = None
    cpu_limit: float | None = None
    disk: float | None = None
    disk_limit: float | None = None
    #: Why it ended; empty while it runs.
    ending: str = ""


class Sessions(Struct, frozen=True, kw_only=True):
    """Data of ``sessions``; POST ``api/admin/sessions/stop`` with :class:`StopSession` stops one.

    Sorted by any field of its rows.
    """

    sessions: list[SessionRow]
    total: int
    offset: int = 0
    limit: int = 50


class StopSession(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST ``api/admin/sessions/stop``; answered with 202 and null."""

    owner: str
    server: str = ""


class VolumeRow(Struct, frozen=True, kw_only=True):
    """A volume, as an admin sees it."""

    volume: str
    owner: str
    kind: str
    state: Literal["idle", "mounted", "stuck", "quarantined", "removed"]
    instance: str = ""
    #: Size of the disk; ``None``: no bound.
    size: int | None = None
    #: What it occupies on the host.
    allocated: int | None = None
    sessions: list[str] = field(default_factory=list)
    #: When a removed one is deleted; ``None`` otherwise.
    delete_after: float | None = None


class Volumes(Struct, frozen=True, kw_only=True):
    """Data of ``volumes``; sorted by any field of its rows."""

    volumes: list[VolumeRow]
    total: int
    offset: int = 0
    limit: int = 50


class PoolRow(Struct, frozen=True, kw_only=True):
    """Warm containers of one image."""

    image: str
    #: How many there should be, are ready, and are being made.
    wanted: int
    ready: int
    loading: int
    #: Since the manager started: sessions that took one, that found none, and those that failed.
    claimed: int
    missed: int
    failed: int
    #: Bytes that they hold.
    memory: int
    #: Why there are fewer than wanted; empty if there are not.
    reason: str = ""


class InstanceView(Struct, frozen=True, kw_only=True):
    """A machine, and its load."""

    name: str
    state: Literal["ready", "starting", "unreachable"]
    leader: bool = False
    #: Names by which it is reached from outside and within; empty if not known.
    public_host: str = ""
    local_host: str = ""
    sessions: int = 0
    sessions_limit: int | None = None
    #: Bytes: of the machine, and what the limits of its sessions add up to.
    memory_total: int | None = None
    memory_promised: int | None = None
    #: Bytes free on the disk of the state folder.
    disk_free: int | None = None
    #: Percent of the room for volumes that is taken, 0 to 100.
    volumes_used: float | None = None
    engine: str = ""
    #: Whether its images are those of this version; ``None``: not known.
    images_fresh: bool | None = None
    #: Load between 0 and 1: the larger of sessions and memory against their limits.
    load: float | None = None
    #: Compute plugin that tells this.
    provider: str = ""
    #: ``None``: not known.
    pools: list[PoolRow] | None = None


class Instances(Struct, frozen=True, kw_only=True):
    """Data of ``instances``."""

    instances: list[InstanceView]


class PublishedApis(Struct, frozen=True, kw_only=True):
    """Data of ``apis``: those of all publishers, and who did what to them, newest first."""

    apis: list[Summary] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    #: Whether this installation runs published APIs.
    available: bool = False


class PluginView(Struct, frozen=True, kw_only=True):
    """An installed plugin, or an enabled one that is missing."""

    name: str
    #: Entry-point group, such as ``juliabox.cloud``; empty if it is not installed.
    group: str
    distribution: str = ""
    version: str = ""
    features: list[str] = field(default_factory=list)
    enabled: bool = False
    required: bool = False
    built_in: bool = False
    #: What is wrong with it, and the code; empty if nothing is.
    fault: str = ""
    fault_code: str = ""
    #: Part that reports the fault: ``hub``, ``portal`` or ``manager``.
    fault_part: str = ""


class Plugins(Struct, frozen=True, kw_only=True):
    """Data of ``plugins``."""

    plugins: list[PluginView]
    #: Feature -> plugins.
    features: dict[str, list[str]] = field(default_factory=dict)


class UsagePoint(Struct, frozen=True, kw_only=True):
    """One day, or one week."""

    #: Unix time of its beginning, midnight UTC; weeks begin on Monday.
    start: float
    #: Sessions that began in it.
    sessions: int
    #: Different people that had a session in it.
    users: int
    #: Hours of all sessions within it.
    hours: float


class LoadPoint(Struct, frozen=True, kw_only=True):
    """Load of the installation at one moment."""

    time: float
    #: Sessions that run.
    sessions: float
    #: Share of the memory that is promised, 0 to 1; ``None``: not known.
    memory: float | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """Data of ``usage``: query arguments ``by`` (day, week), ``from`` and ``to`` (YYYY-MM-DD, both
    within the range); ``api/admin/usage.csv`` answers the same range as CSV.
    """

    by: Literal["day", "week"]
    #: First and last day of the range, YYYY-MM-DD, UTC.
    first: str
    last: str
    #: One point for each day or week of the range, empty ones too, oldest first.
    points: list[UsagePoint]
    #: Oldest first; at most a few hundred.
    load: list[LoadPoint] = field(default_factory=list)
    #: Different people in the whole range.
    users: int = 0
    #: Busiest image -> sessions.
    images: dict[str, int] = field(default_factory=dict)
    #: Why there are none: no accounting plugin, say; empty if all is well.
    missing: str = ""


class Failure(Struct, frozen=True, kw_only=True):
    """Something that went wrong."""

    time: float
    #: ``start``, ``session``, ``task``, ``plugin`` or ``service``.
    kind: str
    #: Whom or what it struck: owner/server, task, plugin.
    subject: str
    code: str
    #: The cause, in a sentence.
    message: str
    instance: str = ""


class Failures(Struct, frozen=True, kw_only=True):
    """Data of ``failures``, newest first."""

    failures: list[Failure]
    #: Since when they are kept.
    since: float | None = None


class TaskView(Struct, frozen=True, kw_only=True):
    """A periodic task on one instance, and its last run."""

    name: str
    plugin: str = ""
    #: ``node`` (on every instance), ``cluster`` (on the leader) or ``command`` (when asked for).
    kind: Literal["node", "cluster", "command"] = "node"
    instance: str = ""
    #: In words: ``every 10 min``.
    schedule: str = ""
    state: Literal["never", "running", "succeeded", "failed", "timeout"] = "never"
    last_run: float | None = None
    duration: float | None = None
    next_run: float | None = None
    #: What it answered, or why it failed; short text.
    result: str = ""
    code: str = ""


class Tasks(Struct, frozen=True, kw_only=True):
    """Data of ``tasks``."""

    tasks: list[TaskView]


class Configuration(Struct, frozen=True, kw_only=True):
    """Data of ``configuration``: what is in force, defaults included."""

    #: YAML; secrets are replaced by ``(hidden)`` before they reach the portal.
    text: str
    #: Path on the host of the operator's file.
    path: str = ""
    #: Dotted keys that the operator set, the rest being defaults.
    changed: list[str] = field(default_factory=list)


class Overview(Struct, frozen=True, kw_only=True):
    """Data of ``overview``: figures at a glance."""

    users: int = 0
    users_pending: int = 0
    sessions_running: int = 0
    sessions_limit: int | None = None
    memory_promised: int | None = None
    memory_total: int | None = None
    disk_free: int | None = None
    instances: int = 1
    instances_ready: int = 1
    plugin_faults: int = 0
    #: Within the last day.
    failures: int = 0
    #: The last 14 days; empty without accounting.
    days: list[UsagePoint] = field(default_factory=list)
    recent_failures: list[Failure] = field(default_factory=list)
    #: The manager's state is not known now: why.
    degraded: str = ""
