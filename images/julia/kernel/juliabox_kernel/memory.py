"""Why a process ended: its exit code, and the control group's record of memory kills."""

import signal
from pathlib import Path

# (kill counter, limit): control groups version 2, then version 1
_SOURCES = (
    (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory.max")),
    (
        Path("/sys/fs/cgroup/memory/memory.oom_control"),
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ),
)
_UNLIMITED = 1 << 60  # version 1 writes "no limit" as a number near 2^63


def _kills() -> int:
    for counter, _ in _SOURCES:
        try:
            words = counter.read_text().split()
        except OSError:
            continue
        if "oom_kill" in words:
            return int(words[words.index("oom_kill") + 1])
    return 0


def memory_limit() -> int | None:
    """Return the memory limit of this container in bytes; `None` when there is none."""
    for _, limit in _SOURCES:
        try:
            value = int(limit.read_text())
        except (OSError, ValueError):
            continue
        if value < _UNLIMITED:
            return value
    return None


class MemoryWatch:
    """Remembers how many memory kills there were when a process started."""

    def __init__(self) -> None:
        self._before = _kills()

    def describe_end(self, code: int) -> str:
        """Say in a sentence why the process ended, from the exit code that Popen gives."""
        if code >= 0:
            return f"Julia ended with exit code {code}."
        number = -code
        try:
            name = f"signal {number}, {signal.Signals(number).name}"
        except ValueError:
            name = f"signal {number}"
        if number != signal.SIGKILL:
            return f"Julia crashed ({name})."
        limit = memory_limit()
        size = f"; the limit is {limit / 2**20:,.0f} MiB" if limit else ""
        if _kills() > self._before:
            return f"Julia was ended ({name}) because memory ran out{size}."
        return f"Julia was ended ({name}), probably because memory ran out{size}."
