"""Fifty at once with a pool of ten: none may fail, and the hub must go on answering."""

from __future__ import annotations

import asyncio
import statistics

from benchmarks.figures import Curves, Figure, Limit, Outcome, at_most, percentile
from benchmarks.hubs import Hub
from benchmarks.pairs import pause
from benchmarks.probe import Latencies, probing
from benchmarks.rounds import Rounds
from benchmarks.stand import Stand, say

MOST = 0.25


async def measure_burst(stand: Stand, rounds: Rounds) -> Outcome:
    """Start fifty servers of new people at once, and time the hub's API meanwhile."""
    found: list[tuple[list[float], Latencies]] = []
    failed: list[str] = []
    for number in range(rounds.bursts):
        await stand.settle()
        *measured, reasons = await _burst(stand.ours, f"crowd{number}", rounds.crowd)
        found.append((measured[0], measured[1]))
        failed += reasons
        say(f"{rounds.crowd} at once: {number + 1}/{rounds.bursts}, {len(reasons)} failed")
    figures = _figures(stand.ours.label, found)
    notes = [f"Failed: {reason}" for reason in sorted(set(failed))]
    curves = {stand.ours.label: _curve(found[0][0])}
    if rounds.peer_burst:
        say(f"{rounds.crowd} at once on the peer, which takes a minute")
        seconds, latencies, reasons = await _burst(stand.peer, "crowd", rounds.crowd)
        figures += _figures(stand.peer.label, [(seconds, latencies)])
        curves[stand.peer.label] = _curve(seconds)
        notes += [f"Failed: {reason}" for reason in sorted(set(reasons))]
    worst = max(percentile(latencies.took, 0.99) for _, latencies in found)
    latencies = found[0][1]
    title = f"{rounds.crowd} at once"
    return Outcome(
        "burst",
        title,
        f"{rounds.crowd} people who were never here before ask for their server in the same "
        f"moment, with a pool of {stand.pool}. Meanwhile a program of its own asks `/hub/api` "
        "through the proxy every 50 ms, and counts from the moment at which the question was due. "
        "The peer does it once.",
        figures=figures,
        limits=[
            Limit(f"{title}: starts that failed", "none", str(len(failed)), not failed),
            at_most(f"{title}: `/hub/api`, p99", worst, MOST, "s", less=True),
        ],
        notes=notes,
        plots=[
            Curves(f"{title}: servers that are ready", "seconds", "servers", curves),
            Curves(
                f"/hub/api while {rounds.crowd} servers start", "seconds", "milliseconds",
                {stand.ours.label: (latencies.due, [1000 * one for one in latencies.took])},
                limit=1000 * MOST, log=True,
            ),
        ],
    )  # fmt: skip


def _figures(label: str, found: list[tuple[list[float], Latencies]]) -> list[Figure]:
    return [
        Figure(f"{label}: median of all starts", [statistics.median(one) for one, _ in found]),
        Figure(f"{label}: the last of them", [max(one) for one, _ in found]),
        *[
            Figure(f"{label}: `/hub/api`, p{100 * part:.0f}", [
                percentile(one.took, part) for _, one in found
            ])
            for part in (0.5, 0.99)
        ],
    ]  # fmt: skip


async def _burst(hub: Hub, prefix: str, crowd: int) -> tuple[list[float], Latencies, list[str]]:
    """Return seconds of the starts, times of the probe, and why starts failed."""
    names = [f"{prefix}-{number}" for number in range(crowd)]
    async with hub.users(names):
        await hub.connect(names)
        async with probing(f"{hub.url}/hub/api") as latencies:
            answers = await asyncio.gather(
                *(hub.spawn(name) for name in names), return_exceptions=True
            )
        await hub.stop_all(names)
        await pause()
    seconds = [one for one in answers if isinstance(one, float)]
    reasons = [f"{hub.label}: {one}" for one in answers if not isinstance(one, float)]
    if not seconds:
        raise RuntimeError(f"no start succeeded: {reasons[0]}")
    return seconds, latencies, reasons


def _curve(seconds: list[float]) -> tuple[list[float], list[float]]:
    return [0.0, *sorted(seconds)], [float(one) for one in range(len(seconds) + 1)]
