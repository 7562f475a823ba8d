"""Calls of a minute: how many, how many failed, and how their seconds spread.

Seconds are counted in steps that grow by a fifth, so medians and percentiles are right within a
tenth, any number of minutes can be added up, and a minute takes some hundred bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from juliabox_services.api.models import Bucket

#: Seconds up to which a call is in the first step, and what each further step is longer by.
FIRST = 0.0005
GROWTH = 1.2
_LOG = math.log(GROWTH)
#: The last step: everything over two days.
LAST = 105


def step_of(seconds: float) -> int:
    """Return the step that a call of so many seconds is counted in."""
    if not seconds > FIRST:  # not a number, too
        return 0
    return min(LAST, math.ceil(math.log(seconds / FIRST) / _LOG))


def seconds_of(step: int) -> float:
    """Return the seconds that stand for a step: its middle."""
    return FIRST * GROWTH ** (step - 0.5) if step else FIRST


class Minute:
    """Calls of one minute, or of several."""

    __slots__ = ("calls", "errors", "refused", "spread")

    def __init__(self) -> None:
        self.calls = 0
        self.refused = 0
        self.errors = 0
        #: Step -> calls.
        self.spread: dict[int, int] = {}

    def count(self, status: int, seconds: float) -> None:
        """Count a call."""
        self.calls += 1
        if status >= 400:
            self.refused += 1
            if status >= 500:
                self.errors += 1
        step = step_of(seconds)
        self.spread[step] = self.spread.get(step, 0) + 1

    def add(self, other: Minute) -> None:
        """Count the calls of another as well."""
        self.calls += other.calls
        self.refused += other.refused
        self.errors += other.errors
        for step, calls in other.spread.items():
            self.spread[step] = self.spread.get(step, 0) + calls

    def quantile(self, part: float) -> float | None:
        """Return the seconds that a part of the calls took at most; None without calls."""
        total = sum(self.spread.values())
        if not total:
            return None
        wanted, seen = part * total, 0
        for step in sorted(self.spread):
            seen += self.spread[step]
            if seen >= wanted:
                return seconds_of(step)
        return seconds_of(max(self.spread))

    def bucket(self, time: float) -> Bucket:
        """Return what the interface shows of it."""
        return Bucket(
            time=time,
            calls=self.calls,
            refused=self.refused,
            errors=self.errors,
            p50=self.quantile(0.5),
            p95=self.quantile(0.95),
        )

    def row(self) -> dict[str, Any]:
        """Return the columns that a database keeps."""
        return {
            "calls": self.calls,
            "refused": self.refused,
            "errors": self.errors,
            "spread": {str(step): calls for step, calls in sorted(self.spread.items())},
        }

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Minute:
        """Return a minute from its columns."""
        minute = cls()
        minute.calls, minute.refused = row["calls"] or 0, row["refused"] or 0
        minute.errors = row["errors"] or 0
        minute.spread = {int(step): calls for step, calls in (row["spread"] or {}).items()}
        return minute


class Recent:
    """Calls and failed calls of late, by minute and together. Minutes come in their order."""

    __slots__ = ("_minutes", "calls", "errors")

    def __init__(self) -> None:
        self._minutes: dict[int, tuple[int, int]] = {}
        self.calls = 0
        self.errors = 0

    def of(self, minute: int) -> tuple[int, int]:
        """Return the calls, and the failed ones, of a minute."""
        return self._minutes.get(minute, (0, 0))

    def put(self, minute: int, calls: int, errors: int) -> None:
        """Take note of a minute in place of what was known of it."""
        known_calls, known_errors = self.of(minute)
        self._minutes[minute] = (calls, errors)
        self.calls += calls - known_calls
        self.errors += errors - known_errors

    def forget(self, since: float) -> None:
        """Forget the minutes before a time."""
        while self._minutes:
            oldest = next(iter(self._minutes))
            if oldest >= since:
                return
            self.put(oldest, 0, 0)
            del self._minutes[oldest]
