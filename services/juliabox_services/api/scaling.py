"""How many containers a version needs: pure functions of what is known of its calls.

The figure follows the calls that wait or run now, weighed by how long such a call takes: sixteen
calls of a millisecond each wait less for one worker than for the start of another, sixteen of a
second each are worth a worker each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol, TypeVar

#: Seconds within which all calls that are there now should be done.
HORIZON = 0.25
#: Weight of the newest call in the mean.
_WEIGHT = 0.2


class Pace:
    """How many seconds a call of a version takes, as far as can be told.

    The first call of each worker compiles what it runs: it is no more than a guess at the others,
    while nothing better is known.
    """

    def __init__(self) -> None:
        self._mean: float | None = None
        self._first = 0.0

    @property
    def seconds(self) -> float:
        """Return the mean of late; 0 if nothing is known."""
        return self._mean or 0.0

    @property
    def guess(self) -> float:
        """Return what may be while nothing is known; 0 otherwise."""
        return self._first if self._mean is None else 0.0

    def took(self, seconds: float, first: bool) -> None:
        """Note a call; ``first``: of its worker."""
        if first:
            self._first = seconds
        elif self._mean is None:
            self._mean = seconds
        else:
            self._mean += _WEIGHT * (seconds - self._mean)


def wanted(outstanding: int, pace: float, workers: int, minimum: int, maximum: int) -> int:
    """Return how many containers of so many workers there should be.

    ``outstanding`` calls wait or run, each of which takes ``pace`` seconds.
    """
    busy = 0
    if outstanding:
        busy = min(outstanding, max(1, math.ceil(outstanding * pace / HORIZON)))
    return max(min(minimum, maximum), min(maximum, math.ceil(busy / workers)))


class Standing(Protocol):
    """What of a container decides whether it makes way for another."""

    @property
    def idle_since(self) -> float | None:
        """Since when it has nothing to do; ``None``: it has."""

    @property
    def current(self) -> bool:
        """Whether its version is the one that answers."""

    @property
    def companions(self) -> int:
        """Containers of its version that serve, itself included."""

    @property
    def spare(self) -> bool:
        """Whether its version needs it not even to be ready for a call."""


_S = TypeVar("_S", bound=Standing)


def idle_victim(standing: Iterable[_S], urgent: bool) -> _S | None:
    """Return the container that is missed least among those with nothing to do.

    One that its version keeps ready is taken only if the matter is ``urgent``.
    """
    idle = [one for one in standing if one.idle_since is not None and (urgent or one.spare)]
    return min(
        idle, key=lambda one: (one.current, not one.spare, one.idle_since or 0.0), default=None
    )


def busy_victim(standing: Iterable[_S]) -> _S | None:
    """Return the container that should end after its calls, so that others get their turn."""
    return min(standing, key=lambda one: (one.current, -one.companions), default=None)
