"""Figures of instances: what is one, and what is made of several."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, get_args

from juliabox_ext.cloud import Stat
from juliabox_ext.errors import RequestError

Unit = Literal["Percent", "Count", "Bytes"]
UNITS: tuple[str, ...] = get_args(Unit)

#: How long a figure counts.
FRESH = timedelta(seconds=450)

#: The figure that decides where sessions go: the largest of the percentages of what is used.
LOAD = "Load"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_name(name: str) -> str:
    """Return a figure's name; raise ``RequestError`` if it is none."""
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"{name[:100]!r} is no name of a figure: 1 to 100 letters, digits and . _ -, the first "
            "a letter or digit",
            code="compute.figure",
        )
    return name


def check_figure(name: str, unit: str, value: float) -> None:
    """Raise ``RequestError`` unless this can be recorded."""
    check_name(name)
    if unit not in UNITS or not math.isfinite(value):
        raise RequestError(
            f"figure {name} must be a finite number in {', '.join(UNITS)}; it is {value!r} in "
            f"{unit!r}",
            code="compute.figure",
        )


def fresh(stat: Stat, now: datetime) -> bool:
    """Return whether a figure still counts."""
    return now - stat.time <= FRESH


def mean(figures: Mapping[str, Stat]) -> float | None:
    """Return the mean of figures; None without any."""
    if not figures:
        return None
    return math.fsum(stat.value for stat in figures.values()) / len(figures)
