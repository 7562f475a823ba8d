"""What hub, manager, proxy and portal cost with a hundred sessions: memory and processor time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from benchmarks.costs import available, cpu_seconds, processes
from benchmarks.figures import Bars, Curves, Limit, Outcome, amount
from benchmarks.hubs import Hub
from benchmarks.rounds import Rounds
from benchmarks.stand import Stand, say

BATCH = 10
#: MiB that must stay free for the machine itself.
SPARE = 2048
MANAGER_MOST = 80.0
SETTLING = 10.0
LOOKS = 3


@dataclass
class Cost:
    """What one container costs."""

    #: MiB by number of sessions.
    pss: dict[int, float] = field(default_factory=dict)
    rss: dict[int, float] = field(default_factory=dict)
    #: Seconds of processor time: for each start, beyond those for each second of idling.
    start: float = 0.0
    idle: float = 0.0


async def measure_parts(stand: Stand, rounds: Rounds) -> Outcome:
    """Fill both hubs with sessions, one after the other, and see what their parts take."""
    parts = [f"{stand.installation.name}-{one}" for one in ("hub", "manager", "proxy", "portal")]
    # a hundred warm Julias are more than this machine has room for, and no cost of the parts
    stand.set_pool(stand.pool, kernel=False)
    await stand.settle()
    mine, count = await _fill(stand.ours, parts, rounds.sessions, rounds.watch)
    await stand.settle()
    peer_parts = [f"{stand.peer_name}-hub"]
    theirs, peer_count = await _fill(stand.peer, peer_parts, rounds.peer_sessions, rounds.watch)
    costs = {name.rpartition("-")[2]: cost for name, cost in mine.items()}
    costs["plain DockerSpawner: hub and proxy"] = theirs[peer_parts[0]]
    manager = costs["manager"].rss[count]
    limit = Limit(
        "Manager's memory (RSS) with 100 sessions",
        f"under {amount(MANAGER_MOST, 'MiB')}",
        f"{amount(manager, 'MiB')} with {count}",
        manager < MANAGER_MOST and count >= 100,
    )
    return Outcome(
        "parts",
        "What the parts cost",
        f"{count} sessions run, started in batches of {BATCH} (the peer's: {peer_count}), with a "
        f"pool of {stand.pool} and no warm Julia. Memory is PSS; RSS counts pages that parts share "
        "in each of them. "
        "Processor time of a container is as the engine counts it, with its health checks: as a "
        f"share of a core over {rounds.watch:.0f} s in which nothing happens, and beyond that "
        "share for each start.",
        limits=[limit],
        notes=["\n".join(_table(costs))],
        plots=[
            Curves(
                "Memory of the parts", "running sessions", "MiB, PSS",
                {
                    name: ([float(one) for one in cost.pss], list(cost.pss.values()))
                    for name, cost in costs.items()
                },
            ),
            Bars(
                "Processor time for one start", "milliseconds",
                [(name, {"one start": 1000 * cost.start}) for name, cost in costs.items()],
            ),
        ],
    )  # fmt: skip


async def _fill(
    hub: Hub, parts: list[str], wanted: int, watch: float
) -> tuple[dict[str, Cost], int]:
    """Start sessions in batches and return what each part costs, and how many there were."""
    costs = {part: Cost() for part in parts}
    names = [f"hundred-{number}" for number in range(wanted)]
    async with hub.users(names):
        free = available()
        await _read_memory(costs, 0)
        before, began, running = cpu_seconds(parts), time.perf_counter(), 0
        while running < wanted and available() - _each(free, running) * BATCH > SPARE:
            batch = names[running : running + BATCH]
            await hub.spawn_all(batch)
            running += len(batch)
            say(f"parts of {hub.label}: {running}/{wanted}")
            if running in {BATCH, wanted // 2}:
                await _read_memory(costs, running)
        after, starting = cpu_seconds(parts), time.perf_counter() - began
        await asyncio.sleep(SETTLING)
        await _read_memory(costs, running)
        idle, began = cpu_seconds(parts), time.perf_counter()
        await asyncio.sleep(watch)
        seconds = time.perf_counter() - began
        for part, spent in cpu_seconds(parts).items():
            costs[part].idle = (spent - idle[part]) / seconds
            busy = after[part] - before[part] - costs[part].idle * starting
            costs[part].start = busy / running
        for first in range(0, running, BATCH):
            await hub.stop_all(names[first : first + BATCH])
    return costs, running


def _each(free: float, running: int) -> float:
    """Return MiB that a session has taken so far."""
    return max(0.0, free - available()) / running if running else 0.0


async def _read_memory(costs: dict[str, Cost], running: int) -> None:
    """Read what each part holds, as the least of some looks: programs come and go beside it."""
    for part, cost in costs.items():
        looks = []
        for _ in range(LOOKS):
            inside = processes(part)
            looks.append((sum(one.pss for one in inside), sum(one.rss for one in inside)))
            await asyncio.sleep(0.2)
        cost.pss[running], cost.rss[running] = map(min, zip(*looks, strict=True))


def _table(costs: dict[str, Cost]) -> list[str]:
    lines = [
        "| part | sessions | memory without, PSS | with them, PSS (RSS) | for 100 sessions "
        "| processor time for a start | idle |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, cost in costs.items():
        count = max(cost.pss)
        more = 100 * (cost.pss[count] - cost.pss[0]) / count
        lines.append(
            f"| {name} | {count} | {cost.pss[0]:.0f} MiB | {cost.pss[count]:.0f} MiB "
            f"({cost.rss[count]:.0f}) | {more:+.0f} MiB | {1000 * cost.start:.0f} ms "
            f"| {100 * cost.idle:.1f}% of a core |"
        )
    return lines
