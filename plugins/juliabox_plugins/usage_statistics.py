"""Task ``usage-statistics``: the load of this instance, published for those who place sessions."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, ClassVar, Final

from juliabox_ext.cloud import Compute, JBPluginCloud
from juliabox_ext.errors import PluginError
from juliabox_ext.task import PeriodicTask, Schedule

#: Seconds over which processor time is counted.
_SPAN: Final = 1.0

_PROC: Final = Path("/proc")


class UsageStatistics(PeriodicTask):
    """Measures what of this instance is in use and publishes it by the compute plugin.

    ``Load`` is the largest of the percentages of sessions, processors, memory, disk and room for
    homes in use.
    Memory that is promised to sessions and not in use is published and does not count: limits may
    add up to more than there is.
    """

    provides: ClassVar = [PeriodicTask.JBP_NODE]
    requires: ClassVar = [JBPluginCloud.JBP_COMPUTE]
    schedule: ClassVar = Schedule(every=300.0, delay=15.0)
    time_limit: ClassVar = 60.0

    def do_periodic_task(self, plugin_type: str) -> dict[str, Any]:
        """Measure and publish; return the figures, each with its unit."""
        stats = self.manager.call("stats")
        sessions, most = stats["sessions"], stats["sessions_limit"]
        percents = {
            "ContainersUsed": _percent(sessions, most),
            "CPUUsed": cpu_percent(_SPAN),
            "MemUsed": memory_percent((_PROC / "meminfo").read_text()),
            "DiskUsed": disk_percent(self.context.folder),
            "DiskIdsUsed": round(stats["volumes_used"], 1),
        }
        figures = {
            "NumActiveContainers": (float(sessions), "Count"),
            **{name: (value, "Percent") for name, value in percents.items()},
            "MemPromised": (_percent(stats["memory_promised"], stats["memory_total"]), "Percent"),
            "Load": (max(percents.values()), "Percent"),
        }
        compute = self._compute()
        for name, (value, unit) in figures.items():
            compute.publish_stats(name, unit, value)
        return {name: {"value": value, "unit": unit} for name, (value, unit) in figures.items()}

    def _compute(self) -> Compute:
        if self.context.feature is None:
            raise PluginError(
                f"plugin {self.name} was made without a registry", code="plugin.absent"
            )
        compute: Compute = self.context.feature(JBPluginCloud.JBP_COMPUTE)
        return compute


def _percent(part: float, whole: float) -> float:
    return round(100.0 * part / whole, 1) if whole > 0 else 0.0


def cpu_percent(span: float, stat: Path = _PROC / "stat") -> float:
    """Return the percentage of the machine's processor time that is used, over ``span`` seconds."""
    busy, idle = _cpu_times(stat.read_text())
    time.sleep(span)
    busy_later, idle_later = _cpu_times(stat.read_text())
    # the kernel's count of the time in which disks were waited for goes back now and then
    worked, rested = max(0, busy_later - busy), max(0, idle_later - idle)
    return _percent(worked, worked + rested)


def _cpu_times(text: str) -> tuple[int, int]:
    """Return busy and idle ticks: of user, nice, system, idle, iowait, irq, softirq, steal."""
    times = [int(word) for word in text.splitlines()[0].split()[1:9]]
    idle = times[3] + times[4]
    return sum(times) - idle, idle


def memory_percent(meminfo: str) -> float:
    """Return the percentage of memory that programs could not have."""
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    total, free = (int(fields[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return _percent(total - free, total)


def disk_percent(folder: Path) -> float:
    """Return the percentage in use of the file system that a folder, made or not, is on."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    told = os.statvfs(there)
    # as df counts: what only root may use is not free
    used = told.f_blocks - told.f_bfree
    return _percent(used, used + told.f_bavail)
