"""How many sessions of an image began at once, by hour of the day, over the last seven days.

Hours are those of the wall clock, since people keep to it; days are counted by the store's own
clock, so that a wall clock which jumps neither forgets what was seen nor keeps it for ever.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict, deque
from typing import Final

from juliabox_manager.store import Store

#: Starts within these seconds count as at once.
AT_ONCE: Final = 300.0

#: Days that are remembered; the table has a row for each image, hour and day at most.
DAYS: Final = 7

_DAY: Final = 86_400.0

_WRITE: Final = (
    "INSERT INTO demand VALUES (?, ?, ?, ?) "
    "ON CONFLICT (image, hour, day) DO UPDATE SET most = max(most, excluded.most)"
)


class Demand:
    """Counts starts, and keeps the most at once of each hour."""

    def __init__(self, store: Store) -> None:
        """Keep the counts in a store; call :meth:`load` when it is open."""
        self._store = store
        self._most: dict[tuple[str, int, int], int] = {}
        self._unsaved: set[tuple[str, int, int]] = set()
        self._starts: defaultdict[str, deque[float]] = defaultdict(deque)

    async def load(self) -> None:
        """Read what earlier managers saw."""

        def read(db: sqlite3.Connection) -> list[tuple[str, int, int, int]]:
            return db.execute("SELECT image, hour, day, most FROM demand").fetchall()

        for image, hour, day, most in await self._store.transact(read):
            key = image, hour, day
            self._most[key] = max(most, self._most.get(key, 0))

    def note(self, image: str) -> None:
        """Count a start, now."""
        now = time.monotonic()
        starts = self._starts[image]
        starts.append(now)
        while starts[0] < now - AT_ONCE:
            starts.popleft()
        key = image, _hour(), self._day()
        if len(starts) > self._most.get(key, 0):
            self._most[key] = len(starts)
            self._unsaved.add(key)

    def most(self, image: str) -> int:
        """Return the most starts at once in this hour of the day and the next."""
        hour, oldest = _hour(), self._day() - DAYS
        hours = {hour, (hour + 1) % 24}
        seen = (
            most
            for (name, of, day), most in self._most.items()
            if name == image and of in hours and day >= oldest
        )
        return max(seen, default=0)

    async def save(self) -> None:
        """Write what is new, and let go of what is old."""
        if not self._unsaved:
            return
        rows = [(*key, self._most[key]) for key in self._unsaved]
        self._unsaved = set()
        oldest = self._day() - DAYS
        self._most = {key: most for key, most in self._most.items() if key[2] >= oldest}

        def write(db: sqlite3.Connection) -> None:
            db.executemany(_WRITE, rows)
            db.execute("DELETE FROM demand WHERE day < ?", (oldest,))

        await self._store.transact(write)

    def _day(self) -> int:
        return int(self._store.age() // _DAY)


def _hour() -> int:
    return int(time.time() // 3600) % 24
