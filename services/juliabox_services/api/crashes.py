"""Containers of a version that end in its calls, one after the other.

A container is soon there again, so whoever can end one by a call could have the machine start them
without end. After a few in a row there is a pause before the next, which grows; then there is one
at a time, until a call was good. One that dies among many good calls costs nothing, as long as
there are not more in a minute than all other publishers together should pay for.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Reasons of such an end.
REASONS = frozenset({"lost", "timeout", "garbled"})
#: Ends in a row from which on there is a pause; seconds of the first one, and of the longest.
IN_A_ROW = 3
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Seconds without such an end after which all is forgotten: longer than a pause and a start take.
QUIET = 60.0
#: Ends in a minute, however many good calls lie between them: with one more there is a pause, too.
A_MINUTE = 20


class Crashes:
    """How many there were in a row, and of late; times are the loop's."""

    def __init__(self) -> None:
        #: Ends in a row, and seconds of the pause after the last one; 0: there is none.
        self.row = 0
        self.pause = 0.0
        #: When it is over; and if a good call comes before that.
        self._until = self._until_at_best = 0.0
        #: Ends that are left of a minute's.
        self._left = float(A_MINUTE)
        self._last = 0.0
        self._known: frozenset[object] = frozenset()

    def ended(self, container: object, there: Iterable[object], now: float) -> bool:
        """Note an end, with all containers that are there; return whether it counts.

        Each counts once. What ends the others may be the same accident, such as an engine of
        containers that is restarted: they do not count at all.
        """
        if container in self._known:
            return False
        self.row = self.row + 1 if now - self._last < QUIET else 1
        refilled = min(A_MINUTE, self._left + (now - self._last) * A_MINUTE / 60)
        self._left = max(refilled - 1, -LONGEST_PAUSE * A_MINUTE / 60)
        at_best = max(0.0, -self._left * 60 / A_MINUTE)
        self._last, self._known = now, frozenset(there)
        late = self.row - IN_A_ROW
        in_a_row = min(FIRST_PAUSE * 2.0**late, LONGEST_PAUSE) if late >= 0 else 0.0
        self.pause = max(in_a_row, at_best)
        self._until, self._until_at_best = now + self.pause, now + at_best
        return True

    @property
    def words(self) -> str:
        """How many there were, where that is too many."""
        if self.row >= IN_A_ROW:
            return f"{self.row} in a row"
        return f"more than {A_MINUTE} in a minute"

    def suspicious(self, now: float) -> bool:
        """Tell whether the next container may well end as the last ones did."""
        return self.row >= IN_A_ROW and now - self._last < QUIET

    def holds(self, now: float) -> bool:
        """Tell whether there is a pause now."""
        return now < self._until

    def forget(self) -> None:
        """Begin anew: a call was good."""
        self.row, self.pause, self._until = 0, 0.0, self._until_at_best
