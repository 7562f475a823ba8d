"""A connection for each request of a client that threads share."""

from __future__ import annotations

from collections.abc import Iterator

import httpx


class FreshConnections(httpx.BaseTransport):
    """Makes a pool of connections for each request.

    In httpx's own, a thread that looks for idle connections may close one that another thread has
    just been given, even where none is to be kept: that request ends with "Bad file descriptor".
    ``address`` is where they come from.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._context = httpx.create_ssl_context()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the connection ends with its answer."""
        pool = httpx.HTTPTransport(verify=self._context, local_address=self._address)
        try:
            answer = pool.handle_request(request)
        except BaseException:
            pool.close()
            raise
        assert isinstance(answer.stream, httpx.SyncByteStream)
        answer.stream = _LastStream(answer.stream, pool)
        return answer


class _LastStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, pool: httpx.HTTPTransport) -> None:
        self._stream = stream
        self._pool = pool

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()
        self._pool.close()
