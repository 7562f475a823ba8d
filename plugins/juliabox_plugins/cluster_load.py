"""Task ``cluster-load``: the load of all instances together, published by the leader."""

from __future__ import annotations

from typing import Any, ClassVar

from juliabox_ext.cloud import Compute, JBPluginCloud
from juliabox_ext.errors import PluginError
from juliabox_ext.task import PeriodicTask, Schedule


class ClusterLoad(PeriodicTask):
    """Publishes the mean load of the instances that have told theirs, and how many these are.

    The figures are those that `usage-statistics` publishes on each instance.
    """

    provides: ClassVar = [PeriodicTask.JBP_CLUSTER]
    requires: ClassVar = [JBPluginCloud.JBP_COMPUTE]
    schedule: ClassVar = Schedule(every=300.0, delay=45.0)
    time_limit: ClassVar = 120.0

    def do_periodic_task(self, plugin_type: str) -> dict[str, Any]:
        """Look and publish; return the figures, each with its unit; a mean only of some."""
        if self.context.feature is None:
            raise PluginError(
                f"plugin {self.name} was made without a registry", code="plugin.absent"
            )
        compute: Compute = self.context.feature(JBPluginCloud.JBP_COMPUTE)
        loads = compute.get_cluster_stats("Load")
        figures = {"InstancesTold": (float(len(loads)), "Count")}
        mean = compute.get_cluster_average_stats("Load", results=loads)
        if mean is not None:
            figures["ClusterLoad"] = (round(mean, 1), "Percent")
        for name, (value, unit) in figures.items():
            compute.publish_stats(name, unit, value)
        return {name: {"value": value, "unit": unit} for name, (value, unit) in figures.items()}
