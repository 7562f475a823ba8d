"""Plots as SVG: matplotlib draws, and the colours follow the reader's light or dark scheme.

matplotlib knows no scheme, so it draws with stand-ins for the colours of ink and lines, which a
style sheet in the file then decides.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.figures import Bars, Curves, Plot, Points

#: Stand-in -> name, light and dark colour.
INK = {"#010203": ("ink", "#24292f", "#e2e4ec"), "#040506": ("line", "#c8ccd2", "#4a4f5e")}
#: Read well on white and on black.
COLOURS = ("#7c4dff", "#e8710a", "#12a4a4", "#d6336c", "#5c8f1e", "#8a8f98")
_INK, _LINE = INK
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "juliabox",
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "sans-serif", "DejaVu Sans"],
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.transparent": True,
}
_WIDTH = 7.2


def draw(plot: Plot, path: Path) -> None:
    """Draw a plot into a file."""
    kinds = {Points: _points, Bars: _bars, Curves: _curves}
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, _height(plot)), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(plot.title, loc="left", fontsize=11)
        kinds[type(plot)](plot, axes)  # type: ignore[operator]
        figure.legend(loc="outside lower center", ncols=4, fontsize=9)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    path.write_text(_with_schemes(path.read_text()))


def _height(plot: Plot) -> float:
    if isinstance(plot, Curves):
        return 3.6
    sides = max(len(sides) for _, sides in plot.rows) if isinstance(plot, Points) else 1
    return 1.3 + (0.25 + 0.17 * sides) * len(plot.rows)


def _with_schemes(svg: str) -> str:
    """Let a style sheet say the colours of ink and lines."""
    for stand_in, (name, _, _) in INK.items():
        svg = svg.replace(stand_in, f"var(--{name})")
    light = " ".join(f"--{name}: {colour};" for name, colour, _ in INK.values())
    dark = " ".join(f"--{name}: {colour};" for name, _, colour in INK.values())
    sheet = (
        f"<style>svg {{ {light} }} "
        f"@media (prefers-color-scheme: dark) {{ svg {{ {dark} }} }}</style>"
    )
    return svg.replace("<defs>", f"{sheet}\n <defs>", 1)


def _points(plot: Points, axes: Axes) -> None:
    """Each measurement as a point, the median as a line; a row for each side."""
    names = list(dict.fromkeys(name for _, sides in plot.rows for name in sides))
    for row, (_, sides) in enumerate(plot.rows):
        for place, (name, values) in enumerate(sides.items()):
            colour = COLOURS[names.index(name) % len(COLOURS)]
            y = row + (place - (len(sides) - 1) / 2) * 0.3
            label = name if row == _first_row(plot, name) else None
            axes.plot(values, [y] * len(values), "o", ms=4, alpha=0.45, mew=0, color=colour)
            middle = [statistics.median(values)] * 2
            axes.plot(middle, [y - 0.13, y + 0.13], color=colour, lw=2, label=label)
    if plot.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(left=0)
    _label_rows([title for title, _ in plot.rows], plot.unit, axes)


def _first_row(plot: Points, name: str) -> int:
    return next(row for row, (_, sides) in enumerate(plot.rows) if name in sides)


def _bars(plot: Bars, axes: Axes) -> None:
    """Parts beside each other in one bar for each row."""
    names = list(dict.fromkeys(name for _, parts in plot.rows for name in parts))
    ends = [0.0] * len(plot.rows)
    for name, colour in zip(names, COLOURS * len(names), strict=False):
        widths = [parts.get(name, 0.0) for _, parts in plot.rows]
        axes.barh(range(len(widths)), widths, 0.55, left=ends, color=colour, label=name)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    for row, end in enumerate(ends):
        axes.annotate(f" {end:.3g}", (end, row), va="center")
    axes.set_xlim(0, 1.1 * max(ends))
    _label_rows([title for title, _ in plot.rows], plot.unit, axes)


def _label_rows(titles: list[str], unit: str, axes: Axes) -> None:
    axes.set_yticks(range(len(titles)), titles)
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(unit)
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def _curves(plot: Curves, axes: Axes) -> None:
    for (name, (x, y)), colour in zip(plot.lines.items(), COLOURS * len(plot.lines), strict=False):
        axes.plot(x, y, color=colour, lw=1.6, label=name, marker="o" if len(x) < 10 else None)
    if plot.limit is not None:
        axes.axhline(plot.limit, color=_INK, lw=1, ls="--")
    if plot.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.grid()
