"""A man in the middle whose key the client was given: loses, doubles, delays and replays messages.

CURVE leaves nobody else this place; the proxy stands for all that goes wrong between two ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import zmq
import zmq.asyncio

from support.door import Door, new_keys


@dataclass
class Faults:
    """Probabilities of what happens to one message, either way."""

    lose_request: float = 0.0
    lose_reply: float = 0.0
    double: float = 0.0
    replay: float = 0.0
    #: Seconds of a random delay at most; it reorders.
    delay: float = 0.0
    happened: Counter[str] = field(default_factory=Counter)


class FaultProxy:
    """ROUTER towards clients, one DEALER of an allowed client towards the server."""

    def __init__(self, door: Door, faults: Faults, source: random.Random) -> None:
        self.door, self.faults, self.source = door, faults, source
        self.keys = new_keys()
        self.endpoint = ""
        self._seen: list[bytes] = []
        self._asked: dict[bytes, bytes] = {}
        self._delayed: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[FaultProxy]:
        context = zmq.asyncio.Context()
        front = context.socket(zmq.ROUTER)
        front.curve_server = True
        front.curve_secretkey = self.keys.secret.encode()
        front.curve_publickey = self.keys.public.encode()
        self.endpoint = f"tcp://127.0.0.1:{front.bind_to_random_port('tcp://127.0.0.1')}"
        with self.door.peer() as back:
            tasks = [
                asyncio.create_task(self._forth(front, back.socket)),
                asyncio.create_task(self._back(front, back.socket)),
            ]
            try:
                yield self
            finally:
                for task in [*tasks, *self._delayed]:
                    task.cancel()
                await asyncio.gather(*tasks, *self._delayed, return_exceptions=True)
                context.destroy(linger=0)

    async def _forth(self, front: zmq.asyncio.Socket, back: zmq.asyncio.Socket) -> None:
        while True:
            identity, frame = await front.recv_multipart()
            name = _id_of(frame)
            self._asked[name] = identity
            self._seen.append(frame)
            if self._chance("lose_request"):
                continue
            for _ in range(2 if self._chance("double") else 1):
                self._later(back, [frame])
            if self._chance("replay"):
                self._later(back, [self.source.choice(self._seen)])

    async def _back(self, front: zmq.asyncio.Socket, back: zmq.asyncio.Socket) -> None:
        while True:
            (frame,) = await back.recv_multipart()
            if self._chance("lose_reply"):
                continue
            identity = self._asked[_id_of(frame)]
            for _ in range(2 if self._chance("double") else 1):
                self._later(front, [identity, frame])

    def _chance(self, fault: str) -> bool:
        happens = self.source.random() < getattr(self.faults, fault)
        self.faults.happened[fault] += happens
        return happens

    def _later(self, socket: zmq.asyncio.Socket, frames: list[bytes]) -> None:
        async def send() -> None:
            await asyncio.sleep(self.source.random() * self.faults.delay)
            await socket.send_multipart(frames)

        task = asyncio.create_task(send())
        self._delayed.add(task)
        task.add_done_callback(self._delayed.discard)


def _id_of(frame: bytes) -> bytes:
    """Return the 32 hexadecimal digits that follow the field name ``id``."""
    start = frame.index(b"id\xd9\x20") + 4
    return frame[start : start + 32]
