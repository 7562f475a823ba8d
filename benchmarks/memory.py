"""Memory of an idle session: what its processes hold, beside a plain single-user server's."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from benchmarks.costs import processes
from benchmarks.figures import Bars, Comparison, Limit, Outcome
from benchmarks.rounds import Rounds
from benchmarks.stand import Stand, say

#: Seconds after the last start until the memory is read.
SETTLING = 10.0

JUPYTER, JULIA, KERNEL, OTHER = "Jupyter", "warm Julia", "warm kernel's Python", "entry"
#: What a process is, by what its command line has in it; the first that fits counts.
_KINDS = (
    (OTHER, ("tini", "juliabox_output.py")),
    (JULIA, ("bin/julia", "julia ")),
    (KERNEL, ("juliabox_kernel", "ipykernel")),
    (JUPYTER, ("juliabox_entry.py", "jupyterhub-singleuser", "jupyterhub.singleuser")),
)


async def measure_memory(stand: Stand, rounds: Rounds) -> Outcome:
    """Have as many sessions run on both hubs, with nobody in them, and read their memory."""
    names = [f"idle-{number}" for number in range(rounds.idle)]
    async with stand.ours.users(names), stand.peer.users(names):
        for hub in (stand.ours, stand.peer):
            await stand.settle()
            await hub.spawn_all(names)
        await asyncio.sleep(SETTLING)
        await stand.settle()
        read = {
            label: [_parts(container) for container in containers]
            for label, containers in stand.sessions.items()
        }
    say(f"memory: {rounds.idle} sessions each")
    mine, theirs = (read[hub.label] for hub in (stand.ours, stand.peer))
    jupyter = _comparison("memory", "Jupyter process", mine, theirs, [JUPYTER])
    whole = _comparison("memory.all", "all processes of a session", mine, theirs, None)
    limit = Limit(
        "Idle memory of the Jupyter process, against the plain single-user server's",
        "at most 0.9",
        str(jupyter.ratio),
        jupyter.ratio.middle <= 0.9,
    )
    return Outcome(
        "memory",
        "Memory of an idle session",
        f"PSS (a page that n processes share counts for 1/n in each), read on the host "
        f"{SETTLING:.0f} s after the last start, with {rounds.idle} sessions of each hub and a "
        f"pool of {stand.pool}. All run the same image, so they share its pages alike.",
        [jupyter, whole],
        limits=[limit],
        plots=[
            Bars("Memory of an idle session", "MiB, PSS", [
                (hub.label, _means(read[hub.label])) for hub in (stand.ours, stand.peer)
            ])
        ],
    )  # fmt: skip


def _parts(container: str) -> dict[str, float]:
    """Return MiB of a session by what its processes are."""
    found: dict[str, float] = defaultdict(float)
    kinds: dict[int, str] = {}
    for one in processes(container):
        kind = kind_of(one.command)
        if kind == JUPYTER and kinds.get(one.parent) in {JUPYTER, KERNEL}:
            # a fork keeps the command line of what it came from
            kind = KERNEL
        kinds[one.pid] = kind
        found[kind] += one.pss
    return found


def kind_of(command: str) -> str:
    """Return what a process of a session is, by its command line."""
    for kind, words in _KINDS:
        if any(word in command for word in words):
            return kind
    return OTHER


def _comparison(
    key: str, title: str, mine: list[dict[str, float]], theirs: list[dict[str, float]],
    kinds: list[str] | None,
) -> Comparison:  # fmt: skip
    """Compare what the kinds of processes hold together; all with None."""
    sides = [
        sorted(sum(one[kind] for kind in kinds or one) for one in side) for side in (mine, theirs)
    ]
    return Comparison(key, title, *sides, unit="MiB")


def _means(parts: list[dict[str, float]]) -> dict[str, float]:
    kinds = [kind for kind in (JUPYTER, OTHER, KERNEL, JULIA) if any(kind in one for one in parts)]
    return {kind: sum(one[kind] for one in parts) / len(parts) for kind in kinds}
