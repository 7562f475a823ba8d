"""Network addresses of an installation: one free block, cut into its four networks."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from juliabox_ext.errors import ConfigurationError

#: Blocks are looked for here: the upper part of 10/8, away from what home routers and clouds use.
_POOL = IPv4Network("10.64.0.0/10")
_BLOCK_PREFIX = 20


@dataclass(frozen=True)
class Addresses:
    """Networks and fixed addresses, all derived from the block.

    The upper half of the block is the sessions network; sessions get addresses from its upper half
    only, so the address of a control part never goes to a session.
    """

    block: IPv4Network

    @property
    def edge(self) -> IPv4Network:
        """Proxy, hub and services; the published port arrives here."""
        return self._part(0)

    @property
    def control(self) -> IPv4Network:
        """Hub, services and manager; internal."""
        return self._part(1)

    @property
    def egress(self) -> IPv4Network:
        """The manager's way out."""
        return self._part(2)

    @property
    def sessions(self) -> IPv4Network:
        """All sessions, and the parts that they may talk to."""
        return list(self.block.subnets(prefixlen_diff=1))[1]

    @property
    def sessions_range(self) -> IPv4Network:
        """What the engine hands out to sessions."""
        return list(self.sessions.subnets(prefixlen_diff=1))[1]

    def variables(self) -> dict[str, str]:
        """Return the variables of ``compose.yaml`` that hold networks and addresses."""
        return {
            "JULIABOX_SUBNET_EDGE": str(self.edge),
            "JULIABOX_SUBNET_CONTROL": str(self.control),
            "JULIABOX_SUBNET_EGRESS": str(self.egress),
            "JULIABOX_SUBNET_SESSIONS": str(self.sessions),
            "JULIABOX_RANGE_SESSIONS": str(self.sessions_range),
            "JULIABOX_GATEWAY_SESSIONS": self.sessions_gateway,
            "JULIABOX_PROXY_EDGE": self.proxy_edge,
            "JULIABOX_PROXY_SESSIONS": self.proxy_sessions,
            "JULIABOX_HUB_EDGE": self.hub_edge,
            "JULIABOX_HUB_CONTROL": self.hub_control,
            "JULIABOX_HUB_SESSIONS": self.hub_sessions,
            "JULIABOX_MANAGER_CONTROL": self.manager_control,
            "JULIABOX_PORTAL_EDGE": self.portal_edge,
            "JULIABOX_PORTAL_CONTROL": self.portal_control,
            "JULIABOX_API_EDGE": self.api_edge,
            "JULIABOX_API_CONTROL": self.api_control,
            "JULIABOX_API_SESSIONS": self.api_sessions,
        }

    @property
    def sessions_gateway(self) -> str:
        """The host's address on the sessions network."""
        return str(self.sessions[1])

    @property
    def proxy_edge(self) -> str:
        """The proxy's address on the edge network; its API listens there alone."""
        return str(self.edge[2])

    @property
    def proxy_sessions(self) -> str:
        """The proxy's address on the sessions network."""
        return str(self.sessions[2])

    @property
    def hub_edge(self) -> str:
        """The hub's address on the edge network."""
        return str(self.edge[3])

    @property
    def hub_control(self) -> str:
        """The hub's address on the control network."""
        return str(self.control[3])

    @property
    def hub_sessions(self) -> str:
        """The hub's address on the sessions network."""
        return str(self.sessions[3])

    @property
    def manager_control(self) -> str:
        """The manager's address on the control network."""
        return str(self.control[4])

    @property
    def portal_edge(self) -> str:
        """The portal's address on the edge network; its pages are served there alone."""
        return str(self.edge[5])

    @property
    def portal_control(self) -> str:
        """The portal's address on the control network; health and metrics are there."""
        return str(self.control[5])

    @property
    def api_edge(self) -> str:
        """The API engine's address on the edge network; the proxy leads calls there."""
        return str(self.edge[6])

    @property
    def api_control(self) -> str:
        """The API engine's address on the control network; health and metrics are there."""
        return str(self.control[6])

    @property
    def api_sessions(self) -> str:
        """The API engine's address on the sessions network: where it reaches API containers from.

        Sessions reach it there, too.
        """
        return str(self.sessions[6])

    def _part(self, index: int) -> IPv4Network:
        return list(self.block.subnets(prefixlen_diff=3))[index]


def choose(identity: str, taken: Iterable[IPv4Network]) -> IPv4Network:
    """Return a free block.

    The search starts at a place that ``identity`` (name and state folder) decides, so that two
    installations of one host differ even when one of them is down and has no network to be seen.
    """
    used = list(taken)
    candidates = list(_POOL.subnets(new_prefix=_BLOCK_PREFIX))
    start = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big")
    for step in range(len(candidates)):
        block = candidates[(start + step) % len(candidates)]
        if not any(block.overlaps(network) for network in used):
            return block
    raise ConfigurationError(
        f"no free /{_BLOCK_PREFIX} block in {_POOL}: every one overlaps a route or a Docker "
        "network; set network.subnet in config.yaml",
        code="network.no_block",
    )


def overlap(block: IPv4Network, taken: Iterable[IPv4Network]) -> IPv4Network | None:
    """Return the first network that the block overlaps, or None."""
    return next((network for network in taken if block.overlaps(network)), None)


def host_networks() -> list[IPv4Network]:
    """Return the networks that this host has a route or an address for, default routes aside."""
    return list(_routed(_ip("route", "show", "table", "all"))) + list(_owned(_ip("addr")))


def _ip(*arguments: str) -> list[dict[str, object]]:
    try:
        done = subprocess.run(
            ["ip", "-json", "-4", *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return []
    found: list[dict[str, object]] = json.loads(done.stdout or "[]")
    return found


def _routed(routes: list[dict[str, object]]) -> Iterator[IPv4Network]:
    for route in routes:
        target = str(route.get("dst", ""))
        if target and target != "default" and route.get("type") not in ("broadcast", "multicast"):
            try:
                yield ipaddress.IPv4Network(target, strict=False)
            except ValueError:
                continue


def _owned(links: list[dict[str, object]]) -> Iterator[IPv4Network]:
    for link in links:
        entries = link.get("addr_info")
        for entry in entries if isinstance(entries, list) else []:
            yield ipaddress.IPv4Network(f"{entry['local']}/{entry['prefixlen']}", strict=False)
