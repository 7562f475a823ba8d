"""The page of results: a head that is written by hand, and what the last runs found below it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import docker
import msgspec

from benchmarks import plots
from benchmarks.figures import Comparison, Figure, Limit, Outcome, Points, spread

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "images"
#: Every single measurement of the last runs, from which the page and its plots are made.
RESULTS = Path(__file__).with_name("results.json")
#: Ends the part of the page that is written by hand.
MARK = "<!-- Below this line all is made by `make bench`. -->"

#: Order of the sections.
ORDER = (
    "cold",
    "warm",
    "burst",
    "browser",
    "memory",
    "parts",
    "stops",
    "refill",
    "scale",
    "portal",
    "apis",
)


def machine() -> str:
    """Return a sentence that says where and when figures were made."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    engine = docker.from_env().version()["Version"]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores of {model}, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Docker {engine}, "
        f"Python {platform.python_version()}."
    )


def stored(path: Path = RESULTS) -> dict[str, Outcome]:
    """Return what the last run of each benchmark found."""
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Outcome])


def keep(outcome: Outcome, path: Path = RESULTS) -> None:
    """Put what a benchmark found in the place of what its last run found."""
    found = stored(path) | {outcome.name: outcome}
    text = msgspec.json.format(msgspec.json.encode(found), indent=0)
    path.write_bytes(text + b"\n")


def write(page: Path = PAGE, pictures: Path = PICTURES, results: Path = RESULTS) -> None:
    """Make the page and its plots from what is stored."""
    head = page.read_text().partition(MARK)[0]
    found = stored(results)
    outcomes = [found[name] for name in ORDER if name in found]
    limits = [one for outcome in outcomes for one in outcome.limits]
    parts = [head.strip(), MARK, "## What was asked for", "\n".join(limit_table(limits))]
    for outcome in outcomes:
        names = [f"bench-{outcome.name}-{number}.svg" for number in range(len(outcome.plots))]
        for name, plot in zip(names, outcome.plots, strict=True):
            plots.draw(plot, pictures / name)
        parts.append("\n".join(_section(outcome, names, pictures.name)))
    page.write_text("\n\n".join(parts) + "\n")


def summary(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the tables of some outcomes, and how they stand to what was asked for."""
    lines: list[str] = []
    for one in outcomes:
        lines += [f"{one.title}", *comparison_table(one.comparisons), *figure_table(one.figures)]
        lines += [*one.notes, *limit_table(one.limits)]
    return lines


def limit_table(limits: Iterable[Limit]) -> list[str]:
    """Return one row for each limit: whether it is met."""
    return [
        "| figure | wanted | measured | |",
        "| --- | --- | --- | --- |",
        *[
            f"| {one.title} | {one.wanted} | {one.found} | {'met' if one.met else '**not met**'} |"
            for one in limits
        ],
    ]


def _section(outcome: Outcome, names: list[str], folder: str) -> list[str]:
    lines = [f"## {outcome.title}", "", outcome.method, "", f"*{outcome.machine}*"]
    if outcome.comparisons:
        lines += ["", *comparison_table(outcome.comparisons)]
    if outcome.figures:
        lines += ["", *figure_table(outcome.figures)]
    for note in outcome.notes:
        lines += ["", note]
    for name, plot in zip(names, outcome.plots, strict=True):
        kind = "Each measurement" if isinstance(plot, Points) else "Plot"
        lines += ["", f"![{kind}: {plot.title}]({folder}/{name})"]
    return lines


def comparison_table(comparisons: Iterable[Comparison]) -> list[str]:
    """Return one row for each comparison, in tables by the names of the two sides."""
    lines: list[str] = []
    names: tuple[str, str] | None = None
    for one in comparisons:
        if one.names != names:
            names = one.names
            lines += [""] if lines else []
            lines += [
                f"| median (range) | pairs | {names[0]} | {names[1]} | ratio (95%) |",
                "| --- | --- | --- | --- | --- |",
            ]
        sides = f"{spread(one.ours, one.unit)} | {spread(one.peer, one.unit)}"
        lines.append(f"| {one.title} | {len(one.ours)} | {sides} | {one.ratio} |")
    return lines


def figure_table(figures: Iterable[Figure]) -> list[str]:
    """Return one row for each figure without a peer."""
    return [
        "| figure | times | median (range) |",
        "| --- | --- | --- |",
        *[
            f"| {one.title} | {len(one.values)} | {spread(one.values, one.unit)} |"
            for one in figures
        ],
    ]
