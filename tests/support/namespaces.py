"""Network namespaces of a test's own, wired to one bridge, and sockets opened inside them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Target = tuple[str, int]
_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
IP_TRANSPARENT = 19


class Namespace:
    """A network namespace, kept by a process that sleeps in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "3600"])
        self.pid = self.process.pid
        own = Path("/proc/self/ns/net").stat()
        while os.path.samestat(Path(f"/proc/{self.pid}/ns/net").stat(), own):
            time.sleep(0.005)
        self.run("ip", "link", "set", "lo", "up")
        self._kept: list[socket.socket] = []

    def run(self, *command: str, text: str | None = None, check: bool = True) -> str:
        """Run a program inside and return its output."""
        enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]
        return subprocess.run(enter, check=check, capture_output=True, text=True, input=text).stdout

    def inside(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns in a thread that has entered the namespace."""
        results: list[T] = []
        failures: list[BaseException] = []

        def enter() -> None:
            with Path(f"/proc/{self.pid}/ns/net").open() as file:
                if _libc.setns(file.fileno(), _CLONE_NEWNET):
                    failures.append(OSError(ctypes.get_errno(), "setns"))
                    return
            try:
                results.append(call())
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return results[0]

    def listen(self, *ports: int) -> None:
        """Let the kernel accept TCP, and keep UDP, on all addresses at these ports."""
        for port in ports:
            self._kept.append(self.inside(lambda port=port: _listener(port)))
            self._kept.append(self.inside(lambda port=port: _datagrams(port)))

    def datagrams(self, port: int) -> int:
        """Return how many datagrams came to a port, and forget them."""
        number = 0
        for kept in self._kept:
            if kept.type == socket.SOCK_DGRAM and kept.getsockname()[1] == port:
                with contextlib.suppress(BlockingIOError):
                    while kept.recv(100):
                        number += 1
        return number

    def connect(self, address: str, port: int, seconds: float = 20.0) -> socket.socket:
        """Open a TCP connection from inside; raise ``OSError`` if that fails."""
        return self.inside(lambda: socket.create_connection((address, port), seconds))

    def reached(
        self, targets: Iterable[Target], seconds: float = 0.5, expected: Collection[Target] = ()
    ) -> set[Target]:
        """Return which of many targets accept TCP from inside, all tried at once.

        They are looked at for so many seconds, and for longer while an expected one is missing: a
        busy machine loses some of what comes all at once, and what is lost is sent again later.
        """

        def attempt() -> dict[Target, socket.socket]:
            tried = {}
            for address, port in targets:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                tried[address, port] = attempted = socket.socket(family)
                attempted.setblocking(False)
                # how it went is read below
                attempted.connect_ex(socket.getaddrinfo(address, port, family)[0][4])
            return tried

        tried = self.inside(attempt)
        begun, found = time.monotonic(), set[Target]()
        while True:
            waited = time.monotonic() - begun
            for target, attempted in tried.items():
                with contextlib.suppress(OSError):
                    attempted.getpeername()
                    found.add(target)
            if waited >= seconds and (found.issuperset(expected) or waited > 30):
                break
            time.sleep(0.1)
        for attempted in tried.values():
            attempted.close()
        return found

    def reaches(self, address: str, port: int) -> bool:
        """Return whether TCP connects from inside."""
        try:
            self.connect(address, port).close()
        except OSError:
            return False
        return True

    def send(self, address: str, port: int, source: str = "") -> None:
        """Send one datagram from inside, from a foreign source address if given."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def send() -> None:
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                if source:
                    sender.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
                    sender.bind((source, 0))
                # a refused datagram may be told to the sender
                with contextlib.suppress(OSError):
                    where = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0][4]
                    sender.sendto(b"x", where)

        self.inside(send)

    def close(self) -> None:
        for kept in self._kept:
            kept.close()
        self.process.kill()
        self.process.wait()


def _listener(port: int) -> socket.socket:
    return socket.create_server(
        ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64
    )


def _datagrams(port: int) -> socket.socket:
    receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    receiver.setblocking(False)
    receiver.bind(("::", port))
    return receiver


class Bridge:
    """A gateway's namespace with a bridge; members get ``10.201.0.<n>`` and ``fd01:201::<n>``."""

    def __init__(self) -> None:
        self.gateway = Namespace("gateway")
        self.members: dict[str, Namespace] = {}
        # addresses must be usable at once
        for kind in ("default", "all"):
            self._set(self.gateway, f"net/ipv6/conf/{kind}/accept_dad", "0")
        self.gateway.run("ip", "link", "add", "name", "bridge0", "type", "bridge")
        self.gateway.run("ip", "address", "add", "10.201.0.1/24", "dev", "bridge0")
        self.gateway.run("ip", "address", "add", "fd01:201::1/64", "dev", "bridge0", "nodad")
        self.gateway.run("ip", "link", "set", "bridge0", "up")

    def join(self, name: str, number: int) -> Namespace:
        """Make a namespace with an address on the bridge and a default route to the gateway."""
        member = self.members[name] = Namespace(name)
        self._set(member, "net/ipv6/conf/default/accept_dad", "0")
        ends = ("ip", "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0")
        self.gateway.run(*ends, "netns", str(member.pid))
        self.gateway.run("ip", "link", "set", f"v{number}", "master", "bridge0", "up")
        member.run("ip", "address", "add", f"10.201.0.{number}/24", "dev", "eth0")
        member.run("ip", "link", "set", "eth0", "up")
        address = f"fd01:201::{number}/64"
        member.run("ip", "address", "add", address, "dev", "eth0", "nodad")
        member.run("ip", "route", "add", "default", "via", "10.201.0.1")
        member.run("ip", "-6", "route", "add", "default", "via", "fd01:201::1")
        return member

    def link_local(self, name: str) -> str:
        """Return a member's link-local address, with the zone as another member writes it."""
        told = self.members[name].run(
            "ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "link"
        )
        return told.split("inet6 ")[1].split("/")[0] + "%eth0"

    def lend(self, *addresses: str) -> None:
        """Let the gateway answer at more addresses, as the world behind it would."""
        for address in addresses:
            length = 128 if ":" in address else 32
            self.gateway.run(
                "ip", "address", "add", f"{address}/{length}", "dev", "lo", check=False
            )

    def close(self) -> None:
        for member in (*self.members.values(), self.gateway):
            member.close()

    def _set(self, namespace: Namespace, key: str, value: str) -> None:
        namespace.run("sh", "-c", f"echo {value} > /proc/sys/{key}", check=False)


@contextlib.contextmanager
def bridge() -> Iterator[Bridge]:
    """Wire a bridge and take all of it away afterwards."""
    made = Bridge()
    try:
        yield made
    finally:
        made.close()
