"""Time from the request for a server to its readiness, interleaved with plain DockerSpawner."""

from __future__ import annotations

import statistics

from benchmarks.costs import busy_seconds
from benchmarks.figures import (
    OURS,
    PEER,
    Comparison,
    Figure,
    Limit,
    Outcome,
    Plot,
    Points,
    at_most,
    times_faster,
)
from benchmarks.hubs import Hub
from benchmarks.pairs import pause, take_turns
from benchmarks.rounds import Rounds
from benchmarks.stand import Stand

METHOD = (
    "Seconds from `POST /hub/api/users/NAME/server` to the hub's word that the server is ready, "
    "through the proxy, by a client that is connected before. Ours and plain DockerSpawner run "
    "the same image and take turns; the figure of a batch is its median. "
)


async def measure_cold(stand: Stand, rounds: Rounds) -> Outcome:
    """Measure starts with no pool."""
    one, ten, costs = await _both(stand, rounds, "cold")
    limits = [
        Limit(
            "Start, cold, against plain DockerSpawner",
            "a ratio of 1.0 not excluded",
            str(one.ratio),
            one.ratio.low <= 1.0,
        )
    ]
    title = "Start of a session, cold"
    return Outcome(
        "cold", title, METHOD + "There is no pool.", [one, ten], costs, limits,
        plots=[_plot(title, one, ten)],
    )  # fmt: skip


async def measure_warm(stand: Stand, rounds: Rounds) -> Outcome:
    """Measure starts with a pool as large as a batch, which is full before each turn."""
    before = await stand.missed()
    one, ten, costs = await _both(stand, rounds, "warm")
    cold = await stand.missed() - before
    batch = f"{rounds.batch} at once with a pool of {stand.pool}"
    limits = [
        at_most("Start, warm, median", statistics.median(one.ours), 0.5, "s"),
        times_faster("Start, warm, against plain DockerSpawner", one.ratio, 8),
        at_most(f"{batch}, p50", statistics.median(ten.ours), 2.0, "s"),
        times_faster(f"{batch}, against plain DockerSpawner", ten.ratio, 15),
    ]
    title = "Start of a session, warm"
    notes = [f"Starts that found no warm container, or one that failed: {cold}."]
    method = f"{METHOD}The pool is of {stand.pool}, and full before each turn."
    plots: list[Plot] = [_plot(title, one, ten)]
    return Outcome("warm", title, method, [one, ten], costs, limits, notes, plots)


def _plot(title: str, *comparisons: Comparison) -> Points:
    rows = [(one.title, {OURS: one.ours, PEER: one.peer}) for one in comparisons]
    return Points(f"{title}: request to ready", "seconds", rows)


async def _both(
    stand: Stand, rounds: Rounds, name: str
) -> tuple[Comparison, Comparison, list[Figure]]:
    """Return the comparisons of single starts and of batches, and what else was seen."""
    names = [f"{name}-{number}" for number in range(rounds.batch)]
    costs: dict[str, list[float]] = {stand.ours.label: [], stand.peer.label: []}

    async def once(hub: Hub, users: list[str]) -> list[float]:
        await hub.connect(users)
        before = busy_seconds()
        seconds = await hub.spawn_all(users)
        if len(users) > 1:
            costs[hub.label].append((busy_seconds() - before) / len(users))
        await hub.stop_all(users)
        await pause()
        return seconds

    async with stand.ours.users(names), stand.peer.users(names):
        single = await take_turns(
            stand, f"{name}, one", rounds.pairs, lambda hub: once(hub, names[:1])
        )
        many = await take_turns(
            stand, f"{name}, {rounds.batch} at once", rounds.batches, lambda hub: once(hub, names)
        )
    one = Comparison(f"{name}.1", f"one, {name}", *_medians(single))
    ten = Comparison(f"{name}.{rounds.batch}", f"{rounds.batch} at once, {name}", *_medians(many))
    return one, ten, _figures(stand, many, costs)


def _medians(turns: list[list[list[float]]]) -> list[list[float]]:
    return [[statistics.median(turn) for turn in side] for side in turns]


def _figures(
    stand: Stand, many: list[list[list[float]]], costs: dict[str, list[float]]
) -> list[Figure]:
    """Return the slowest of a batch, and the processor time of the machine for each start."""
    labels = (stand.ours.label, stand.peer.label)
    slowest = [
        Figure(f"{label}: the slowest of a batch", [max(turn) for turn in side])
        for label, side in zip(labels, many, strict=True)
    ]
    busy = [
        Figure(f"{label}: processor time of the whole machine for each start", costs[label][1:])
        for label in labels
    ]
    return [*slowest, *busy]
