"""What processes cost: processor time and memory, read on the host as root."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker

MIB = 1024**2


@dataclass(frozen=True)
class Process:
    """One process of the host."""

    pid: int
    parent: int
    command: str

    @property
    def pss(self) -> float:
        """MiB of memory, of which a page that n processes share counts for 1/n in each."""
        return _smaps(self.pid, "Pss:")

    @property
    def rss(self) -> float:
        """MiB of memory, shared pages counted in full."""
        return _smaps(self.pid, "Rss:")


def processes(container: str) -> list[Process]:
    """Return the processes of a container that come from its first one, parents first."""
    first = docker.from_env().api.inspect_container(container)["State"]["Pid"]
    return list(tree(first)) if first else []


def tree(pid: int, parent: int = 0) -> Iterator[Process]:
    """Yield a process and those that come from it, parents first."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        yield Process(pid, parent, command)
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree(int(child), pid)


def _smaps(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024 / MIB
    return 0.0


def cpu_seconds(containers: Iterable[str]) -> dict[str, float]:
    """Return the processor time that each container has had, its health checks included."""
    api = docker.from_env().api
    found = {}
    for name in containers:
        told = api.stats(name, stream=False, one_shot=True)
        found[name] = told["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
    return found


def process_cpu(pid: int) -> float:
    """Return the processor time that a process has had, its ended children included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(one) for one in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """Return the processor time that the whole machine has spent since it booted."""
    fields = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    # user, nice, system, idle, iowait, irq, softirq, steal: all but idle, iowait and steal
    return (sum(fields[:3]) + sum(fields[5:7])) / os.sysconf("SC_CLK_TCK")


def available() -> float:
    """Return MiB of memory that new programs can have."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 / MIB
    raise RuntimeError("the kernel does not tell its available memory")
