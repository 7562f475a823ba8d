"""Client of the manager: typed calls over one socket, sent again by id until an answer comes.

The pattern is the lazy pirate's: silence means nothing, so the same request is sent again, with
the same id, and the socket is made anew when nothing at all came through it. The manager runs a
repeated request once. Nothing waits in a queue for a manager that is away (``ZMQ_IMMEDIATE``), so
a call that was given up is never carried out later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import uuid
from typing import Any

import msgspec
import zmq
import zmq.asyncio

from juliabox_ext.errors import InternalError, RequestError, UnavailableError
from juliabox_manager.protocol import (
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    ZAP_DOMAIN,
    Reply,
    Request,
    Verb,
    decode_reply,
    encode,
    result_of,
)

#: Seconds of silence before a request is sent again; doubles up to the second figure.
FIRST_PATIENCE = 2.0
MAX_PATIENCE = 8.0
#: Longest deadline that the protocol admits, in seconds.
MAX_TIMEOUT = 600.0
#: Share of the time left, and seconds at most, that a reply is given for its way back.
_RETURN_SHARE = 0.2
_RETURN_SECONDS = 1.0
#: Seconds between tries to hand a message to a socket that is not connected.
_CONNECT_PAUSE = 0.05
#: What a manager answers before its first reconcile, and the seconds until it is asked again.
_STARTING = "manager.starting"
_START_PAUSE = 0.3
_QUEUE_MESSAGES = 1000
_HEARTBEAT_MS = 5000

log = logging.getLogger("juliabox.client")


class _Connection:
    """One socket, the task that reads it, and when something last came through it."""

    def __init__(self, socket: zmq.asyncio.Socket, made: float) -> None:
        self.socket = socket
        self.made = made
        self.heard = made
        self.reader: asyncio.Task[None] | None = None

    def close(self) -> None:
        if self.reader is not None:
            self.reader.cancel()
        self.socket.close(linger=0)


class ManagerClient:
    """Call verbs of the manager at ``endpoint`` from one event loop, many at a time.

    ``server_key`` is the manager's public key, ``secret_key`` this client's secret key, both z85.
    Made anywhere; the socket is opened by the first call. ``close`` fails the calls under way.
    """

    def __init__(self, endpoint: str, server_key: str, secret_key: str) -> None:
        self._endpoint = endpoint
        self._server_key = server_key.encode()
        self._secret_key = secret_key.encode()
        self._public_key = zmq.curve_public(self._secret_key)
        self._context: zmq.asyncio.Context | None = None
        self._connection: _Connection | None = None
        self._pending: dict[str, asyncio.Future[Reply]] = {}
        self._closed = False

    async def call(self, verb: Verb, timeout: float = 30.0) -> Any:  # noqa: ASYNC109
        """Return the typed result of a verb within ``timeout`` seconds.

        Raises the ``JuliaBoxError`` that the manager answers, and ``UnavailableError`` when no
        answer comes in time: the verb may still have been carried out.
        """
        if self._closed:
            raise UnavailableError("the connection to the container manager is closed")
        loop = asyncio.get_running_loop()
        end = loop.time() + min(timeout, MAX_TIMEOUT)
        request_id = uuid.uuid4().hex
        try:
            reply = await self._ask(request_id, verb, end)
            while reply is not None and _is_starting(reply) and loop.time() + _START_PAUSE < end:
                # a manager that was restarted meanwhile: what it must first look at takes moments
                await asyncio.sleep(_START_PAUSE)
                reply = await self._ask(request_id, verb, end) or reply
        finally:
            self._pending.pop(request_id, None)
        if reply is None:
            raise UnavailableError(
                f"the container manager at {self._endpoint} did not answer within {timeout:g} s: "
                "run `juliabox doctor` on the server"
            )
        return _typed_result(verb, reply)

    def close(self) -> None:
        """Close the socket and fail the calls under way; further calls are refused."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(
                    UnavailableError("the connection to the container manager was closed")
                )
        if self._context is not None:
            # nothing lingers and no socket is open, so this returns at once
            self._context.term()
            self._context = None

    async def _ask(self, request_id: str, verb: Verb, end: float) -> Reply | None:
        """Send a request again and again until its answer comes or the time is over."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()
        self._pending[request_id] = answer
        patience = FIRST_PATIENCE
        while (left := end - loop.time()) > 0 and not self._closed:
            deadline = left - min(left * _RETURN_SHARE, _RETURN_SECONDS)
            frame = _frame(Request(request_id, verb, deadline))  # type: ignore[arg-type]
            sent = loop.time()
            silence = min(end, sent + patience * random.uniform(0.8, 1.2))  # noqa: S311
            connected = await self._send(frame, answer, silence)
            await asyncio.wait([answer], timeout=max(0.0, silence - loop.time()))
            if answer.done():
                return answer.result()
            self._renew_after_silence(sent, connected)
            patience = min(2 * patience, MAX_PATIENCE)
        return answer.result() if answer.done() else None

    async def _send(self, frame: bytes, answer: asyncio.Future[Reply], end: float) -> bool:
        """Hand a message to the socket; False when it was not connected until ``end``."""
        loop = asyncio.get_running_loop()
        while not answer.done() and not self._closed:
            connection = self._connected()
            try:
                await connection.socket.send(frame, zmq.DONTWAIT)
            except zmq.Again:
                if loop.time() >= end:
                    return False
                await asyncio.sleep(_CONNECT_PAUSE)
            except zmq.ZMQError:
                # renewed or closed by another call meanwhile
                if connection is self._connection:
                    raise
            else:
                return True
        return False

    def _renew_after_silence(self, sent: float, connected: bool) -> None:
        """Drop the socket unless it was heard, or made anew, since ``sent``.

        A socket that never connected goes on trying by itself; a new one would only start over.
        """
        connection = self._connection
        if connection is None or not connected:
            return
        if connection.heard < sent and connection.made < sent:
            log.debug("no answer from the manager: renewing the connection")
            connection.close()
            self._connection = None

    def _connected(self) -> _Connection:
        if self._connection is None:
            if self._context is None:
                self._context = zmq.asyncio.Context()
            connection = _Connection(self._open_socket(self._context), _now())
            connection.reader = asyncio.create_task(self._read(connection), name="manager client")
            self._connection = connection
        return self._connection

    def _open_socket(self, context: zmq.asyncio.Context) -> zmq.asyncio.Socket:
        socket = context.socket(zmq.DEALER)
        socket.curve_serverkey = self._server_key
        socket.curve_publickey = self._public_key
        socket.curve_secretkey = self._secret_key
        socket.zap_domain = ZAP_DOMAIN.encode()
        options = {
            zmq.IMMEDIATE: 1,
            zmq.LINGER: 0,
            zmq.MAXMSGSIZE: MAX_REPLY_BYTES,
            zmq.RCVHWM: _QUEUE_MESSAGES,
            zmq.SNDHWM: _QUEUE_MESSAGES,
            zmq.HEARTBEAT_IVL: _HEARTBEAT_MS,
            zmq.HEARTBEAT_TIMEOUT: 3 * _HEARTBEAT_MS,
            zmq.RECONNECT_IVL: 50,
            zmq.RECONNECT_IVL_MAX: 1000,
            zmq.IPV6: int("[" in self._endpoint),
        }
        for option, value in options.items():
            socket.setsockopt(option, value)
        socket.connect(self._endpoint)
        return socket

    async def _read(self, connection: _Connection) -> None:
        """Give each reply to the call that waits for it; ignore what nobody waits for."""
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                frames = await connection.socket.recv_multipart()
                connection.heard = _now()
                try:
                    reply = decode_reply(frames[0])
                except InternalError:
                    log.exception("a reply of the manager cannot be read")
                    continue
                answer = self._pending.get(reply.id)
                if answer is not None and not answer.done():
                    answer.set_result(reply)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _frame(request: Request) -> bytes:
    """Encode a request; raise ``RequestError`` for one that the manager would drop unread."""
    frame = encode(request)
    if len(frame) > MAX_REQUEST_BYTES:
        raise RequestError(
            f"request of {len(frame)} bytes is over {MAX_REQUEST_BYTES}: "
            "make the environment of the session smaller"
        )
    return frame


def _is_starting(reply: Reply) -> bool:
    return reply.error is not None and reply.error.code == _STARTING


def _typed_result(verb: Verb, reply: Reply) -> Any:
    try:
        return result_of(verb, reply)
    except msgspec.ValidationError as error:
        raise InternalError(
            f"the container manager's answer is not understood ({error}): hub and manager may be "
            "of different versions; run `juliabox up`"
        ) from None
