"""Plugin ``ec2``: instances of Amazon EC2, their figures in CloudWatch, their number by a group."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar

import requests
import structlog
from pydantic import Field

from juliabox_ext.cloud import Compute, JBPluginCloud, Stat
from juliabox_ext.errors import JuliaBoxError, PolicyError, UnavailableError
from juliabox_ext.plugin import PluginContext
from juliabox_plugins import compute_loading
from juliabox_plugins.aws import Aws, AwsSettings
from juliabox_plugins.compute_figures import FRESH, LOAD, check_figure, check_name, mean
from juliabox_plugins.compute_loading import Node, Snapshot
from juliabox_plugins.ec2_instances import AGE, Group, Inventory, find_group
from juliabox_plugins.remembered import Remembered

log = structlog.get_logger("juliabox.plugins")

#: Figures that count what runs on an instance.
SESSIONS, API_CONTAINERS = "NumActiveContainers", "NumActiveAPIContainers"

_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}")

#: Seconds that the machine may take to say which instance it is: the service is its own.
METADATA_PATIENCE = 2.0

#: Instances that are asked about at once.
PARALLEL = 8


class Ec2Settings(AwsSettings):
    """The operator's settings of ``ec2``."""

    #: Identifier of the installation, unique in the account; empty for its name.
    install_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    #: Tag whose value is that identifier, on every instance.
    tag: Annotated[str, Field(min_length=1, max_length=127)] = "juliabox"
    #: Identifier of this instance; empty to ask the machine itself.
    instance_id: Annotated[str, Field(pattern=r"^(i-[0-9a-f]{8,17})?$")] = ""
    #: Where the machine tells who it is.
    metadata_url: Annotated[str, Field(pattern=r"^https?://\S+$")] = "http://169.254.169.254"
    #: Domain of the instances' names, as the plugin for names makes them.
    domain: Annotated[str, Field(pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$")] = ""
    #: Group that starts and ends instances; empty for a fixed number.
    autoscaling_group: Annotated[str, Field(max_length=255)] = ""
    #: Mean load in percent at which an instance is added, and how many seconds apart.
    scale_up_at_load: Annotated[float, Field(gt=0, le=100)] = 70.0
    scale_up_interval: Annotated[float, Field(ge=60)] = 300.0
    #: Seconds that an instance runs at least.
    min_uptime: Annotated[float, Field(ge=0)] = 3000.0


class Ec2(Compute):
    """Instances that the operator, or a group, starts with the tag of the installation."""

    provides: ClassVar = [JBPluginCloud.JBP_COMPUTE, JBPluginCloud.JBP_COMPUTE_EC2]
    Settings: ClassVar = Ec2Settings

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        assert isinstance(context.settings, Ec2Settings)  # noqa: S101  # the registry made it
        self.settings = context.settings
        self._aws = Aws(context.settings, self.name)
        self._instances = Inventory(self._aws, context.settings.tag, self.get_install_id())
        self._instance_id = context.settings.instance_id
        self._loads = Remembered(lambda: self.get_cluster_stats(LOAD), AGE)
        self._groups = Remembered(self._ask_group, AGE)
        self._lock = threading.Lock()
        self._added = float("-inf")

    def close(self) -> None:
        """Close the connections."""
        self._aws.close()

    def get_install_id(self) -> str:
        """Return the setting, or the installation's name."""
        return self.settings.install_id or self.context.installation

    def get_instance_id(self) -> str:
        """Return the setting, or what the machine's metadata service says (version 2)."""
        if not self._instance_id:
            self._instance_id = _own_instance(self.settings.metadata_url, self.name)
        return self._instance_id

    def get_alias_hostname(self) -> str:
        """Return ``INSTANCE.DOMAIN``; the public or local name without a domain."""
        if self.settings.domain:
            return f"{self.get_instance_id()}.{self.settings.domain}"
        return self.get_instance_public_hostname() or self.get_instance_local_hostname()

    def get_all_instances(self, gname: str | None = None) -> list[str]:
        """Return the running instances of the installation; a group is an autoscaling group."""
        found = self._instances.all()
        return sorted(name for name, one in found.items() if gname in (None, one.group))

    def get_instance_public_hostname(self, instance_id: str | None = None) -> str:
        """Return EC2's public name; empty if it has none."""
        return self._instances.one(instance_id or self.get_instance_id()).public_hostname

    def get_instance_local_hostname(self, instance_id: str | None = None) -> str:
        """Return EC2's private name."""
        return self._instances.one(instance_id or self.get_instance_id()).local_hostname

    def get_instance_public_ip(self, instance_id: str | None = None) -> str:
        """Return the public address; empty if it has none."""
        return self._instances.one(instance_id or self.get_instance_id()).public_ip

    def get_instance_local_ip(self, instance_id: str | None = None) -> str:
        """Return the private address."""
        return self._instances.one(instance_id or self.get_instance_id()).local_ip

    def publish_stats(self, stat_name: str, stat_unit: str, stat_value: float) -> None:
        """Record a figure with a resolution of one second."""
        check_figure(stat_name, stat_unit, stat_value)
        datum = {
            "MetricName": stat_name,
            "Dimensions": _dimensions(self.get_instance_id()),
            "Timestamp": datetime.now(UTC),
            "Value": float(stat_value),
            "Unit": stat_unit,
            "StorageResolution": 1,
        }
        with self._aws.told(f"record {stat_name}"):
            self._aws.client("cloudwatch").put_metric_data(
                Namespace=self._namespace(None), MetricData=[datum]
            )
        self._loads.forget()

    def get_instance_stats(
        self, instance: str, stat_name: str, namespace: str | None = None
    ) -> Stat | None:
        """Return an instance's newest figure; CloudWatch may take a minute to show it."""
        now = datetime.now(UTC)
        with self._aws.told(f"tell {check_name(stat_name)} of {instance}"):
            answer = self._aws.client("cloudwatch").get_metric_statistics(
                Namespace=self._namespace(namespace),
                MetricName=stat_name,
                Dimensions=_dimensions(instance),
                StartTime=now - FRESH,
                EndTime=now + timedelta(seconds=2),
                Period=1,
                Statistics=["Average"],
            )
        points = answer["Datapoints"]
        if not points:
            return None
        newest = max(points, key=lambda point: point["Timestamp"])
        return Stat(newest["Average"], newest["Unit"], newest["Timestamp"])

    def get_cluster_stats(self, stat_name: str, namespace: str | None = None) -> dict[str, Stat]:
        """Return the newest figures of all running instances."""
        check_name(stat_name)
        self._aws.client("cloudwatch")
        names = self.get_all_instances()
        with ThreadPoolExecutor(PARALLEL) as pool:
            stats = pool.map(lambda one: self.get_instance_stats(one, stat_name, namespace), names)
            found = dict(zip(names, stats, strict=True))
        return {name: stat for name, stat in found.items() if stat is not None}

    def get_cluster_average_stats(
        self,
        stat_name: str,
        namespace: str | None = None,
        results: Mapping[str, Stat] | None = None,
    ) -> float | None:
        """Return the mean over running instances."""
        return mean(self.get_cluster_stats(stat_name, namespace) if results is None else results)

    def terminate_instance(self, instance: str | None = None) -> None:
        """End an instance, and let its group, if it has one, want one less."""
        found = self._instances.one(instance or self.get_instance_id())
        self._instances.forget()
        if set(self._instances.all()) <= {found.id}:
            raise PolicyError(
                f"plugin {self.name} never ends {found.id}: it is the only instance",
                code="compute.last",
            )
        self._groups.forget()
        with self._aws.told(f"end {found.id}"):
            if found.group:
                self._aws.client("autoscaling").terminate_instance_in_auto_scaling_group(
                    InstanceId=found.id, ShouldDecrementDesiredCapacity=True
                )
            else:
                self._aws.client("ec2").terminate_instances(InstanceIds=[found.id])
        self._instances.forget()

    def can_terminate(self, is_leader: bool) -> bool:
        """Return whether the loading pattern lets this instance end; a fixed number stays."""
        if is_leader or not self.settings.autoscaling_group:
            return False
        sessions = self.get_instance_stats(self.get_instance_id(), SESSIONS)
        others = self.get_instance_stats(self.get_instance_id(), API_CONTAINERS)
        containers = None
        if sessions is not None:
            containers = int(sessions.value) + int(others.value if others else 0)
        return compute_loading.may_end(
            self._snapshot(is_leader, self._group(), containers),
            self.settings.min_uptime,
            self.settings.scale_up_at_load,
        )

    def should_accept_session(self, is_leader: bool) -> bool:
        """Ask the loading pattern; add an instance if the mean load calls for one."""
        group = self._group()
        seen = self._snapshot(is_leader, group)
        if group is not None:
            self._add_instance(seen, group)
        return compute_loading.accepts(seen)

    def get_redirect_instance_id(self) -> str | None:
        """Return the instance that the loading pattern fills next, unless it is this one."""
        return compute_loading.redirects_to(self._snapshot(False, self._group()))

    def get_image_recentness(self, instance: str | None = None) -> int:
        """Compare an instance's image with its group's, or with the newest that runs."""
        found = self._instances.one(instance or self.get_instance_id())
        group = self._group()
        return self._instances.recentness(group.image if group else "")[found.id]

    def _namespace(self, namespace: str | None) -> str:
        """Return CloudWatch's namespace of an installation; of this one without a name."""
        return f"JuliaBox/{namespace or self.get_install_id()}"

    def _group(self) -> Group | None:
        return self._groups.get()

    def _ask_group(self) -> Group | None:
        name = self.settings.autoscaling_group
        return find_group(self._aws, name) if name else None

    def _snapshot(
        self, is_leader: bool, group: Group | None, containers: int | None = None
    ) -> Snapshot:
        me, all_ = self.get_instance_id(), self._instances.all()
        loads = self._loads.get()
        ages = self._instances.recentness(group.image if group else "")
        nodes = {
            name: Node(loads[name].value if name in loads else 0.0, ages.get(name, 0))
            for name in all_
        }
        uptime = (datetime.now(UTC) - all_[me].launched).total_seconds() if me in all_ else 0.0
        return Snapshot(me, nodes, is_leader, uptime, containers)

    def _add_instance(self, seen: Snapshot, group: Group) -> None:
        """Let the group want one more, if the last that it wanted runs; never fail a session.

        Two instances that do this at once set the same number, and so add one.
        """
        with self._lock:
            due = time.monotonic() - self._added >= self.settings.scale_up_interval
            running = len(self.get_all_instances(self.settings.autoscaling_group))
            room = running >= group.desired < group.most
            load = self.settings.scale_up_at_load
            if not (due and room and compute_loading.adds_instance(seen, load)):
                return
            self._added = time.monotonic()
        self._groups.forget()
        try:
            with self._aws.told("add an instance"):
                self._aws.client("autoscaling").set_desired_capacity(
                    AutoScalingGroupName=self.settings.autoscaling_group,
                    DesiredCapacity=group.desired + 1,
                    HonorCooldown=True,
                )
            log.info("an instance is added", plugin=self.name, wanted=group.desired + 1)
        except JuliaBoxError as error:
            log.warning("no instance was added", plugin=self.name, reason=error.message)


def _dimensions(instance: str) -> list[dict[str, str]]:
    return [{"Name": "InstanceId", "Value": instance}]


def _own_instance(url: str, plugin: str) -> str:
    """Ask the metadata service who this machine is; its version 2 wants a token first."""
    try:
        with requests.Session() as session:
            # never through a proxy: the service is this machine's own
            session.trust_env = False
            token = session.put(
                f"{url}/latest/api/token",
                headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"},
                timeout=METADATA_PATIENCE,
            )
            token.raise_for_status()
            answer = session.get(
                f"{url}/latest/meta-data/instance-id",
                headers={"X-aws-ec2-metadata-token": token.text},
                timeout=METADATA_PATIENCE,
            )
            answer.raise_for_status()
            found = answer.text.strip()
            if not _INSTANCE.fullmatch(found):
                raise ValueError(f"it answers {found[:50]!r}")
            return found
    except (requests.RequestException, ValueError) as error:
        raise UnavailableError(
            f"plugin {plugin}: the machine does not tell which instance it is: {error}. In a "
            "container its metadata service may need a hop limit of 2; or set "
            f"plugins.settings.{plugin}.instance_id",
            code="compute.identity",
        ) from error
