"""Where a request came from, as far as it can be trusted."""

from __future__ import annotations

from typing import Any


def client_address(handler: Any, proxy: str) -> str:
    """Return the address of whoever asks.

    The proxy adds it to ``X-Forwarded-For``, of which only the last entry is the proxy's own. A
    request that did not come through the proxy, such as one of a session, is its own witness.
    """
    try:
        peer = str(handler.request.connection.stream.socket.getpeername()[0])
    except (AttributeError, OSError, IndexError):
        return ""
    forwarded = handler.request.headers.get("X-Forwarded-For", "")
    if peer != proxy or not forwarded:
        return peer
    return str(forwarded.rpartition(",")[2].strip().removeprefix("::ffff:"))
