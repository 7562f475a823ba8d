"""Ratios that were reached before: a run that is worse by a fifth fails."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks.figures import Comparison

RECORDED = Path(__file__).with_name("recorded.json")
#: A ratio's interval may lie this far above the recorded one.
ROOM = 1.2


def load(path: Path = RECORDED) -> dict[str, float]:
    """Return the recorded ratio of each benchmark by its key."""
    ratios: dict[str, float] = json.loads(path.read_text())
    return ratios


def record(comparisons: Iterable[Comparison], path: Path = RECORDED) -> None:
    """Write the ratios of this run, and keep those of benchmarks that were not part of it."""
    ratios = load(path) if path.exists() else {}
    ratios.update({one.key: float(f"{one.ratio.middle:.3g}") for one in comparisons})
    path.write_text(json.dumps(ratios, indent=2, sort_keys=True) + "\n")


def worse(comparisons: Iterable[Comparison], recorded: dict[str, float]) -> list[str]:
    """Return a sentence for each ratio whose whole interval is worse than the recorded one."""
    return [
        f"{one.title}: the ratio is {one.ratio}, recorded is {recorded[one.key]:.3g}"
        for one in comparisons
        if one.key in recorded and one.ratio.low > ROOM * recorded[one.key]
    ]
