"""From the log-in to the first Julia result in real Chromium, and where the time goes."""

from __future__ import annotations

import asyncio
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.browser import Journey, measure_browser, medians, table
from benchmarks.figures import Bars, Figure, Outcome, at_most
from benchmarks.rounds import Rounds
from benchmarks.stand import Stand, say
from benchmarks.waterfall import draw

#: The picture of the journey in the middle, for the page that explains it.
WATERFALL = Path(__file__).resolve().parent.parent / "docs" / "images" / "waterfall.svg"


async def measure_first_result(stand: Stand, rounds: Rounds) -> Outcome:
    """Let new people log in, one after the other, each with a fresh browser profile."""
    people = {
        name: stand.installation.add_user(name)
        for name in (f"reader-{number}" for number in range(rounds.browsers + 1))
    }
    # Playwright wants a thread with no event loop
    journeys = await asyncio.to_thread(_travel, stand, people)
    counted = sorted(journeys[1:], key=lambda one: one.total)
    WATERFALL.write_text(draw(counted[len(counted) // 2]))
    return outcome(stand.pool, counted)


def _travel(stand: Stand, people: dict[str, str]) -> list[Journey]:
    with ThreadPoolExecutor(1) as waiting:

        def before() -> None:
            waiting.submit(asyncio.run, stand.settle()).result()
            say("browser: the next of them logs in")

        return measure_browser(stand.ours, people, before)


def outcome(pool: int, journeys: list[Journey]) -> Outcome:
    """Return what the journeys tell."""
    totals = [one.total for one in journeys]
    title = "From the log-in to the first Julia result"
    steps = {name: seconds for name, (seconds, _) in medians(journeys).items()}
    return Outcome(
        "browser",
        title,
        "Real Chromium with a fresh profile for each person, who logs in for the first time and "
        "runs the first cell of the notebook that is open as soon as Julia is idle; "
        f"with a pool of {pool}, full before each. Browser and service share the machine's cores.",
        figures=[Figure("log-in posted until the result is drawn", totals)],
        limits=[at_most(title, statistics.median(totals), 5.0, "s")],
        notes=["\n".join(table(journeys))],
        plots=[Bars(f"{title}: median of each step", "seconds", [("JuliaBox", steps)])],
    )
