"""Task ``image-freshness``: whether sessions run from the newest images that the engine holds."""

from __future__ import annotations

import time
from typing import Any, ClassVar, Final

from juliabox_ext.task import CommandTask, PeriodicTask, Schedule, TaskData

_LISTED: Final = 100
_DAY: Final = 86400.0


class ImageFreshness(PeriodicTask, CommandTask):
    """Compares the images that sessions may be started from with what the engine holds.

    It changes nothing: `juliabox up` brings newer images in, and a session that is stale gets them
    when its person starts it again.
    """

    provides: ClassVar = [PeriodicTask.JBP_NODE, CommandTask.JBP_CMD_ASYNC]
    schedule: ClassVar = Schedule(every=3600.0, delay=30.0)
    time_limit: ClassVar = 120.0

    def do_periodic_task(self, plugin_type: str) -> dict[str, Any]:
        """Return each allowed image with age and newer one, and the sessions that are stale."""
        now = time.time()
        images = [
            {
                "image": found["image"],
                "present": found["present"],
                "age_days": round((now - found["created"]) / _DAY, 1) if found["present"] else None,
                "newer": found["newest_created"] > found["created"] if found["present"] else None,
            }
            for found in self.manager.call("image.check")
        ]
        stale = [
            {"owner": session["owner"], "server": session["server"], "image": session["image"]}
            for session in self.manager.call("session.list")
            if session["stale"] and session["state"] != "ended"
        ]
        return {"images": images, "stale": len(stale), "stale_sessions": stale[:_LISTED]}

    def do_task(self, plugin_type: str, data: TaskData) -> dict[str, Any]:
        """Do it now."""
        return self.do_periodic_task(plugin_type)
