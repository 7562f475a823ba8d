"""Loading pattern of a cluster: which instance takes a session, and when one comes or goes.

Pure functions of a snapshot. Few instances are filled before others get anything: the first by
identifier while the mean load is low, and from half load on each that has more than the mean.
Instances with an older image than others get nothing more, so that they run empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

#: Load in percent at which an instance is full.
FULL = 100.0

#: Mean load from which sessions are spread.
HALF = 50.0


@dataclass(frozen=True)
class Node:
    """One instance: its load in percent, and its image against the newest (older is negative)."""

    load: float = 0.0
    recentness: int = 0


@dataclass(frozen=True)
class Snapshot:
    """What one instance knows of the cluster; ``nodes`` are all that run, by identifier."""

    me: str
    nodes: Mapping[str, Node]
    leader: bool = False
    #: Seconds that this instance runs.
    uptime: float = 0.0
    #: Containers that run on it; None while that is not known.
    containers: int | None = None

    @property
    def myself(self) -> Node:
        """This instance; one that is not listed is as good as new."""
        return self.nodes.get(self.me, Node())

    @property
    def current(self) -> dict[str, Node]:
        """Instances whose image is not an old one; all if there is no other."""
        found = {name: node for name, node in self.nodes.items() if node.recentness >= 0}
        return found or dict(self.nodes)


def mean_load(nodes: Mapping[str, Node]) -> float:
    """Return the mean load of instances; 0 without any."""
    if not nodes:
        return 0.0
    return math.fsum(node.load for node in nodes.values()) / len(nodes)


def target(seen: Snapshot) -> str | None:
    """Return the instance that takes a session that may go anywhere; None if all are full."""
    nodes = seen.current
    room = [name for name, node in nodes.items() if node.load < FULL]
    mean = mean_load(nodes)
    if mean >= HALF:
        # rounding may put the mean of equal loads above or below all of them
        room = [name for name in room if nodes[name].load < mean] or room
    return min(room, default=None)


def accepts(seen: Snapshot) -> bool:
    """Return whether this instance takes a session that came to it."""
    mine = seen.myself
    if mine.load >= FULL:
        return False
    if seen.nodes and seen.me in seen.nodes and seen.me not in seen.current:
        # an old image: only if nobody else has room
        return target(seen) is None
    if seen.leader or mine.recentness > 0 or target(seen) in (seen.me, None):
        return True
    mean = mean_load(seen.current)
    return mean >= HALF and mine.load >= mean


def redirects_to(seen: Snapshot) -> str | None:
    """Return the instance that a session should go to instead; None if it is best off here."""
    found = target(seen)
    return None if found == seen.me else found


def adds_instance(seen: Snapshot, at_load: float) -> bool:
    """Return whether the mean load calls for another instance."""
    return mean_load(seen.current) >= at_load


def may_end(seen: Snapshot, min_uptime: float, at_load: float) -> bool:
    """Return whether this instance may end now.

    It must be empty, old enough, neither leader nor the last. One with an old image ends then, one
    with a newer image stays, and any other ends if the rest does not get so full that an instance
    would be added again.
    """
    others = {name: node for name, node in seen.nodes.items() if name != seen.me}
    if seen.containers != 0 or seen.leader or not others or seen.uptime < min_uptime:
        return False
    if seen.myself.recentness != 0:
        return seen.myself.recentness < 0
    rest = {name: node for name, node in seen.current.items() if name != seen.me}
    if not rest:
        return False
    return math.fsum(node.load for node in seen.current.values()) / len(rest) < at_load
