"""An API container as it really runs, with the test as its manager and its engine."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import docker
import zmq
from docker.models.containers import Container

from juliabox_services.api.wire import VERSION, pack, unpack

PORT = 8888
MIB = 1024**2

#: What the manager gives an API container; security.md, "Settings".
HARDENING: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "user": "1000:1000",
    "pids_limit": 128,
    "mem_limit": 512 * MIB,
    "memswap_limit": 512 * MIB,
    "shm_size": 64 * MIB,
    "tmpfs": {
        "/tmp": "size=256m,mode=1777",
        "/run/juliabox": "noexec,size=16m,uid=1000,gid=1000,mode=700",
    },
}

#: Kinds of answers after which a request is over.
LAST = {"result", "end", "error", "loaded", "failed", "healthy"}


class Reply(NamedTuple):
    """One message of a worker."""

    kind: str
    header: dict[str, Any]
    part: bytes = b""

    @property
    def value(self) -> Any:
        """What the part holds as JSON."""
        assert self.kind in ("result", "item"), self.header
        return json.loads(self.part)


class Gone(Exception):
    """The worker went away without an answer."""


class Link:
    """The engine's side of a connection with one worker."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, key: bytes) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.curve_serverkey = key
        self.socket.curve_publickey, self.socket.curve_secretkey = zmq.curve_keypair()
        self.socket.linger = 0
        self._monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.socket.connect(endpoint)

    def send(self, verb: str, header: object, *parts: bytes, request: str = "") -> None:
        """Send a request."""
        number = (request or uuid4().hex).encode()
        encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
        self.socket.send(pack([VERSION, number, verb.encode(), encoded, *parts]))

    def receive(self, seconds: float = 60) -> Reply:
        """Wait for one message; raise ``Gone`` if the worker goes, ``TimeoutError`` otherwise."""
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        ready = dict(poller.poll(seconds * 1000))
        if self.socket in ready:
            version, _, kind, header, *parts = unpack(self.socket.recv())
            assert version == VERSION and len(parts) <= 1
            return Reply(kind.decode(), json.loads(header), *parts)
        if ready:
            raise Gone
        raise TimeoutError(f"no answer in {seconds:g} s")

    def ask(self, verb: str, header: object, *parts: bytes, seconds: float = 60) -> Reply:
        """Send a request and return its one answer."""
        self.send(verb, header, *parts)
        return self.receive(seconds)

    def all_of(self, verb: str, header: object, *parts: bytes) -> list[Reply]:
        """Send a request and return all its answers."""
        self.send(verb, header, *parts)
        found = [self.receive()]
        while found[-1].kind not in LAST:
            found.append(self.receive())
        return found

    def load(self, source: str, *functions: str, file: str = "sums.jl") -> Reply:
        """Load a source."""
        return self.ask("load", {"file": file, "functions": list(functions)}, source.encode())

    def call(self, name: str, *arguments: object, seconds: float = 60, **keywords: object) -> Reply:
        """Call a function, and return the one answer."""
        parts = (json.dumps(given).encode() for given in (arguments, keywords))
        return self.ask("call", {"function": name}, *parts, seconds=seconds)

    def call_with(self, name: str, body: bytes) -> Reply:
        """Call a function with a body alone."""
        return self.ask("call", {"function": name}, b"[]", b"{}", body)

    def close(self) -> None:
        """Hang up."""
        self.socket.disable_monitor()
        self._monitor.close(linger=0)
        self.socket.close()


class ApiContainer:
    """One API container, and the slot through which it is released."""

    def __init__(self, engine: docker.DockerClient, image: str, slot: Path, **more: object) -> None:
        self.public, self._secret = zmq.curve_keypair()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._slot = slot
        self.links: list[Link] = []
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(slot / "entry.sock"))
        (slot / "entry.sock").chmod(0o666)
        self._door.listen()
        self._door.settimeout(180)
        self.container: Container = engine.containers.create(
            image,
            name=f"jbt-worker-{uuid4().hex[:12]}",
            volumes={str(slot): {"bind": "/home", "mode": "ro"}},
            **{**HARDENING, **more},
        )
        self.container.start()
        self.started = time.monotonic()
        try:
            self._visit()
        except TimeoutError:
            # one that was killed before it came
            self._door.close()
            self.container.remove(force=True, v=True)
            raise

    def _visit(self) -> None:
        self.visitor, _ = self._door.accept()
        self.visitor.settimeout(120)
        self._lines = self.visitor.makefile("rw")

    def again(self) -> None:
        """Hang up as a manager that restarts, and await the next connection."""
        self._lines.close()
        self.visitor.close()
        self._visit()

    def told(self) -> str:
        """Return the next state that the container tells; empty at its end."""
        line = self._lines.readline()
        if not line:
            return ""
        message = json.loads(line)
        assert message.pop("version") == 2
        return str(message["state"])

    def say(self, line: str) -> None:
        """Send a line as the manager does."""
        self._lines.write(line + "\n")
        self._lines.flush()

    def release(self, workers: int = 1, result: int = 16 * MIB) -> None:
        """Hand the environment over, and wait until the workers listen."""
        environment = {
            "JULIABOX_WORKER_KEY": self._secret.decode(),
            "JULIABOX_WORKERS": str(workers),
            "JULIABOX_RESULT_BYTES": str(result),
        }
        self.say(json.dumps({"version": 2, "environment": environment}))
        states = []
        while state := self.told():
            states.append(state)
        assert states[-2:] == ["accepted", "listening"], (states, self.log)

    def link(self, worker: int = 0, key: bytes | None = None) -> Link:
        """Connect to a worker as the engine."""
        self.container.reload()
        address = self.container.attrs["NetworkSettings"]["IPAddress"]
        link = Link(self._context, f"tcp://{address}:{PORT + worker}", key or self.public)
        self.links.append(link)
        return link

    @property
    def processor_seconds(self) -> float:
        """What the container has computed so far."""
        usage = self.container.stats(stream=False)["cpu_stats"]["cpu_usage"]
        return float(usage["total_usage"]) / 1e9

    def processor_seconds_of(self, command: list[str]) -> float:
        """Run a program in the container, and return what it computed."""
        before = self.processor_seconds
        code, output = self.container.exec_run(command)
        assert code == 0, output.decode()
        return self.processor_seconds - before

    @property
    def log(self) -> str:
        """What the engine logged of the container."""
        return str(self.container.logs().decode())

    def remove(self) -> None:
        """Take all of it away."""
        for link in self.links:
            link.close()
        self._context.destroy(linger=0)
        self._lines.close()
        self.visitor.close()
        self._door.close()
        self.container.remove(force=True, v=True)


@contextmanager
def api_container(
    engine: docker.DockerClient, image: str, **more: object
) -> Iterator[ApiContainer]:
    """Start a container that waits in its slot; it is removed afterwards."""
    slot = Path(tempfile.mkdtemp(prefix="jbt-slot-"))
    slot.chmod(0o755)
    container: ApiContainer | None = None
    try:
        container = ApiContainer(engine, image, slot, **more)
        yield container
    finally:
        if container is not None:
            container.remove()
        shutil.rmtree(slot)
