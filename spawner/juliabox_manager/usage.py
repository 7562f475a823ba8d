"""What sessions use: read from the kernel, with no call of the engine.

A container sees its own control group below ``/sys/fs/cgroup``, on version 1 as on version 2. The
manager looks through ``/proc/<pid>/root``: its own view shows its own group alone, and the host's
is out of its reach. Only the runtime mounts anything there, so nothing of the person's is opened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from juliabox_ext.errors import ConflictError, JuliaBoxError, UnavailableError
from juliabox_ext.volume import Disk
from juliabox_manager.engine import Engine
from juliabox_manager.live import Live, Registry
from juliabox_manager.parts import VolumesPart
from juliabox_manager.protocol import SessionUsage, SessionUsages, UsageInfo

log = structlog.get_logger("juliabox.manager.usage")

_PROC: Final = Path("/proc")

#: Seconds over which processor time is measured at least, at most, and the first time.
SHORTEST: Final = 1.0
LONGEST: Final = 60.0
FIRST: Final = 0.2

#: Seconds for measuring the homes.
DISK_LIMIT: Final = 3.0


@dataclass(frozen=True)
class Reading:
    """One look at a container's control group."""

    #: Monotonic seconds.
    time: float
    memory: int
    #: Seconds of processor time since the container began.
    cpu: float
    pids: int


def read(pid: int, container: str, proc: Path = _PROC) -> Reading | None:
    """Read the control group of a container's first process; None if that is not what ``pid`` is.

    Raise ``OSError`` or ``ValueError`` if the group is there and cannot be read.
    """
    found = _group(pid, container, proc)
    if found is None:
        return None
    root, first_version = found
    if first_version:
        memory, inactive = root / "memory/memory.usage_in_bytes", "total_inactive_file"
        cpu = int((root / "cpuacct/cpuacct.usage").read_text()) / 1e9
        statistics, pids = root / "memory/memory.stat", root / "pids/pids.current"
    else:
        memory, inactive = root / "memory.current", "inactive_file"
        cpu = _field(root / "cpu.stat", "usage_usec") / 1e6
        statistics, pids = root / "memory.stat", root / "pids.current"
    return Reading(
        time=time.monotonic(),
        memory=max(0, int(memory.read_text()) - _field(statistics, inactive)),
        cpu=cpu,
        pids=int(pids.read_text()),
    )


def memory_limit(pid: int, container: str, proc: Path = _PROC) -> int | None:
    """Return the memory that the kernel lets a container have, in bytes; None if it cannot be told.

    The engine's word may be from before the limit was set: it writes down first what it sets then.
    """
    try:
        found = _group(pid, container, proc)
        if found is None:
            return None
        root, first_version = found
        file = "memory/memory.limit_in_bytes" if first_version else "memory.max"
        return int((root / file).read_text())
    except (OSError, ValueError):
        return None


def _group(pid: int, container: str, proc: Path) -> tuple[Path, bool] | None:
    """Return where a container sees its control group, and whether that is of version 1."""
    try:
        groups = (proc / str(pid) / "cgroup").read_text()
    except OSError:
        return None
    if not container or container not in groups:
        return None  # the process has ended, and its number may be another's
    return proc / str(pid) / "root/sys/fs/cgroup", ":memory:" in groups


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    raise ValueError(f"{path} has no {name}")


@dataclass
class _Trace:
    """The last reading of a session that a rate was counted from, and that rate in cores."""

    reading: Reading
    cpu: float | None = None

    def count(self, now: Reading) -> float | None:
        """Return the cores in use; None if the last reading is missing or too old."""
        passed = now.time - self.reading.time
        if passed > LONGEST:
            self.reading, self.cpu = now, None
        elif passed >= SHORTEST or (self.cpu is None and passed >= FIRST):
            self.cpu = max(0.0, now.cpu - self.reading.cpu) / passed
            self.reading = now
        return self.cpu


class Usage:
    """Answers what sessions use."""

    def __init__(self, registry: Registry, engine: Engine, volumes: VolumesPart) -> None:
        """Look at the sessions of a registry."""
        self._registry = registry
        self._engine = engine
        self._volumes = volumes
        self._traces: dict[str, _Trace] = {}

    async def one(self, verb: SessionUsage) -> UsageInfo:
        """Answer what one session uses; raise ``ConflictError`` unless it runs."""
        live = self._registry.named(verb.session)
        found = await self._measure([live])
        if not found:
            if live.record.state != "running":
                raise ConflictError(
                    f"session {verb.session} does not run: it is {live.record.state}",
                    code="session.not_running",
                )
            raise UnavailableError(
                f"what session {verb.session} uses cannot be read now; try again",
                code="session.unreadable",
            )
        return found[0]

    async def many(self, verb: SessionUsages) -> list[UsageInfo]:
        """Answer what the named sessions use, or all; those that do not run are left out."""
        named = None if verb.sessions is None else set(verb.sessions)
        return await self._measure(
            [
                live
                for live in self._registry.all("session")
                if named is None or live.record.session in named
            ]
        )

    async def _measure(self, lives: Iterable[Live]) -> list[UsageInfo]:
        running = [live for live in lives if live.record.state == "running"]
        if len(self._traces) > 2 * len(self._registry):  # what has been removed is forgotten
            self._traces = {
                name: one for name, one in self._traces.items() if name in self._registry
            }
        disks = asyncio.create_task(self._disks([live.record.session for live in running]))
        try:
            readings = await self._read(running)
            if None in [self._cpu(session, now) for session, now in readings.items()]:
                # first looks; one wait serves all of them
                await asyncio.sleep(FIRST)
                readings = await self._read(running)
            measured = await disks
        finally:
            disks.cancel()
        return [
            self._info(live, readings[session], measured.get(session))
            for live in running
            if (session := live.record.session) in readings
        ]

    async def _read(self, lives: list[Live]) -> dict[str, Reading]:
        readings = await asyncio.to_thread(_read_all, lives)
        unknown = [live for live in lives if live.record.session not in readings]
        if unknown:
            # the manager has just started, or the session ends
            await asyncio.gather(*(self._find(live) for live in unknown))
            readings |= await asyncio.to_thread(_read_all, unknown)
        return readings

    async def _find(self, live: Live) -> None:
        try:
            seen = await self._engine.inspect(live.record.session)
        except JuliaBoxError as error:
            log.warning("usage", session=live.record.session, error=error.message)
        else:
            live.pid = 0 if seen is None else seen.pid

    async def _disks(self, sessions: list[str]) -> Mapping[str, Disk]:
        """Measure homes; what does not answer in time is not worth waiting for."""
        try:
            async with asyncio.timeout(DISK_LIMIT):
                return await self._volumes.refresh_disk_use_status(sessions)
        except (JuliaBoxError, TimeoutError) as error:
            log.warning("homes cannot be measured", error=str(error) or "no answer in time")
            return {}

    def _cpu(self, session: str, now: Reading) -> float | None:
        """Return the cores in use; None if only a second look will tell."""
        return self._traces.setdefault(session, _Trace(now)).count(now)

    def _info(self, live: Live, now: Reading, disk: Disk | None) -> UsageInfo:
        limits = live.record.limits
        return UsageInfo(
            session=live.record.session,
            time=time.time(),
            memory=now.memory,
            memory_limit=limits.memory,
            cpu=round(self._cpu(live.record.session, now) or 0.0, 4),
            cpu_limit=limits.cpu,
            pids=now.pids,
            pids_limit=limits.pids,
            disk=None if disk is None else disk.used,
            disk_size=0 if disk is None else disk.size,
        )


def _read_all(lives: Iterable[Live]) -> dict[str, Reading]:
    found = {}
    for live in lives:
        try:
            reading = read(live.pid, live.record.container) if live.pid else None
        except (OSError, ValueError):
            continue  # it ends just now
        if reading is not None:
            found[live.record.session] = reading
    return found
