"""The manager's server, really listening, with a verb handler that counts; and hostile peers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import zmq
import zmq.asyncio

from juliabox_manager import protocol
from juliabox_manager.keys import KeyPair, load_or_make_key
from juliabox_manager.server import Server
from juliabox_manager.settings import ManagerSettings, load
from juliabox_spawner.client import ManagerClient

SESSION = "0123456789abcdef"
LIMITS = {"memory": 2**29, "cpu": 1.0, "pids": 128, "disk": 2**28}


def new_keys() -> KeyPair:
    """Return keys that no server knows."""
    return KeyPair(*(half.decode() for half in zmq.curve_keypair()))


class MemoryAnswers:
    """An answer store in memory; ``broken`` makes it fail."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}
        self.broken = False

    async def recorded_answer(self, client: str, request_id: str) -> bytes | None:
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("disk I/O error")
        return self.kept.get((client, request_id))

    async def record_answer(self, client: str, request_id: str, reply: bytes) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("disk I/O error")
        self.kept[client, request_id] = reply


class Door:
    """A server, its clients' keys, and what reached its handler."""

    def __init__(self, folder: Path, verbs: dict[str, list[str]] | None = None) -> None:
        self.folder = folder
        self.keys = load_or_make_key(folder / "curve.key")
        self.clients = {
            name: load_or_make_key(folder / f"{name}.key") for name in verbs or {"hub": ["*"]}
        }
        self.verbs = verbs or {"hub": ["*"]}
        self.answers = MemoryAnswers()
        self.handled: list[tuple[str, protocol.Verb]] = []
        self.behaviour: Callable[[str, protocol.Verb], Awaitable[Any]] = self.answer_at_once
        self.server = self.new_server()

    def settings(self, listen: str = "tcp://127.0.0.1:*") -> ManagerSettings:
        document = {
            "installation": "jbt-transport",
            "instance": "one",
            "state": str(self.folder),
            "listen": listen,
            "metrics_address": "127.0.0.1",
            "metrics_port": 0,
            "secret_key": str(self.folder / "curve.key"),
            "clients": {
                name: {"public_key": self.clients[name].public, "verbs": verbs}
                for name, verbs in self.verbs.items()
            },
            "images": {"juliabox/julia": "sha256:" + "0" * 64},
            "ceilings": {"memory": 2**30, "cpu": 2, "pids": 256, "disk": 2**30},
            "network": {
                "name": "jbt-transport-sessions",
                "gateway": "10.201.0.1",
                "trusted": ["10.201.0.2", "10.201.0.3"],
                "hub": "10.201.0.2",
                "hub_port": 8081,
            },
        }
        profile = self.folder / "seccomp.json"
        profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        document["seccomp"] = str(profile)
        file = self.folder / "manager.json"
        file.write_text(json.dumps(document))
        return load(file)

    def new_server(self, listen: str = "tcp://127.0.0.1:*") -> Server:
        return Server(self.settings(listen), self.handle, self.answers)

    async def handle(self, client: str, verb: protocol.Verb) -> Any:
        self.handled.append((client, verb))
        return await self.behaviour(client, verb)

    async def answer_at_once(self, _client: str, verb: protocol.Verb) -> Any:
        return protocol.Pong(True, "one") if isinstance(verb, protocol.Ping) else None

    def counts(self) -> Counter[str]:
        return Counter(type(verb).__name__ for _, verb in self.handled)

    @contextlib.asynccontextmanager
    async def open(self, server: Server | None = None) -> AsyncIterator[Server]:
        """Serve while the context lasts."""
        server = server or self.server
        running = asyncio.create_task(server.run())
        try:
            async with asyncio.timeout(30):
                await server.listening.wait()
            yield server
        finally:
            await server.close()
            await asyncio.gather(running, return_exceptions=True)

    @contextlib.contextmanager
    def client(self, name: str = "hub", endpoint: str | None = None) -> Iterator[ManagerClient]:
        client = ManagerClient(
            endpoint or self.server.endpoint, self.keys.public, self.clients[name].secret
        )
        try:
            yield client
        finally:
            client.close()

    @contextlib.contextmanager
    def peer(self, name: str = "hub", **options: Any) -> Iterator[Peer]:
        with Peer.connected(self, self.clients[name], **options) as peer:
            yield peer


class Peer:
    """A DEALER that sends whatever it is told."""

    def __init__(self, socket: zmq.asyncio.Socket) -> None:
        self.socket = socket

    @classmethod
    @contextlib.contextmanager
    def connected(
        cls,
        door: Door,
        keys: KeyPair | None,
        server_key: str | None = None,
        prepare: Callable[[zmq.asyncio.Socket], None] = lambda _: None,
        endpoint: str | None = None,
    ) -> Iterator[Peer]:
        context = zmq.asyncio.Context()
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        if keys is not None:
            socket.curve_serverkey = (server_key or door.keys.public).encode()
            socket.curve_publickey = keys.public.encode()
            socket.curve_secretkey = keys.secret.encode()
        prepare(socket)
        socket.connect(endpoint or door.server.endpoint)
        try:
            yield cls(socket)
        finally:
            context.destroy(linger=0)

    async def send(self, *frames: bytes) -> None:
        await self.socket.send_multipart(list(frames))

    async def reply(self, seconds: float = 20.0) -> protocol.Reply:
        frames = await asyncio.wait_for(self.socket.recv_multipart(), seconds)
        return protocol.decode_reply(frames[0])

    async def hears_nothing(self, seconds: float = 0.3) -> bool:
        return not await self.socket.poll(int(seconds * 1000))

    async def ask(self, *frames: bytes) -> protocol.Reply:
        await self.send(*frames)
        return await self.reply()

    async def all_read(self) -> None:
        """Wait until the server has read what was sent before: what it refuses, it answers."""
        assert (await self.ask(raw({"verb": "nothing"}))).error is not None


def request_id() -> str:
    return uuid.uuid4().hex


def valid_create(**changes: Any) -> dict[str, Any]:
    """Return the body of a session.create that would be admitted, with changes."""
    body = {
        "verb": "session.create",
        "owner": "ada",
        "server": "",
        "image": "juliabox/julia",
        "limits": dict(LIMITS),
    }
    return {**body, **changes}


def raw(body: Any, **envelope: Any) -> bytes:
    """Encode a request without any check."""
    return msgspec.msgpack.encode({"id": request_id(), "body": body, **envelope})


def ping() -> bytes:
    return raw({"verb": "ping"})


def resident_bytes() -> int:
    """Return this process' resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
