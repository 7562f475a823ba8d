"""Rates of callers, and room for what they send."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from juliabox_ext.errors import NoRoomError

#: Callers that are remembered; those who were not heard of for longest are forgotten first.
MOST = 20_000
_MINUTE = 60.0


class TooMany(NoRoomError):
    """A caller's rate is used up; ``retry_after`` is when it admits the next call, in seconds."""

    code = "api.rate"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Rates:
    """Buckets of tokens: a full one holds a minute's, and fills up again within a minute.

    ``clock`` tells monotonic seconds.
    """

    def __init__(self, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        #: Key -> what is left, and when it was.
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def spend(self, key: Hashable, per_minute: int) -> None:
        """Take one from a bucket; raise :class:`TooMany` if there is none."""
        now = self._clock()
        left, then = self._left.pop(key, (float(per_minute), now))
        left = min(float(per_minute), left + (now - then) * per_minute / _MINUTE)
        admitted = left >= 1.0
        self._left[key] = (left - 1.0 if admitted else left, now)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        if not admitted:
            wait = max(1, math.ceil((1.0 - left) * _MINUTE / per_minute))
            raise TooMany(f"More than {per_minute} calls in a minute; wait {wait} s", wait)

    def give(self, key: Hashable, per_minute: int) -> None:
        """Give back one that was taken."""
        if key in self._left:
            left, then = self._left[key]
            self._left[key] = (min(float(per_minute), left + 1.0), then)


class Room:
    """Bytes that all requests may hold at one time, and those of one publisher together.

    ``share`` is the most for one ``holder``, by default a half: nobody's callers take all.
    """

    def __init__(self, total: int, share: int = 0) -> None:
        self._left = total
        self._share = share or total // 2
        self._held: dict[str, int] = {}

    def take(self, size: int, holder: str) -> bool:
        """Take so many bytes; return False, and take none, if there are not so many."""
        held = self._held.get(holder, 0) + size
        if size > self._left or held > self._share:
            return False
        self._left -= size
        self._held[holder] = held
        return True

    def give(self, size: int, holder: str) -> None:
        """Give bytes back."""
        if not size:
            return
        self._left += size
        self._held[holder] -= size
        if not self._held[holder]:
            del self._held[holder]
