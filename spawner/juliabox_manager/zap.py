"""ZAP handler: which CURVE public key may connect, and the client name that it stands for.

libzmq asks the handler over ``inproc://zeromq.zap.01`` before it delivers anything of a
connection. The server's socket sets ``ZAP_ENFORCE_DOMAIN``: without a handler that answers, every
handshake fails. So a handler that is dead admits nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
import zmq
import zmq.asyncio
from zmq.utils import z85

from juliabox_manager.keys import check_public_key
from juliabox_manager.protocol import ZAP_DOMAIN

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_REQUEST_FRAMES = 9

log = structlog.get_logger("juliabox.zap")


class Admission:
    """Answer libzmq's questions from an allow-list: client name -> z85 public key."""

    def __init__(self, context: zmq.asyncio.Context, clients: Mapping[str, str]) -> None:
        for name, public in clients.items():
            check_public_key(name, public)
        self._names = {z85.decode(public.encode()): name for name, public in clients.items()}
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(ZAP_ENDPOINT)

    async def run(self) -> None:
        """Answer until cancelled; whatever else ends this, nobody is admitted any more."""
        try:
            while True:
                frames = await self._socket.recv_multipart()
                if len(frames) < 4 or frames[2] != _VERSION:
                    continue
                await self._socket.send_multipart([*frames[:2], *self._answer(frames)])
        finally:
            self.close()

    def close(self) -> None:
        """Stop answering; handshakes fail from now on."""
        self._socket.close(linger=0)

    def _answer(self, frames: list[bytes]) -> list[bytes]:
        """Return version, request id, status, text, user id and metadata for one question."""
        request_id = frames[3]
        name = self._client_of(frames)
        if name is None:
            peer = frames[5].decode("ascii", "replace") if len(frames) > 5 else ""
            log.warning("connection refused", audit=True, peer=peer, reason="key not allowed")
            return [_VERSION, request_id, b"400", b"key not allowed", b"", b""]
        return [_VERSION, request_id, b"200", b"OK", name.encode(), b""]

    def _client_of(self, frames: list[bytes]) -> str | None:
        """Return the client's name, or None for all but an allowed key in our domain."""
        if len(frames) != _REQUEST_FRAMES or frames[4] != ZAP_DOMAIN.encode():
            return None
        mechanism, key = frames[7], frames[8]
        return self._names.get(key) if mechanism == b"CURVE" else None


def start_admission(
    context: zmq.asyncio.Context, clients: Mapping[str, str]
) -> tuple[Admission, asyncio.Task[None]]:
    """Bind the handler at once and answer from a task; the server must end with that task."""
    admission = Admission(context, clients)
    return admission, asyncio.create_task(admission.run(), name="zap")
