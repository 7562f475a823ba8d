"""Clients that send byte by byte: half of them are still in their headers, half in a body."""

from __future__ import annotations

import contextlib
import socket


class SlowClients:
    """So many connections to one address; entered, they have begun."""

    def __init__(self, port: int, path: str, count: int) -> None:
        self._port = port
        self._head = f"{path} HTTP/1.1\r\nHost: localhost\r\n"
        self._count = count
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> SlowClients:
        for number in range(self._count):
            self._sockets.append(self._begin(number))
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            one.close()

    def _begin(self, number: int) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        body = "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n["
        begin = f"POST {self._head}{body}" if number % 2 else f"GET {self._head}X-Slow: "
        made.send(begin.encode())
        made.setblocking(False)
        return made

    def trickle(self) -> None:
        """Send a byte more on each that is still open."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.send(b" ")

    def begin_again(self) -> int:
        """Let those that were answered begin anew; return how many those were."""
        over = [number for number, one in enumerate(self._sockets) if _answer(one) is not None]
        for number in over:
            self._sockets[number].close()
            self._sockets[number] = self._begin(number)
        return len(over)

    def answers(self) -> list[bytes]:
        """Return the status lines that have come; an empty one where the connection was ended."""
        return [line for one in self._sockets if (line := _answer(one)) is not None]


def _answer(one: socket.socket) -> bytes | None:
    try:
        return one.recv(4096, socket.MSG_PEEK).partition(b"\r\n")[0]
    except BlockingIOError:
        return None
    except OSError:
        return b""
