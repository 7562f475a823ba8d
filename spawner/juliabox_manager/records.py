"""What the manager writes down about a session, and the names of the steps it writes at.

A step is recorded *before* its effect where a restart must know that the effect may have happened
(an intent), and after it where the effect's result must be known. ``reconcile`` reads the last
recorded step to decide what a restart finds.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from juliabox_manager.protocol import ExitInfo, Limits, SessionState

#: Every step in the order of a session's life. Tests kill the manager at each of them by name.
STEPS: Final = (
    "create.recorded",  # intent: a slot and a container of this id may exist from here on
    "create.slot",
    "create.container",  # the container's id is known; the session may be answered
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
INTENTS: Final = frozenset({"create.recorded", "start.starting", "start.releasing"})


#: Steps of a start at which the container has been seen to run.
RUNS: Final = frozenset({"start.started", "start.protected", "start.mounted", "start.releasing"})


class SessionRecord(Struct, kw_only=True):
    """One session as the store keeps it; holds no secret."""

    session: str
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
