"""A journey as a picture: its steps as a band, and below them when each request was under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from xml.sax.saxutils import escape

from benchmarks.browser import Journey, Request

#: Where a second of the journey is drawn.
Scale = Callable[[float], float]

WIDTH = 1000
#: Room for names on the left.
LEFT = 150
ROW = 15
#: Height of a row among many of one kind.
THIN_ROW = 6
BAND = 34
#: Seconds as which a shorter request is drawn, so that one sees it.
THIN = 0.008

STYLE = """
text { font: 11px system-ui, sans-serif; fill: #333 }
.grid { stroke: #8884; stroke-width: 1 }
.step { stroke: #fff; stroke-width: 1 }
.step0 { fill: #9558b2 } .step1 { fill: #b681d0 } .name { fill: #fff }
.wait { fill: #389826; opacity: .4 } .take { fill: #389826 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .step { stroke: #222 } }
"""

#: Lanes in order: title, kinds of request, and part of the path.
LANES = (
    ("scripts and styles", ("Script", "Stylesheet", "Font", "Image"), "/user/"),
    ("session's API", ("Fetch", "XHR"), "/user/"),
    ("hub and portal", (), ""),
)


def draw(journey: Journey) -> str:
    """Return a journey as SVG that is readable on light and dark ground."""
    whole = journey.total * 1.02

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - 10) * max(seconds, 0.0) / whole

    rows = list(_rows(journey))
    height = BAND + 26 + sum(_height(lanes) for _, lanes in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>From the log-in to the first result in {journey.total:.2f} seconds</title>",
        f"<style>{STYLE}</style>",
        *_grid(whole, x, height),
        *_band(journey, x),
    ]
    y = BAND + 24
    for title, lanes in rows:
        parts.append(f'<text x="4" y="{y + 11}">{escape(title)}</text>')
        row = ROW if len(lanes) == 1 else THIN_ROW
        for number, lane in enumerate(lanes):
            parts += [_bar(one, x, y + number * row, row) for one in lane]
        y += _height(lanes)
    return "\n".join([*parts, "</svg>", ""])


def _height(lanes: list[list[Request]]) -> int:
    """Return the height of one kind's rows."""
    return ROW if len(lanes) == 1 else max(THIN_ROW * len(lanes), ROW) + 10


def _rows(journey: Journey) -> Iterator[tuple[str, list[list[Request]]]]:
    """Yield pages one by one, then all other requests in as few lanes as they need."""
    seen = [one for one in journey.requests if one.began < journey.total]
    pages = [one for one in seen if one.kind == "Document" and "/portal/" not in one.path]
    for page in pages:
        yield _short(page), [[page]]
    rest = [one for one in seen if one not in pages]
    for title, kinds, part in LANES:
        ours = [one for one in rest if part in one.path and (one.kind in kinds or not kinds)]
        rest = [one for one in rest if one not in ours]
        if ours:
            yield f"{title} ({len(ours)})", _packed(ours)


def _short(page: Request) -> str:
    """Return a page's address without the person's name."""
    parts = page.path.split("?")[0].split("/")
    if parts[1:2] == ["user"]:
        return f"{page.method} /user/…/{'/'.join(parts[3:])}"
    return f"{page.method} /{'/'.join(parts[1:3])}"


def _packed(requests: Iterable[Request]) -> list[list[Request]]:
    lanes: list[list[Request]] = []
    for one in requests:
        lane = next((lane for lane in lanes if lane[-1].ended < one.began), None)
        if lane is None:
            lanes.append([one])
        else:
            lane.append(one)
    return lanes


def _grid(whole: float, x: Scale, height: int) -> Iterator[str]:
    step = next(one for one in (0.2, 0.5, 1.0, 5.0, 20.0) if whole < 16 * one)
    at = 0.0
    while at < whole:
        yield f'<line class="grid" x1="{x(at):.1f}" y1="{BAND}" x2="{x(at):.1f}" y2="{height}"/>'
        yield f'<text x="{x(at) + 3:.1f}" y="{BAND + 14}">{at:.1f} s</text>'
        at += step


def _band(journey: Journey, x: Scale) -> Iterator[str]:
    began = 0.0
    for number, (name, ended) in enumerate(journey.ends.items()):
        left, width = x(began), x(ended) - x(began)
        yield (
            f'<rect class="step step{number % 2}" x="{left:.1f}" y="4" width="{width:.1f}" '
            f'height="{BAND - 8}"><title>{name}: {ended - began:.2f} s</title></rect>'
        )
        if width > 7 * len(name):
            yield f'<text class="name" x="{left + 4:.1f}" y="{BAND - 13}">{name}</text>'
        began = ended


def _bar(request: Request, x: Scale, y: int, row: int) -> str:
    began, ended = x(request.began), x(max(request.ended, request.began + THIN))
    answered = min(max(x(request.answered), began), ended)
    return (
        f'<rect class="wait" x="{began:.1f}" y="{y + 2}" width="{ended - began:.1f}" '
        f'height="{row - row // 3}"><title>{escape(request.path)}</title></rect>'
        f'<rect class="take" x="{answered:.1f}" y="{y + 2}" width="{ended - answered:.1f}" '
        f'height="{row - row // 3}"/>'
    )
