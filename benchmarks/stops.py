"""How long a stop takes to answer, and how soon the person is back with their files."""

from __future__ import annotations

import statistics
import time

from benchmarks.figures import OURS, PEER, Comparison, Outcome, Points, at_most
from benchmarks.hubs import Hub
from benchmarks.pairs import pause, take_turns
from benchmarks.rounds import Rounds
from benchmarks.stand import Stand

NAME = "comes-back"
FILE = "written.txt"


async def measure_stops(stand: Stand, rounds: Rounds) -> Outcome:
    """Start, write, stop, start again and read, on both hubs in turns."""

    async def once(hub: Hub) -> list[float]:
        await hub.spawn(NAME)
        text = f"{time.time()}"
        await hub.write(NAME, FILE, text)
        await stand.settle()
        began = time.perf_counter()
        stopped = await hub.stop(NAME)
        await hub.spawn(NAME)
        if hub is stand.ours and await hub.read(NAME, FILE) != text:
            raise RuntimeError("a file is not what it was before the stop")
        back = time.perf_counter() - began
        await hub.stop(NAME)
        await pause()
        return [stopped, back]

    async with stand.ours.users([NAME]), stand.peer.users([NAME]):
        sides = await take_turns(stand, "stop and start again", rounds.stops, once)
    stop, back = (
        Comparison(key, title, *[[turn[place] for turn in side] for side in sides])
        for place, (key, title) in enumerate(
            [("stop", "stop"), ("resume", "stop, start again, file read")]
        )
    )
    title = "Stop, and come back"
    return Outcome(
        "stops",
        title,
        "A session that has written a file is stopped (`DELETE /hub/api/users/NAME/server` until "
        "the hub has no server of that name any more) and started again at once, and the file is "
        "read through it. The second figure is all of that. The peer has no home that outlives a "
        "container: it is spared the reading.",
        [stop, back],
        limits=[
            at_most("Stop answers", statistics.median(stop.ours), 0.3, "s", less=True),
            at_most("Stop and start again, file read", statistics.median(back.ours), 1.0, "s"),
        ],
        plots=[
            Points(title, "seconds", [(one.title, {OURS: one.ours, PEER: one.peer})
                                      for one in (stop, back)])
        ],
    )  # fmt: skip
