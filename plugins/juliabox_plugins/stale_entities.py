"""Task ``stale-entities``: delete what is past its grace and mend what has come apart."""

from __future__ import annotations

from typing import Any, ClassVar

from juliabox_ext.task import CommandTask, PeriodicTask, Schedule, TaskData


class StaleEntities(PeriodicTask, CommandTask):
    """Lets the manager remove what belongs to nobody.

    These are volumes whose grace period is over, containers and slots without a session, and
    sessions that have ended unseen or were forgotten. Images are left alone: what else on the
    engine uses them only `juliabox up` knows.
    """

    provides: ClassVar = [PeriodicTask.JBP_NODE, CommandTask.JBP_CMD_ASYNC]
    schedule: ClassVar = Schedule(every=3600.0, delay=60.0)
    time_limit: ClassVar = 600.0

    def do_periodic_task(self, plugin_type: str) -> dict[str, Any]:
        """Return the names of deleted volumes, and the number of repairs by kind."""
        deleted = self.manager.call("volume.purge")
        repairs = self.manager.call("reconcile")
        return {
            "volumes": len(deleted),
            "volumes_deleted": deleted[:100],
            "repairs": repairs,
        }

    def do_task(self, plugin_type: str, data: TaskData) -> dict[str, Any]:
        """Do it now."""
        return self.do_periodic_task(plugin_type)
