"""Verbs: what a client may ask, and nothing else. Their schema is the policy surface."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from juliabox_manager.protocol.terms import (
    SMALLEST_DISK,
    ApiName,
    ApiVersion,
    EnvironmentName,
    EnvironmentValue,
    ImageName,
    Limits,
    Owner,
    ProfileName,
    ServerName,
    SessionId,
    TaskName,
)


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

    def __post_init__(self) -> None:
        """Refuse a home that no file system fits in."""
        if self.limits.disk < SMALLEST_DISK:
            raise ValueError(f"Expected `int` >= {SMALLEST_DISK} in `limits.disk` of a session")


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


class SessionRetire(Verb, frozen=True, tag="session.retire"):
    """Stop a session behind: it gives its owner's server name away at once; answers null.

    Its container is ended, detached and removed after the answer, and it is forgotten then. A new
    session of the same owner and server does not wait for that. Nothing if it is unknown.
    """

    session: SessionId
    #: Seconds between SIGTERM and SIGKILL; 0 also hurries one that is retired already.
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


class ApiCreate(Verb, frozen=True, tag="api.create"):
    """Make a container for one version of a published API; answers :class:`ApiContainer`.

    It is not yet running, and has no home: the disk of its limits is 0. There may be many of the
    same words.
    """

    publisher: Owner
    api: ApiName
    version: ApiVersion
    limits: Limits

    def __post_init__(self) -> None:
        """Refuse a disk: there is none to give."""
        if self.limits.disk:
            raise ValueError("Expected 0 in `limits.disk` of an API container")


class ApiStart(Verb, frozen=True, tag="api.start"):
    """Start, protect and release an API container; answers :class:`ApiContainer`, running.

    It is answered when the first worker's port listens. The environment reaches the container
    through its slot only; it is never stored.
    """

    container: SessionId
    environment: Annotated[dict[EnvironmentName, EnvironmentValue], Meta(max_length=256)]


class ApiList(Verb, frozen=True, tag="api.list"):
    """Answer a list of :class:`ApiContainer`, oldest first."""


class ApiRetire(Verb, frozen=True, tag="api.retire"):
    """End an API container behind and forget it; answers null. Nothing if it is unknown."""

    container: SessionId
    #: Seconds between SIGTERM and SIGKILL; 0 also hurries one that is retired already.
    grace: Annotated[float, Meta(ge=0, le=60)] = 0.0


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

    The owner's sessions must have ended (conflict otherwise); retired ones are awaited. A later
    user of the same name gets a new, empty volume.
    """

    owner: Owner


class VolumeRestore(Verb, frozen=True, tag="volume.restore"):
    """Bring back the newest volume that was put aside for an owner; answers :class:`VolumeInfo`."""

    owner: Owner


class PoolList(Verb, frozen=True, tag="pool.list"):
    """Answer a list of :class:`PoolInfo`: the warm containers of each allowed image."""


class PoolRenew(Verb, frozen=True, tag="pool.renew"):
    """Remove all warm containers, to be made anew; answers null before they are."""


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
    | SessionRetire
    | SessionRemove
    | SessionUsage
    | SessionUsages
    | ApiCreate
    | ApiStart
    | ApiList
    | ApiRetire
    | ImageList
    | ImageEnsure
    | VolumeList
    | VolumeRemove
    | VolumeRestore
    | PoolList
    | PoolRenew
    | TaskRun
    | TaskList
    | TaskResults
    | Stats
    | Events
    | Ping
)
