"""One installation as the commands see it: configuration, state, addresses, engine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network

from juliabox_cli import addresses as address_choice
from juliabox_cli import config_file, docker_engine
from juliabox_cli.addresses import Addresses
from juliabox_cli.compose import Compose, compose_for
from juliabox_cli.config import Config
from juliabox_cli.docker_engine import Engine
from juliabox_cli.hub_api import HubApi
from juliabox_cli.manager_link import ManagerLink
from juliabox_cli.source import source_folder
from juliabox_cli.state import Install, State, find_state, require_access
from juliabox_ext.errors import ConfigurationError, NotFoundError, UnavailableError

NETWORKS = ("edge", "control", "egress", "sessions")


@dataclass
class Installation:
    """What every command needs; the rest is looked up when first asked for."""

    state: State
    config: Config

    @cached_property
    def engine(self) -> Engine:
        """The engine that answers."""
        return docker_engine.connect()

    @property
    def engine_or_none(self) -> Engine | None:
        """The engine, or None when none answers."""
        try:
            return self.engine
        except UnavailableError:
            return None

    @cached_property
    def addresses(self) -> Addresses:
        """The recorded addresses; raise ``NotFoundError`` before the first start."""
        install = self.state.read_install()
        if install is None:
            raise NotFoundError(
                f"there is no installation in {self.state.root}; run `juliabox up` (or set "
                "JULIABOX_STATE)",
                code="installation.missing",
            )
        return Addresses(IPv4Network(install.subnet))

    @cached_property
    def manager(self) -> ManagerLink:
        """The manager, with the operator's key."""
        return ManagerLink(self.state, self.addresses)

    @cached_property
    def hub(self) -> HubApi:
        """The hub, with the operator's token."""
        return HubApi(self.config, self.state, self.addresses)

    @cached_property
    def compose(self) -> Compose:
        """Compose for this installation."""
        file = source_folder() / "compose.yaml"
        return compose_for(self.state, self.config.name, file, self.engine.socket)

    @property
    def network_names(self) -> set[str]:
        """Names of this installation's networks on the engine."""
        return {f"{self.config.name}-{suffix}" for suffix in NETWORKS}

    def settle_addresses(self) -> Addresses:
        """Choose the block of addresses at the first start and record it; later keep it.

        A recorded block that somebody else's network has taken meanwhile is replaced, unless our
        own networks exist (then they hold it) or the operator fixed it (then that is an error).
        """
        install = self.state.read_install()
        wanted = self.config.network.subnet
        existing = any(self.engine.network(name) for name in sorted(self.network_names))
        block = IPv4Network(install.subnet) if install else None
        if block is not None and existing and wanted in ("auto", str(block)):
            return self._record(install, block)
        if existing:
            raise ConfigurationError(
                f"network.subnet is {wanted}, but the networks of {self.config.name} exist with "
                "other addresses; run `juliabox down`, then `juliabox up`",
                code="network.in_use",
            )
        taken = self.engine.network_blocks(self.network_names) + address_choice.host_networks()
        if wanted != "auto":
            block = IPv4Network(wanted)
            other = address_choice.overlap(block, taken)
            if other is not None:
                raise ConfigurationError(
                    f"network.subnet {block} overlaps {other}, which this host uses; choose "
                    "another, or auto",
                    code="network.overlap",
                )
        elif block is None or address_choice.overlap(block, taken) is not None:
            block = address_choice.choose(f"{self.config.name} {self.state.root}", taken)
        return self._record(install, block)

    def _record(self, install: Install | None, block: IPv4Network) -> Addresses:
        if install is None:
            install = Install(name=self.config.name, subnet=str(block), created=time.time())
        if not self.state.install.exists() or install.subnet != str(block):
            install.subnet = str(block)
            self.state.write_install(install)
        self.__dict__["addresses"] = Addresses(block)
        return self.addresses


def open_installation() -> Installation:
    """Return the installation of the state folder, with its configuration checked."""
    state = find_state()
    require_access(state)
    return Installation(state, config_file.load(state.config))
