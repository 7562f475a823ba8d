"""What the manager writes down about a session, and the names of the steps it writes at.

A step is recorded *before* its effect where a restart must know that the effect may have happened
(an intent), and after it where the effect's result must be known. ``reconcile`` reads the last
recorded step to decide what a restart finds.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from juliabox_manager.protocol import ExitInfo, Limits, SessionState

#: What a container is made for: one person's server, or a version of a published API. Both live by
#: the same steps; an API container has no home, and no name that a server has.
Kind = Literal["session", "api"]

#: What people call a container of a kind.
NOUNS: Final[dict[Kind, str]] = {"session": "session", "api": "API container"}

#: Every step in the order of a session's life. Tests kill the manager at each of them by name.
STEPS: Final = (
    "create.recorded",  # intent: a slot and a container of this id may exist from here on
    "create.slot",
    "create.container",  # the container's id is known; the session may be answered
    "create.claimed",  # intent: a warm container is this session's, and no start was tried
    "create.vacant",  # there must be no container: the next start makes one
    "start.warm",  # intent: limits, home and environment may have gone to a warm container
    "start.replacing",  # that failed: it must go, another is made
    "start.starting",  # intent: the container may run and the home may be mounted
    "start.started",
    "start.protected",
    "start.mounted",
    "start.releasing",  # intent: the environment may have been handed over
    "start.running",
    "end.stopping",  # intent: the session must end, whatever happens
    "end.stopped",  # the container is dead; how it ended is known
    "end.detached",
    "end.container",
    "end.ended",
)

#: Steps that must be on disk before their effect. All others may be written later when the disk is
#: full, since a restart comes to the same end without them.
INTENTS: Final = frozenset(
    {"create.recorded", "create.claimed", "start.warm", "start.starting", "start.releasing"}
)

#: Steps that another follows at once, and that change nothing of what a restart does: they are
#: written with the next one.
PASSING: Final = frozenset(
    {"create.slot", "start.replacing", "start.started", "start.protected", "start.mounted"}
)

#: Steps at which a session is made and waits to be started.
MADE: Final = frozenset({"create.container", "create.claimed", "create.vacant"})

#: Steps of a start at which the container has been seen to run.
RUNS: Final = frozenset({"start.started", "start.protected", "start.mounted", "start.releasing"})


class SessionRecord(Struct, kw_only=True):
    """One session, or API container, as the store keeps it; holds no secret."""

    session: str
    #: User name; of an API container the publisher.
    owner: str
    server: str
    #: Name on the allow-list, and the engine id it stood for when the container was made.
    image: str
    image_id: str
    profile: str
    limits: Limits
    #: Digest of all that shaped the container, see :func:`juliabox_manager.hardening.digest`.
    digest: str
    #: Unix time, for people and order only; spans are measured by ``Store.age``.
    created: float
    state: SessionState = "created"
    step: str = ""
    container: str = ""
    address: str = ""
    started: float = 0.0
    #: Unix time at which the session ended, and ``Store.age`` then.
    ended: float = 0.0
    ended_age: float = 0.0
    exit: ExitInfo | None = None
    #: Whether it gave its owner's server name away and is ended by itself, and the seconds between
    #: SIGTERM and SIGKILL that it was given for that.
    retired: bool = False
    grace: float = 0.0
    #: Whether its container is a warm one.
    warm: bool = False
    kind: Kind = "session"
    #: Of an API container.
    api: str = ""
    version: int = 0

    @property
    def noun(self) -> str:
        """What people call it, with its id."""
        return f"{NOUNS[self.kind]} {self.session}"

    @property
    def named(self) -> bool:
        """Whether owner and server name it, and no other."""
        return self.kind == "session" and not self.retired


class WarmRecord(Struct, kw_only=True):
    """One warm container as the store keeps it, from before it is made until it is claimed."""

    #: Id of the session that it will become.
    session: str
    image: str
    image_id: str
    #: What it was made with, see :func:`juliabox_manager.hardening.digest`.
    digest: str
    kind: Kind = "session"
