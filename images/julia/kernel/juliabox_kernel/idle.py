"""Whether the machine has processor time to spare."""

import random
import time
from pathlib import Path

#: Part of the machine's processor time that must go unused, and seconds of one look: not the same
#: for all who look at once.
SPARE = 0.3
LOOK = (0.3, 1.0)

_TIMES = Path("/proc/stat")


def await_idle() -> None:
    """Return when the machine has processor time to spare; at once where it does not tell."""
    before = processor_times()
    while before is not None:
        time.sleep(random.uniform(*LOOK))  # noqa: S311 - no secret
        now = processor_times()
        if now is None or now[0] - before[0] >= SPARE * (now[1] - before[1]):
            return
        before = now


def processor_times() -> tuple[int, int] | None:
    """Return the machine's idle time and all of its time, in ticks; None where it is not told."""
    try:
        first, *_ = _TIMES.read_text().splitlines()
        ticks = [int(text) for text in first.split()[1:9]]
    except (OSError, ValueError):
        return None
    return sum(ticks[3:5]), sum(ticks)
