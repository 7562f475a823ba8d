"""What the network policy depends on and only the machine knows, read from ``/proc``.

The engine's process is found through its socket; its root and its network namespace are the
host's, as the engine sees them. All files are small and in memory, so reading does not block.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import NamedTuple

from juliabox_ext.errors import NotFoundError, UnavailableError
from juliabox_manager.ruleset import NEVER, PRIVATE

#: Where the engine looks if the host's resolv.conf names systemd's stub alone.
_SYSTEMD_STUB = ("127.0.0.53",)
#: Used by the engine when nothing names a resolver.
_ENGINE_RESOLVERS = ("8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844")
_CREDENTIALS = struct.Struct("3i")


class HostView(NamedTuple):
    """The engine's host as last seen."""

    #: The engine's upstream resolvers, loopback ones included.
    resolvers: tuple[str, ...]
    #: Addresses of the host outside private ranges: those would count as internet.
    addresses: tuple[str, ...]
    #: Network namespaces (device, inode) of the host and of this process.
    namespaces: frozenset[tuple[int, int]]


class EngineHost:
    """Look at the host of the engine behind a unix socket."""

    def __init__(self, engine: str) -> None:
        self._socket = engine.removeprefix("unix://")
        self._seen: HostView | None = None

    def look(self) -> HostView:
        """Return the host as it is now; as last seen while the engine does not answer.

        Raises ``UnavailableError`` if it was never seen: without it, the host's own network could
        not be told from a session's.
        """
        for pid in (_listener(self._socket), 1):
            if pid:
                with contextlib.suppress(OSError):
                    self._seen = _view(Path(f"/proc/{pid}"))
                    return self._seen
        if self._seen is None:
            raise UnavailableError(
                f"the engine behind {self._socket} cannot be looked at, so no network policy can "
                "be made: is it running, and has the manager the host's PID namespace and "
                "SYS_PTRACE? Run juliabox doctor"
            )
        return self._seen


def _listener(path: str) -> int:
    """Return the id of the process that listens on a unix socket, or 0."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
            size = _CREDENTIALS.size
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        except OSError:
            return 0
    return int(_CREDENTIALS.unpack(credentials)[0])


def _view(process: Path) -> HostView:
    namespaces = frozenset(
        (found.st_dev, found.st_ino)
        for found in ((process / "ns/net").stat(), Path("/proc/self/ns/net").stat())
    )
    return HostView(_resolvers(process / "root"), _host_addresses(process / "net"), namespaces)


def _resolvers(root: Path) -> tuple[str, ...]:
    """Return the resolvers that an engine with this root asks on behalf of containers."""
    os.stat(root / "etc")  # noqa: PTH116  (an unreadable root must not look like an empty one)
    try:
        configured = json.loads((root / "etc/docker/daemon.json").read_bytes()).get("dns", [])
    except (OSError, ValueError, AttributeError):
        configured = []
    found = _valid(configured) or _nameservers(root / "etc/resolv.conf")
    if found == _SYSTEMD_STUB:
        found = _nameservers(root / "run/systemd/resolve/resolv.conf") or found
    return found or _ENGINE_RESOLVERS


def _nameservers(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    words = (line.split() for line in lines)
    return _valid([line[1] for line in words if len(line) > 1 and line[0] == "nameserver"])


def _valid(texts: object) -> tuple[str, ...]:
    """Return the addresses among texts, in canonical form, without zones."""
    found: list[str] = []
    for text in texts if isinstance(texts, list) else []:
        with contextlib.suppress(ValueError):
            found.append(str(ip_address(str(text).split("%", 1)[0])))
    return tuple(dict.fromkeys(found))


def _host_addresses(net: Path) -> tuple[str, ...]:
    lines = (net / "fib_trie").read_text().splitlines()
    found = {
        before.split()[-1]
        for before, line in itertools.pairwise(lines)
        if line.strip() == "/32 host LOCAL"
    }
    with contextlib.suppress(FileNotFoundError):
        for line in (net / "if_inet6").read_text().splitlines():
            found.add(str(ip_address(bytes.fromhex(line.split()[0]))))
    return tuple(sorted(address for address in found if not _is_private(address)))


def _is_private(address: str) -> bool:
    found = ip_address(address)
    return any(found in network for network in (*NEVER, *PRIVATE))


def attached_networks(pid: int) -> tuple[str, ...]:
    """Return the networks that a process' namespace is directly attached to.

    Raises ``NotFoundError`` if the process has ended.
    """
    try:
        routes4 = Path(f"/proc/{pid}/net/route").read_text().splitlines()[1:]
        routes6: Iterable[str] = ()
        with contextlib.suppress(FileNotFoundError):
            # absent where the kernel has no IPv6
            routes6 = Path(f"/proc/{pid}/net/ipv6_route").read_text().splitlines()
    except OSError:
        message = f"process {pid} of the session has ended"
        raise NotFoundError(message, code="not_found.process") from None
    found = {*map(_attached4, routes4), *map(_attached6, routes6)}
    return tuple(sorted(network for network in found if network is not None))


def _attached4(line: str) -> str | None:
    """Return the network of a /proc/net/route line that has no gateway."""
    interface, destination, gateway, _, _, _, _, mask = line.split()[:8]
    if interface == "lo" or int(gateway, 16) or not int(mask, 16):
        return None
    address, netmask = (
        IPv4Address(int.from_bytes(bytes.fromhex(text), "little")) for text in (destination, mask)
    )
    return str(IPv4Network(f"{address}/{netmask}"))


def _attached6(line: str) -> str | None:
    """Return the network of a /proc/net/ipv6_route line that has no gateway."""
    destination, length, _, _, gateway, *_, interface = line.split()
    prefix = int(length, 16)
    if interface == "lo" or int(gateway, 16) or not prefix:
        return None
    return str(IPv6Network((int(destination, 16), prefix), strict=False))
