"""What workers have sent that nobody has read, and the bound of it.

libzmq hands a message over when it is whole. It bounds the size of a frame, but neither the number
of frames nor their sum, so that a worker whose message never ends would fill the engine's memory
unseen. The kernel counts what came over a connection; what of it was not handed over is held.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Protocol
from urllib.parse import urlsplit

import structlog

#: Where Linux has the received bytes in its ``tcp_info``, and the length up to their end.
_RECEIVED = struct.Struct("=128xQ")
#: Bytes that ZMTP and CURVE add to a message, and to one that is longer than the last figure.
_AROUND, _AROUND_LONG, _LONG = 35, 42, 222
#: Bytes in a second that need not be a message: libzmq's own signs of life.
_SIGNS_OF_LIFE = 64
#: Seconds between two looks.
LOOK_SECONDS = 0.1
#: Bytes that all workers together may have sent and nobody read, at least, and in messages of the
#: largest size.
HELD_BYTES, HELD_MESSAGES = 192 * 1024**2, 4

log = structlog.get_logger("juliabox.api")


class Intake:
    """The bytes of one connection, once it is known which one it is."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._peer = parts.hostname, parts.port
        self._socket: socket.socket | None = None
        #: What was received and read when all that had come was read, and when that was.
        self._received = self._at = 0.0
        self._read = 0

    def connected(self, descriptor: int) -> None:
        """Watch the connection with a descriptor, if it is one with the worker."""
        self.close()
        try:
            found = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            return  # it has broken already; another one is tried
        try:
            if found.getpeername()[:2] == self._peer:
                self._socket = found
                return
        except OSError:
            pass
        found.close()

    def read(self, size: int) -> None:
        """Note that a message of so many bytes was read."""
        self._read += size + (_AROUND_LONG if size > _LONG else _AROUND)

    def held(self, now: float) -> int:
        """Return the bytes that have come and were not read; 0 if the kernel does not tell."""
        if self._socket is None:
            return 0
        try:
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED.size)
        except OSError:
            return 0
        if len(told) < _RECEIVED.size:
            return 0
        received = _RECEIVED.unpack(told)[0] - self._read
        held = received - self._received - _SIGNS_OF_LIFE * (now - self._at)
        if held <= 0 or not self._at:
            self._received, self._at = received, now
            return 0
        return int(held)

    def close(self) -> None:
        """Watch no further."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Holder(Protocol):
    """A connection with a worker."""

    def held(self) -> int:
        """Return the bytes that the worker has sent and nobody has read."""

    def flooded(self) -> None:
        """End it: it holds more than there is room for."""


class Intakes:
    """All connections together: who holds most is ended first when it is too much.

    ``holders`` tells them, ``most`` is the largest message in bytes.
    """

    def __init__(self, holders: Callable[[], Iterable[Holder]], most: int) -> None:
        self._holders = holders
        self._most = max(HELD_BYTES, HELD_MESSAGES * most)

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self.look()
            except Exception:
                log.exception("the look at what workers have sent failed")

    def look(self) -> None:
        """End those who hold most until the rest may stay."""
        held = sorted(((one.held(), one) for one in self._holders()), key=lambda found: -found[0])
        total = sum(size for size, _ in held)
        for size, one in held:
            if total <= self._most:
                return
            log.warning("a worker has sent more than can be held", bytes=size)
            one.flooded()
            total -= size
