"""So many programs that call one address over and over: a process of its own.

Each has a connection that is kept, and calls again as soon as it has its answer. Only the standard
library and no more than what HTTP needs here, so that the one who measures costs little.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Calls:
    """Seconds that each call took, and seconds in which all of them were made."""

    took: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def each(self) -> float:
        """Seconds for a call: what a second holds, turned around."""
        return self.seconds / len(self.took)


async def calling(url: str, wanted: str, *, callers: int, seconds: float) -> Calls:
    """Call until the time is over; raise ``RuntimeError`` if an answer is not ``wanted``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__)),
        url,
        wanted,
        str(callers),
        str(seconds),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaint = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{url}: {complaint.decode()[-1000:]}")
    return Calls(**json.loads(printed))


class _Caller(asyncio.Protocol):
    """One connection."""

    def __init__(
        self, path: str, host: str, wanted: bytes, until: float, took: list[float]
    ) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode()
        self._wanted = wanted
        self._until = until
        self._took = took
        self._read = b""
        self._began = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the first call."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._call()

    def connection_lost(self, error: Exception | None) -> None:
        """A connection that ends before the time is over is a failure."""
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the connection was ended"))

    def data_received(self, data: bytes) -> None:
        """Make the next call once the answer is whole."""
        self._read += data
        head, separator, body = self._read.partition(b"\r\n\r\n")
        if not separator or len(body) < _length(head):
            return
        now = time.perf_counter()
        if not head.startswith(b"HTTP/1.1 200") or body.strip() != self._wanted:
            self._fail(self._read)
            return
        self._took.append(now - self._began)
        self._read = b""
        if now < self._until:
            self._call()
        else:
            self.done.set_result(None)
            self._transport.close()

    def _call(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def _fail(self, answer: bytes) -> None:
        self.done.set_exception(RuntimeError(answer[:500].decode(errors="replace")))
        self._transport.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise RuntimeError(f"an answer without a length: {head.decode(errors='replace')}")


async def _call_all(url: str, wanted: str, callers: int, seconds: float) -> Calls:
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    found = Calls()

    def caller() -> _Caller:
        return _Caller(path, parts.netloc, wanted.encode(), began + seconds, found.took)

    made = [
        (await loop.create_connection(caller, parts.hostname, parts.port))[1]
        for _ in range(callers)
    ]
    await asyncio.gather(*(one.done for one in made))
    found.seconds = time.perf_counter() - began
    return found


if __name__ == "__main__":
    calls = asyncio.run(_call_all(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
    print(json.dumps({"took": calls.took, "seconds": calls.seconds}))
