"""Plugin ``singlenode``: this machine alone, with its own names and figures."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from juliabox_ext.cloud import Compute, JBPluginCloud, Stat
from juliabox_ext.errors import NotFoundError, PolicyError
from juliabox_ext.plugin import PluginContext, PluginSettings
from juliabox_plugins.compute_figures import LOAD, check_figure, check_name, fresh, mean
from juliabox_plugins.state_file import StateFile

Host = Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9.:_-]*$")]


class SingleNodeSettings(PluginSettings):
    """The operator's settings of ``singlenode``; what is empty is found out."""

    #: Name that reaches the machine from outside; else that of the service's address.
    hostname: Host = ""
    #: Name that reaches it from within; else the system's.
    local_hostname: Host = ""
    public_ip: IPv4Address | IPv6Address | None = None
    local_ip: IPv4Address | IPv6Address | None = None


class SingleNode(Compute):
    """One instance that leads, takes every session it has room for, and never ends itself.

    Figures stand in a file of the plugin's folder, so that tasks, which run in processes of their
    own, share them with the manager.
    """

    provides: ClassVar = [JBPluginCloud.JBP_COMPUTE, JBPluginCloud.JBP_COMPUTE_SINGLENODE]
    Settings: ClassVar = SingleNodeSettings

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        assert isinstance(context.settings, SingleNodeSettings)  # noqa: S101  # by the registry
        self.settings = context.settings
        self._figures = StateFile(context.folder / "figures.json", self.name)

    def get_install_id(self) -> str:
        """Return the installation's name."""
        return self.context.installation

    def get_instance_id(self) -> str:
        """Return this instance's identifier."""
        return self.context.instance

    def get_alias_hostname(self) -> str:
        """Return the name in the service's address; the public name without one."""
        return urlsplit(self.context.public_url).hostname or self.get_instance_public_hostname()

    def get_all_instances(self, gname: str | None = None) -> list[str]:
        """Return this instance; a group is the installation's name."""
        return [self.context.instance] if self._is_ours(gname) else []

    def get_instance_public_hostname(self, instance_id: str | None = None) -> str:
        """Return the configured name, that of the service's address, or the system's."""
        self._check(instance_id)
        address = urlsplit(self.context.public_url).hostname
        return self.settings.hostname or address or self.get_instance_local_hostname()

    def get_instance_local_hostname(self, instance_id: str | None = None) -> str:
        """Return the configured name, or the system's."""
        self._check(instance_id)
        return self.settings.local_hostname or socket.gethostname()

    def get_instance_public_ip(self, instance_id: str | None = None) -> str:
        """Return the configured address; the machine itself cannot tell."""
        self._check(instance_id)
        return str(self.settings.public_ip or "")

    def get_instance_local_ip(self, instance_id: str | None = None) -> str:
        """Return the configured address, or the one that the default route leaves from."""
        self._check(instance_id)
        return str(self.settings.local_ip or _own_address())

    def publish_stats(self, stat_name: str, stat_unit: str, stat_value: float) -> None:
        """Record a figure of this instance."""
        check_figure(stat_name, stat_unit, stat_value)
        now = datetime.now(UTC)
        with self._figures.change() as kept:
            for name in [name for name, raw in kept.items() if not _fresh(raw, now)]:
                del kept[name]
            kept[stat_name] = [float(stat_value), stat_unit, now.timestamp()]

    def get_instance_stats(
        self, instance: str, stat_name: str, namespace: str | None = None
    ) -> Stat | None:
        """Return this instance's newest figure; a namespace is the installation's name."""
        check_name(stat_name)
        if instance != self.context.instance or not self._is_ours(namespace):
            return None
        raw = self._figures.read().get(stat_name)
        return _stat(raw) if _fresh(raw, datetime.now(UTC)) else None

    def get_cluster_stats(self, stat_name: str, namespace: str | None = None) -> dict[str, Stat]:
        """Return this instance's figure, if it has one."""
        stat = self.get_instance_stats(self.context.instance, stat_name, namespace)
        return {} if stat is None else {self.context.instance: stat}

    def get_cluster_average_stats(
        self,
        stat_name: str,
        namespace: str | None = None,
        results: Mapping[str, Stat] | None = None,
    ) -> float | None:
        """Return the mean over instances."""
        return mean(self.get_cluster_stats(stat_name, namespace) if results is None else results)

    def terminate_instance(self, instance: str | None = None) -> None:
        """Refuse: there is nothing that would start it again."""
        self._check(instance)
        raise PolicyError(
            f"plugin {self.name} never ends {self.context.instance}: it is the only instance",
            code="compute.last",
        )

    def can_terminate(self, is_leader: bool) -> bool:
        """Return False: it is the last instance."""
        return False

    def should_accept_session(self, is_leader: bool) -> bool:
        """Return whether the load is below 100 percent, or not known."""
        load = self.get_instance_stats(self.context.instance, LOAD)
        return load is None or load.value < 100

    def get_redirect_instance_id(self) -> str | None:
        """Return None: there is no other instance."""
        return None

    def get_image_recentness(self, instance: str | None = None) -> int:
        """Return 0: the machine's image is the newest there is."""
        self._check(instance)
        return 0

    def _is_ours(self, group: str | None) -> bool:
        return group in (None, self.context.installation)

    def _check(self, instance: str | None) -> None:
        if instance not in (None, self.context.instance):
            raise NotFoundError(
                f"plugin {self.name} knows no instance {instance[:100]!r}; there is only "
                f"{self.context.instance}",
                code="compute.instance",
            )


def _stat(raw: Any) -> Stat | None:
    """Return a stored figure; None for what somebody else wrote there."""
    try:
        value, unit, time = raw
        return Stat(float(value), str(unit), datetime.fromtimestamp(float(time), UTC))
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _fresh(raw: Any, now: datetime) -> bool:
    stat = _stat(raw)
    return stat is not None and fresh(stat, now)


def _own_address() -> str:
    """Return the address of the interface that leads out; loopback's if none does.

    Connecting a datagram socket picks the route and sends nothing.
    """
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
