"""What a benchmark finds, as plain data, and the arithmetic on it.

Figures drift by a quarter between runs, so what is compared takes turns with its peer, and what
counts is the ratio of each pair: its geometric mean with a 95% interval (Student's t on the
logarithms).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct, field
from scipy import stats

#: The peer, and the tag of ours, as tables and plots name them.
OURS, PEER = "JuliaBox", "plain DockerSpawner"


class Ratio(NamedTuple):
    """Geometric mean, and the ends of its 95% interval."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"{self.middle:.3g}"
        return f"{self.middle:.3g} ({self.low:.3g} to {self.high:.3g})"


class Comparison(Struct, frozen=True):
    """Pairs of figures, of which less is better; ``names`` are those of the two sides."""

    #: Word that :mod:`benchmarks.recorded` knows it by.
    key: str
    title: str
    ours: list[float]
    peer: list[float]
    unit: str = "s"
    names: tuple[str, str] = (OURS, PEER)

    @property
    def ratio(self) -> Ratio:
        """Ours over the peer's; of a single pair, the interval has no end."""
        logs = [math.log(a / b) for a, b in zip(self.ours, self.peer, strict=True)]
        middle = statistics.fmean(logs)
        if len(logs) < 2:
            return Ratio(math.exp(middle), 0.0, math.inf)
        half = float(stats.t.ppf(0.975, len(logs) - 1)) * float(stats.sem(logs))
        return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half))


class Figure(Struct, frozen=True):
    """Figures that have no peer."""

    title: str
    values: list[float]
    unit: str = "s"


class Limit(Struct, frozen=True):
    """What must hold for the issue to be done, what was found, and whether that is enough."""

    title: str
    wanted: str
    found: str
    met: bool


class Points(Struct, frozen=True, tag="points"):
    """A plot of single measurements: rows, and in each row the values of the sides by name."""

    title: str
    unit: str
    rows: list[tuple[str, dict[str, list[float]]]]
    log: bool = True


class Bars(Struct, frozen=True, tag="bars"):
    """A plot of what something is made of: rows, and in each row its parts by name."""

    title: str
    unit: str
    rows: list[tuple[str, dict[str, float]]]


class Curves(Struct, frozen=True, tag="curves"):
    """A plot of lines by name, each a list of x and a list of y; ``limit`` is drawn across."""

    title: str
    x: str
    y: str
    lines: dict[str, tuple[list[float], list[float]]]
    limit: float | None = None
    log: bool = False


Plot = Points | Bars | Curves


class Outcome(Struct, frozen=True):
    """All that one benchmark found."""

    name: str
    title: str
    #: How it was measured: one paragraph of Markdown.
    method: str
    comparisons: list[Comparison] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    #: Markdown below the tables.
    notes: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    #: When, and on which machine; filled in by the run.
    machine: str = ""


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least ``part`` of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def amount(value: float, unit: str) -> str:
    """Return a value with its unit, with as many digits as can be trusted."""
    if unit == "s" and value < 1:
        return f"{1000 * value:.0f} ms"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f} {unit}"


def spread(values: Sequence[float], unit: str) -> str:
    """Return median and range."""
    middle = amount(statistics.median(values), unit)
    if len(values) == 1:
        return middle
    return f"{middle} ({amount(min(values), unit)} to {amount(max(values), unit)})"


def at_most(title: str, found: float, most: float, unit: str, *, less: bool = False) -> Limit:
    """Return the limit that a figure is at most ``most``; with ``less``, under it."""
    word = "under" if less else "at most"
    met = found < most if less else found <= most
    return Limit(title, f"{word} {amount(most, unit)}", amount(found, unit), met)


def times_faster(title: str, ratio: Ratio, times: float, *, whole: bool = True) -> Limit:
    """Return the limit that ours is so many times faster, with its ``whole`` interval or not."""
    low = 0.0 if math.isinf(ratio.high) else 1 / ratio.high
    found = f"{1 / ratio.middle:.1f} times ({low:.1f} to {_inverse(ratio.low)})"
    wanted = f"at least {times:g} times faster{', interval and all' if whole else ''}"
    return Limit(title, wanted, found, (low if whole else 1 / ratio.middle) >= times)


def _inverse(value: float) -> str:
    return f"{1 / value:.1f}" if value else "∞"
