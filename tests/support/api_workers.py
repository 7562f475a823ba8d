"""A manager that hands out API containers whose workers speak the real wire, without Julia.

:class:`Containers` stands for the client of the manager. Each container it starts has workers that
listen on loopback over CURVE with the key of its environment, and do what the function is called.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import zmq
import zmq.asyncio

from juliabox_ext.errors import NoRoomError, UnavailableError
from juliabox_manager import protocol as p
from juliabox_services.api import wire

KEY = "JULIABOX_WORKER_KEY"
WORKERS = "JULIABOX_WORKERS"
LOOPBACK = "127.0.0.1"
#: A JSON text of 16 MiB.
BLOB = b'"' + b"x" * (16 * 1024**2 - 2) + b'"'


@dataclass(eq=False)
class Container:
    """One container, made or started."""

    verb: p.ApiCreate
    id: str
    environment: dict[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    state: p.SessionState = "created"
    port: int = 0
    exit: p.ExitInfo | None = None
    loads: int = 0
    calls: int = 0

    @property
    def small(self) -> bool:
        """Whether it has less memory than a gigabyte."""
        return self.verb.limits.memory < 1024**3

    def info(self) -> p.ApiContainer:
        running = self.state == "running"
        return p.ApiContainer(
            container=self.id,
            publisher=self.verb.publisher,
            api=self.verb.api,
            version=self.verb.version,
            state=self.state,
            address=LOOPBACK if running else "",
            port=self.port,
            warm=False,
            started=0.0,
            exit=self.exit,
        )

    def die(self, code: int = 1, oom: bool = False) -> None:
        """End as a container does whose first process has ended."""
        self.state = "ended"
        self.exit = p.ExitInfo(code=code, oom_killed=oom, reason="it ended")
        for worker in self.workers:
            worker.close()


class Containers:
    """The manager, as a client of it sees it."""

    def __init__(self) -> None:
        self.context = zmq.asyncio.Context()
        self.there: dict[str, Container] = {}
        #: All that were ever made, and the verbs that were asked.
        self.made: list[Container] = []
        self.asked: Counter[str] = Counter()
        #: Requests in the order in which they were carried out.
        self.executed: list[str] = []
        self.away = False
        #: Seconds until it is known that it is away.
        self.silence = 0.0
        #: Containers to come that die as soon as they have started.
        self.stillborn = 0
        self.room = 1000
        #: Seconds that a start takes, and then until it is let in.
        self.delay = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        #: Calls of ``hold`` are answered once it is set.
        self.go = asyncio.Event()
        #: Most containers that were there at once.
        self.peak = 0

    async def call(self, verb: p.Verb, timeout: float = 30.0) -> Any:  # noqa: ASYNC109
        self.asked[type(verb).__name__] += 1
        await asyncio.sleep(0)
        if self.away:
            await asyncio.sleep(min(self.silence, timeout))
            raise UnavailableError("the container manager did not answer")
        match verb:
            case p.ApiCreate():
                return self._create(verb).info()
            case p.ApiStart():
                return (await self._start(verb)).info()
            case p.ApiList():
                return [one.info() for one in self.there.values()]
            case p.ApiRetire():
                gone = self.there.pop(verb.container, None)
                if gone is not None:
                    gone.die(137)
                return None
            case _:
                raise AssertionError(verb)

    @property
    def running(self) -> list[Container]:
        return [one for one in self.there.values() if one.state == "running"]

    def close(self) -> None:
        for container in self.there.values():
            container.die()
        self.context.destroy(linger=0)

    def _create(self, verb: p.ApiCreate) -> Container:
        if len(self.there) >= self.room:
            raise NoRoomError("no room for an API container", code="no_room.api")
        made = Container(verb, f"{random.getrandbits(64):016x}")
        self.there[made.id] = made
        self.made.append(made)
        self.peak = max(self.peak, len(self.there))
        return made

    async def _start(self, verb: p.ApiStart) -> Container:
        container = self.there[verb.container]
        container.environment = dict(verb.environment)
        await asyncio.sleep(self.delay)
        await self.gate.wait()
        number = int(verb.environment[WORKERS])
        sockets = self._listen(number, verb.environment[KEY])
        container.port = int(
            sockets[0].getsockopt(zmq.LAST_ENDPOINT).decode().rsplit(":", 1)[1].rstrip("\0")
        )
        container.workers = [Worker(self, container, socket) for socket in sockets]
        container.state = "running"
        if self.stillborn:
            self.stillborn -= 1
            for worker in container.workers:
                worker.close()
        return container

    def _listen(self, number: int, secret: str) -> list[zmq.asyncio.Socket]:
        """Return sockets on neighbouring ports."""
        while True:
            # below those that support.ports gives to servers of other processes
            base = random.randrange(11_000, 14_900)
            sockets: list[zmq.asyncio.Socket] = []
            try:
                for port in range(base, base + number):
                    sockets.append(self._socket(secret))
                    sockets[-1].bind(f"tcp://{LOOPBACK}:{port}")
            except zmq.ZMQError:
                for socket in sockets:
                    socket.close(linger=0)
                continue
            return sockets

    def _socket(self, secret: str) -> zmq.asyncio.Socket:
        socket = self.context.socket(zmq.ROUTER)
        socket.curve_server = True
        socket.curve_secretkey = secret.encode()
        socket.curve_publickey = zmq.curve_public(secret.encode())
        for option in (zmq.ROUTER_MANDATORY,):
            socket.setsockopt(option, 1)
        socket.setsockopt(zmq.SNDHWM, 20)
        return socket


class Worker:
    """A worker: carries out one request at a time, as its function's name says."""

    def __init__(self, there: Containers, container: Container, socket: zmq.asyncio.Socket) -> None:
        self.there = there
        self.container = container
        self.socket = socket
        self.calls = 0
        self.memory = 100_000_000
        self.task = asyncio.create_task(self._serve())

    def close(self) -> None:
        self.task.cancel()
        self.socket.close(linger=0)

    async def _serve(self) -> None:
        with contextlib.suppress(asyncio.CancelledError, zmq.ZMQError):
            while True:
                peer, message = await self.socket.recv_multipart()
                version, request, verb, header, *parts = wire.unpack(message)
                assert version == wire.VERSION
                self.peer, self.request = peer, request
                await getattr(self, f"_{verb.decode()}")(json.loads(header), parts)

    async def say(self, kind: bytes, header: Any, part: bytes | None = None) -> None:
        frames = [wire.VERSION, self.request, kind, json.dumps(header).encode()]
        await self.send([*frames, *([] if part is None else [part])])
        await asyncio.sleep(0)

    async def send(self, frames: list[bytes]) -> None:
        while True:
            try:
                await self.socket.send_multipart([self.peer, wire.pack(frames)], zmq.DONTWAIT)
            except zmq.Again:
                await asyncio.sleep(0.002)
            else:
                return

    async def _health(self, _header: Any, _parts: list[bytes]) -> None:
        await self.say(b"healthy", {"calls": self.calls, "memory": self.memory, "loaded": True})

    async def _load(self, header: Any, parts: list[bytes]) -> None:
        self.container.loads += 1
        source = parts[0].decode()
        if "syntax!" in source:
            frames = [{"function": "top-level", "line": 3}]
            message = "syntax: incomplete"
            told = {"code": "source.syntax", "message": message, "frames": frames, "printed": "x"}
            await self.say(b"failed", told)
        elif "using Mine!" in source:
            message = (
                "ArgumentError: Package Mine not found in current path:\n"
                '- Run `import Pkg; Pkg.add("Mine")` to install the Mine package.\n'
            )
            told = {"code": "source.error", "message": message, "frames": [], "printed": ""}
            await self.say(b"failed", told)
        elif "never!" in source:
            await asyncio.sleep(3600)
        elif "exit!" in source:
            self.container.die(7)
        elif "kill!" in source or ("once!" in source and len(self.there.made) == 1):
            self.container.die(137)
        elif "more!" in source:
            told = {"functions": [{"name": name} for name in ("<b>", *header["functions"])]}
            await self.say(b"loaded", told)
        elif "memory!" in source or ("much!" in source and self.container.small):
            self.container.die(137, oom=True)
        else:
            defined = [name for name in header["functions"] if f"no {name}!" not in source]
            told = {"functions": [{"name": name} for name in defined], "printed": ""}
            await self.say(b"loaded", told)

    async def _call(self, header: Any, parts: list[bytes]) -> None:
        self.calls += 1
        self.container.calls += 1
        self.there.executed.append(self.request.decode())
        arguments = json.loads(parts[0])
        await getattr(self, f"do_{header['function']}")(arguments, parts)

    async def result(
        self, value: Any, type_: str = "application/json", seconds: float = 0.001
    ) -> None:
        header = {"type": type_, "seconds": seconds, "memory": self.memory, "printed": "said\n"}
        await self.say(b"result", header, json.dumps(value).encode())

    async def error(self, code: str, message: str) -> None:
        frames = [{"function": "f", "line": 2}]
        told = {"code": code, "message": message, "frames": frames, "memory": 1, "printed": "oh\n"}
        await self.say(b"error", told)

    # -- functions ---------------------------------------------------------------------------------

    async def do_echo(self, arguments: Any, parts: list[bytes]) -> None:
        body = parts[2].decode()
        await self.result([arguments, json.loads(parts[1]), body, self.container.verb.version])

    async def do_wait(self, arguments: Any, _parts: list[bytes]) -> None:
        await asyncio.sleep(arguments[0])
        await self.result(arguments[0], seconds=arguments[0])

    async def do_hold(self, arguments: Any, _parts: list[bytes]) -> None:
        """Answer when the test lets it, as if it had taken so many seconds."""
        await self.there.go.wait()
        await self.result("held", seconds=arguments[0] if arguments else 0.001)

    async def do_hang(self, _arguments: Any, _parts: list[bytes]) -> None:
        await asyncio.sleep(3600)

    async def do_die(self, _arguments: Any, _parts: list[bytes]) -> None:
        self.container.die(3)

    async def do_exit(self, _arguments: Any, _parts: list[bytes]) -> None:
        told = {"code": "api.error", "message": "the code ended Julia (exit)", "leaving": True}
        await self.say(b"error", told)
        await asyncio.sleep(0.2)
        self.container.die(3)

    async def do_mumble(self, _arguments: Any, _parts: list[bytes]) -> None:
        await self.error("no.such.code", "no")

    async def do_starve(self, _arguments: Any, _parts: list[bytes]) -> None:
        self.container.die(137, oom=True)

    async def do_die_once(self, _arguments: Any, _parts: list[bytes]) -> None:
        if self.there.executed.count(self.request.decode()) == 1:
            self.container.die(3)
        else:
            await self.result("alive")

    async def do_boom(self, _arguments: Any, _parts: list[bytes]) -> None:
        await self.error("api.error", "DomainError: no")

    async def do_leaving(self, _arguments: Any, _parts: list[bytes]) -> None:
        frames = [{"function": "leaving", "line": 2}]
        await self.say(b"error", {"code": "api.error", "message": "no", "frames": frames})

    async def do_refuse(self, arguments: Any, _parts: list[bytes]) -> None:
        await self.error(arguments[0], "no")

    async def do_grow(self, arguments: Any, _parts: list[bytes]) -> None:
        self.memory += arguments[0]
        await self.result(self.memory)

    async def do_typed(self, arguments: Any, _parts: list[bytes]) -> None:
        await self.result("x", arguments[0])

    async def do_large(self, arguments: Any, _parts: list[bytes]) -> None:
        await self.result("x" * arguments[0])

    async def do_count(self, arguments: Any, _parts: list[bytes]) -> None:
        for number in range(arguments[0]):
            await self.say(b"item", {}, json.dumps(number).encode())
        header = {"seconds": 0.5, "memory": self.memory, "printed": "counted\n"}
        await self.say(b"end", header)

    async def do_break(self, arguments: Any, _parts: list[bytes]) -> None:
        for number in range(arguments[0]):
            await self.say(b"item", {}, json.dumps(number).encode())
        await self.error("api.error", "broke")

    async def do_count_and_die(self, arguments: Any, _parts: list[bytes]) -> None:
        for number in range(arguments[0]):
            await self.say(b"item", {}, json.dumps(number).encode())
        await asyncio.sleep(0.1)
        self.container.die(3)

    async def do_flood(self, _arguments: Any, _parts: list[bytes]) -> None:
        while True:
            await self.say(b"item", {}, b"0")

    async def do_junk(self, arguments: Any, _parts: list[bytes]) -> None:
        """Answer with frames of the caller's choice."""
        await self.send([frame.encode() for frame in arguments])

    async def do_heap(self, arguments: Any, _parts: list[bytes]) -> None:
        """Answer with so many parts of 16 MiB, which take no memory here."""
        await self.socket.send_multipart([self.peer, *[BLOB] * arguments[0]], copy=False)

    async def do_large_items(self, arguments: Any, _parts: list[bytes]) -> None:
        """Yield so many items of 16 MiB, which take the memory of one here."""
        item = wire.pack([wire.VERSION, self.request, b"item", b"{}", BLOB])
        for _ in range(arguments[0]):
            await self.socket.send_multipart([self.peer, item], copy=False)
        await self.say(b"end", {})
