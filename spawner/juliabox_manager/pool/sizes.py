"""How many warm containers there should be: a function of settings, demand and room."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from juliabox_manager.settings import PoolSettings

HOUR: Final = 3600

#: Seconds within which starts count as "at once": what a pool cannot refill between them.
TOGETHER: Final = 120.0

#: Days that are looked back on.
DAYS: Final = 7

Demand = Mapping[tuple[str, int], int]


def wanted(settings: PoolSettings, image: str, demand: Demand, now: float) -> int:
    """Return how many warm containers of an image there should be at a time, room aside.

    By demand: the most that were started at once in this hour and the next of the last seven days
    and in this hour of today, at least the size. The next hour counts, so that a class that
    begins on the hour finds its pool full.
    """
    size = settings.sizes.get(image, settings.size)
    if settings.rule == "fixed" or size == 0:
        return min(size, settings.maximum)
    hour = int(now // HOUR)
    looked_at = [hour, *(hour + ahead - 24 * day for day in range(1, DAYS + 1) for ahead in (0, 1))]
    most = max(demand.get((image, one), 0) for one in looked_at)
    return min(max(size, most), settings.maximum)


def share(asked: Mapping[str, int], room: int) -> dict[str, int]:
    """Cut what is asked for down to ``room`` containers in all, one after the other in turns."""
    given = dict.fromkeys(asked, 0)
    while sum(given.values()) < room:
        short = [image for image in asked if given[image] < asked[image]]
        if not short:
            break
        given[min(short, key=lambda image: (given[image], image))] += 1
    return given


class Starts:
    """Counts the starts of an image within :data:`TOGETHER` seconds."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def note(self, image: str, now: float) -> int:
        """Note a start, by the monotonic clock; return how many there were at once."""
        times = self._times.setdefault(image, deque(maxlen=1000))
        times.append(now)
        while times[0] < now - TOGETHER:
            times.popleft()
        return len(times)
