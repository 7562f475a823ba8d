"""What a claim takes with ten containers on the machine, and with three hundred.

A real manager on the real engine, without hub; the containers are small (30 MB image, the real
entry program, a stand-in for the server), so that the machine has room for them.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field

from benchmarks.costs import process_cpu, tree
from benchmarks.figures import Comparison, Figure, Limit, Outcome, Points
from benchmarks.rounds import Rounds
from benchmarks.stand import say
from benchmarks.warm import await_loaded
from juliabox_manager.protocol import SessionCreate, SessionRemove, SessionStart
from juliabox_spawner.client import ManagerClient
from support import tiny_image
from support.manager_process import IMAGE, LIMITS, ManagerProcess, installation

POOL = 5
#: Sessions that are started or removed side by side.
ABREAST = 4
TIMEOUT = 120.0


@dataclass
class Crowd:
    """A manager, the sessions that it keeps, and what was seen of it."""

    process: ManagerProcess
    client: ManagerClient
    running: list[str] = field(default_factory=list)
    #: RSS in MiB by number of containers.
    memory: dict[int, float] = field(default_factory=dict)

    async def claim(self, owner: str) -> tuple[str, float]:
        """Start a session; return its id and the seconds until its server listens."""
        began = time.perf_counter()
        made = await self.client.call(SessionCreate(owner, "", IMAGE, LIMITS), TIMEOUT)
        await self.client.call(SessionStart(made.session, {}), TIMEOUT)
        return made.session, time.perf_counter() - began

    async def resize(self, containers: int) -> None:
        """Have so many containers, the warm ones among them."""
        room = asyncio.Semaphore(ABREAST)

        async def start(number: int) -> None:
            async with room:
                self.running.append((await self.claim(f"stays-{number}"))[0])

        async def remove(session: str) -> None:
            async with room:
                await self.client.call(SessionRemove(session), TIMEOUT)

        wanted = containers - POOL
        have = len(self.running)
        going, self.running[wanted:] = self.running[wanted:], []
        await asyncio.gather(*(remove(one) for one in going))
        await asyncio.gather(*(start(number) for number in range(have, wanted)))
        await await_loaded(self.client, POOL)
        # what the engine still has to do for those that went
        await asyncio.sleep(5)
        self.memory[containers] = next(tree(self.pid)).rss

    async def claims(self, count: int) -> tuple[list[float], float]:
        """Return the seconds of each claim, and the manager's processor time for one."""
        took, spent = [], 0.0
        for number in range(count + 1):
            await await_loaded(self.client, POOL)
            await asyncio.sleep(0.5)
            before = process_cpu(self.pid)
            session, seconds = await self.claim("comes-and-goes")
            if number:
                took.append(seconds)
                spent += process_cpu(self.pid) - before
            await self.client.call(SessionRemove(session), TIMEOUT)
        return took, spent / count

    @property
    def pid(self) -> int:
        """The manager's process."""
        assert self.process.process is not None
        return self.process.process.pid


async def measure_scale(rounds: Rounds) -> Outcome:
    """Claim at few containers, at many, and at few again."""
    settings = {
        "capacity": {"sessions": rounds.many + 50, "sessions_per_owner": 3, "disk_reserve": 2**20},
        "pool": {"rule": "fixed", "size": POOL, "warm_memory": LIMITS.memory},
        "reconcile_interval": 60.0,
    }
    with installation(0, tiny_image.make(), prefix=22, **settings) as process:
        process.start()
        client = process.client()
        try:
            await process.ready(client)
            return await _measure(Crowd(process, client), rounds)
        finally:
            client.close()


async def _measure(crowd: Crowd, rounds: Rounds) -> Outcome:
    seconds: list[list[float]] = []
    costs: list[float] = []
    for containers, count in (
        (rounds.few, rounds.claims // 2),
        (rounds.many, rounds.claims // 2 * 2),
        (rounds.few, rounds.claims // 2),
    ):
        say(f"claims: making it {containers} containers")
        await crowd.resize(containers)
        took, cost = await crowd.claims(count)
        seconds.append(took)
        costs.append(cost)
        say(f"claims at {containers} containers: {1000 * statistics.median(took):.0f} ms")
    names = (f"at {rounds.many} containers", f"at {rounds.few} containers")
    claim = Comparison("claim.300", "a claim", seconds[1], seconds[0] + seconds[2], "s", names)
    limit = Limit(
        f"A claim {names[0]}, against one {names[1]}",
        "at most 1.3 times",
        str(claim.ratio),
        claim.ratio.middle <= 1.3,
    )
    return Outcome(
        "scale",
        "Many containers",
        "`session.create` and `session.start`, until the server listens, asked of a real manager "
        f"that keeps a pool of {POOL}; without hub. The containers are small ones with the real "
        f"entry program. Half of the claims with few containers come before, half after those "
        "with many.",
        [claim],
        [
            Figure(f"manager's processor time for a claim, {names[0]}", [costs[1]]),
            Figure(f"manager's processor time for a claim, {names[1]}", [costs[0], costs[2]]),
            *[
                Figure(f"manager's memory (RSS) with {count} containers", [size], "MiB")
                for count, size in crowd.memory.items()
            ],
        ],
        [limit],
        plots=[
            Points("A claim: asked until the server listens", "seconds",
                   [("a claim", dict(zip(names, (claim.ours, claim.peer), strict=True)))],
                   log=False)
        ],
    )  # fmt: skip
