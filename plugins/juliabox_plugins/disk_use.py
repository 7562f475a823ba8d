"""Task ``disk-use``: how full the homes are, and what they take of this instance's disk."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from juliabox_ext.task import CommandTask, PeriodicTask, Schedule, TaskData

#: Homes that are listed, the fullest first.
_LISTED: Final = 50


class DiskUse(PeriodicTask, CommandTask):
    """Measures the homes that are attached, and adds up what all volumes occupy."""

    provides: ClassVar = [PeriodicTask.JBP_NODE, CommandTask.JBP_CMD_ASYNC]
    schedule: ClassVar = Schedule(every=300.0, delay=20.0)
    time_limit: ClassVar = 120.0

    def do_periodic_task(self, plugin_type: str) -> dict[str, Any]:
        """Return the fullest homes, and bytes and numbers of volumes by state."""
        homes = {disk["owner"]: disk for disk in self.manager.call("volume.refresh")}
        measured = [
            {
                "owner": owner,
                "size": disk["size"],
                "used": disk["used"],
                "percent": round(100.0 * disk["used"] / disk["size"], 1) if disk["size"] else 0.0,
            }
            for owner, disk in homes.items()
            if disk["used"] is not None
        ]
        measured.sort(key=lambda home: (-home["percent"], home["owner"]))
        return {
            "attached": len(homes),
            "fullest": measured[:_LISTED],
            "volumes": self._volumes(),
        }

    def do_task(self, plugin_type: str, data: TaskData) -> dict[str, Any]:
        """Do it now."""
        return self.do_periodic_task(plugin_type)

    def _volumes(self) -> dict[str, dict[str, int]]:
        """Add up the volumes of each state."""
        found: dict[str, dict[str, int]] = {}
        for volume in self.manager.call("volume.list"):
            counts = found.setdefault(volume["state"], {"number": 0, "size": 0, "allocated": 0})
            counts["number"] += 1
            counts["size"] += volume["size"]
            counts["allocated"] += volume["allocated"]
        return found
