"""The manager's one door: a ROUTER over CURVE that admits typed requests of known clients.

What arrives is refused, cheapest check first, before any code of a verb runs: by key (ZAP), frame
size (``MAXMSGSIZE``), frame count, schema, the client's verbs, and the number of its requests in
flight. Who asks is what libzmq's ``User-Id`` says of the authenticated key, never what was sent.

A request is named by client and id. While it runs, a repetition waits for the same task; after
that, the recorded answer of a changing verb is sent again, so it is executed once. A deadline ends
the waiting, not the work: its answer is recorded for the retry.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
import zmq
import zmq.asyncio

from juliabox_ext.errors import (
    InternalError,
    JuliaBoxError,
    NoRoomError,
    PolicyError,
    RequestError,
)
from juliabox_manager.in_flight import AnswerStore, InFlight
from juliabox_manager.keys import check_public_key, load_key
from juliabox_manager.metrics import METRICS, Metrics
from juliabox_manager.protocol import (
    MAX_REQUEST_BYTES,
    ZAP_DOMAIN,
    AnyVerb,
    Reply,
    Request,
    RequestId,
    Verb,
    decode_request,
    encode,
    error_info,
)
from juliabox_manager.settings import ManagerSettings
from juliabox_manager.verbs import verb_tag, verbs_allowed
from juliabox_manager.zap import start_admission

__all__ = ["AnswerStore", "Server"]

Handle = Callable[[str, Verb], Awaitable[Any]]

#: Milliseconds in which a connection must have proved its key.
HANDSHAKE_MS = 3000
#: Requests of one client that run at the same time.
MAX_IN_FLIGHT = 256
#: Requests, and replies, that libzmq keeps for one connection. All requests in flight may end at
#: once: their replies must find room, since a reply that finds none is dropped and asked again.
REQUESTS_QUEUED, REPLIES_QUEUED = 64, 2 * MAX_IN_FLIGHT
#: Seconds for requests in flight when the server closes.
CLOSE_GRACE = 5.0
_HEARTBEAT_MS = 10_000
_LINGER_MS = 500
#: Seconds from the last reply to the end of connections: what a client has not taken by then is
#: lost with its connection, and it has to ask the next manager.
_PARTING = 0.25
_FRAMES_PER_TURN = 1000
_MAX_DETAIL = 300

log = structlog.get_logger("juliabox.server")


class _Envelope(msgspec.Struct):
    """What is read of a refused request, so that its sender learns the reason."""

    id: RequestId


_envelope_decoder = msgspec.msgpack.Decoder(_Envelope)


class Server:
    """Serve ``handle(client_name, verb)`` to the clients of the settings.

    ``handle`` answers a result or raises a ``JuliaBoxError``; anything else becomes an
    ``InternalError`` with a reference that the log explains. ``run`` ends only with ``close``, or
    by an error when the admission of clients has died.
    """

    def __init__(
        self,
        settings: ManagerSettings,
        handle: Handle,
        answers: AnswerStore,
        metrics: Metrics = METRICS,
    ) -> None:
        self._handle = handle
        self._metrics = metrics
        self._listen = settings.listen
        self._clients = {name: client.public_key for name, client in settings.clients.items()}
        # here already: a manager with wrong settings touches nothing
        for name, public in self._clients.items():
            check_public_key(name, public)
        self._verbs = {
            name: verbs_allowed(name, client.verbs) for name, client in settings.clients.items()
        }
        self._keys = load_key(settings.secret_key)
        self._in_flight = InFlight(answers, self._keys.secret.encode(), self._perform, self._send)
        self._context = zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        #: When the last reply was sent.
        self._sent = 0.0
        self._stopping = asyncio.Lock()
        #: Set once the socket listens.
        self.listening = asyncio.Event()

    @property
    def admitting(self) -> bool:
        """Whether clients are admitted and their requests read."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    @property
    def endpoint(self) -> str:
        """The address that the socket listens on, with the port that was picked for ``*``."""
        if self._socket is None:
            return self._listen
        return self._socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")  # type: ignore[union-attr]

    async def run(self) -> None:
        """Serve until closed; raise ``InternalError`` when admission or reading ends otherwise."""
        admission, admission_task = start_admission(self._context, self._clients)
        self._tasks.append(admission_task)
        try:
            self._socket = self._open_socket()
            self._tasks.append(asyncio.create_task(self._receive_forever(), name="receive"))
            self.listening.set()
            log.info("listening", endpoint=self.endpoint, clients=sorted(self._clients))
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            if not self._closing:
                ended = next(task for task in self._tasks if task.done())
                cause = None if ended.cancelled() else ended.exception()
                message = f"the manager's {ended.get_name()} task ended; nothing is admitted"
                raise InternalError(message) from cause
        finally:
            admission.close()
            await self._stop()

    async def close(self) -> None:
        """Stop reading, let requests in flight end for a while, then close everything."""
        if self._closing:
            return
        self._closing = True
        await self._stop()

    async def _stop(self) -> None:
        """Close in order: no more reading, works in flight, their last replies, the context."""
        async with self._stopping:
            self.listening.clear()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._in_flight.close(CLOSE_GRACE)
            if self._socket is not None and not self._socket.closed:
                await asyncio.sleep(self._sent + _PARTING - time.monotonic())
                self._socket.close(linger=_LINGER_MS)
            if not self._context.closed:
                await asyncio.to_thread(self._context.term)

    def _open_socket(self) -> zmq.asyncio.Socket:
        """Return the bound ROUTER; every limit is set before it listens."""
        socket = self._context.socket(zmq.ROUTER)
        socket.curve_server = True
        socket.curve_secretkey = self._keys.secret.encode()
        socket.curve_publickey = self._keys.public.encode()
        socket.zap_domain = ZAP_DOMAIN.encode()
        options = {
            zmq.ZAP_ENFORCE_DOMAIN: 1,
            zmq.ROUTER_MANDATORY: 1,
            zmq.MAXMSGSIZE: MAX_REQUEST_BYTES,
            zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
            zmq.RCVHWM: REQUESTS_QUEUED,
            zmq.SNDHWM: REPLIES_QUEUED,
            zmq.HEARTBEAT_IVL: _HEARTBEAT_MS,
            zmq.HEARTBEAT_TIMEOUT: 3 * _HEARTBEAT_MS,
            zmq.LINGER: 0,
            zmq.IPV6: int("[" in self._listen),
        }
        for option, value in options.items():
            socket.setsockopt(option, value)
        socket.bind(self._listen)
        return socket

    # -- from the wire ---------------------------------------------------------------------------

    async def _receive_forever(self) -> None:
        assert self._socket is not None  # noqa: S101  (run opens it first; for the type checker)
        while True:
            # waiting for what is there already does not give way: a flood would starve all else
            await asyncio.sleep(0)
            first = await self._socket.recv(copy=False)
            payload, count = await self._read_rest(self._socket, first)
            if payload is None or count != 1:
                self._refuse("frames", None, f"{count} frames")
                continue
            client = _user_id(payload)
            if client not in self._verbs:
                self._refuse("client", None, "no authenticated client")
                continue
            self._accept(first.bytes, client, payload.bytes)

    async def _read_rest(
        self, socket: zmq.asyncio.Socket, first: zmq.Frame
    ) -> tuple[zmq.Frame | None, int]:
        """Read a message to its end; keep one frame, however many there are, and their number."""
        payload, count, more = None, 0, first.more
        # a message is delivered whole, so the plain socket never has to wait for its rest
        plain: zmq.Socket[bytes] = zmq.Socket.shadow(socket.underlying)
        while more:
            frame = plain.recv(zmq.DONTWAIT, copy=False)
            count, more = count + 1, frame.more
            payload = payload or frame
            if count % _FRAMES_PER_TURN == 0:
                await asyncio.sleep(0)
        return payload, count

    def _accept(self, identity: bytes, client: str, frame: bytes) -> None:
        """Admit one frame of an authenticated client, or answer why not."""
        try:
            request = decode_request(frame)
        except RequestError as error:
            self._refuse("schema", client, error.message)
            request_id = _readable_id(frame)
            if request_id is not None:
                error.message = _bounded(error.message)
                self._send(identity, encode(Reply(request_id, error=error_info(error))))
            return
        try:
            self._admit(identity, client, request)
        except JuliaBoxError as error:
            self._refuse(error.code, client, error.message, verb_tag(type(request.body)))
            self._send(identity, encode(Reply(request.id, error=error_info(error))))

    def _admit(self, identity: bytes, client: str, request: Request) -> None:
        """Join a request to its work in flight or begin it; raise what refuses it."""
        if type(request.body) not in self._verbs[client]:
            tag = verb_tag(type(request.body))
            raise PolicyError(f"client {client!r} may not use {tag}", code="policy.verb")
        if self._in_flight.join(identity, client, request):
            return
        if self._in_flight.count(client) >= MAX_IN_FLIGHT:
            raise NoRoomError(
                f"client {client!r} has {MAX_IN_FLIGHT} requests in flight: ask again later",
                code="no_room.requests",
            )
        self._in_flight.begin(identity, client, request)

    def _refuse(self, reason: str, client: str | None, detail: str, verb: str = "") -> None:
        """Write the audit line of a refusal and count it."""
        self._metrics.refusals.labels(reason).inc()
        log.warning(
            "request refused",
            audit=True,
            reason=reason,
            client=client,
            verb=verb,
            detail=_bounded(detail),
        )

    # -- the work --------------------------------------------------------------------------------

    async def _perform(self, client: str, request: Request) -> Reply:
        """Run the verb once; whatever happens becomes a reply."""
        tag, begun = verb_tag(type(request.body)), asyncio.get_running_loop().time()
        outcome = "ok"
        try:
            result = await self._handle(client, request.body)
            reply = Reply(request.id, result=result)
            encode(reply)
        except JuliaBoxError as error:
            outcome = type(error).__name__
            reply = Reply(request.id, error=error_info(error))
            self._tell_refusal(client, request, error)
        except Exception:
            outcome = "InternalError"
            reference = request.id[:8]
            log.exception("request failed", client=client, verb=tag, reference=reference)
            fault = InternalError(
                f"the manager failed at {tag}: look for reference {reference} in its log "
                "(juliabox logs manager)"
            )
            reply = Reply(request.id, error=error_info(fault))
        seconds = asyncio.get_running_loop().time() - begun
        self._metrics.requests.labels(tag, client, outcome).inc()
        self._metrics.request_seconds.labels(tag).observe(seconds)
        return reply

    def _tell_refusal(self, client: str, request: Request, error: JuliaBoxError) -> None:
        log.warning(
            "request refused" if isinstance(error, PolicyError) else "request not fulfilled",
            audit=isinstance(error, PolicyError),
            reason=error.code,
            client=client,
            verb=verb_tag(type(request.body)),
            detail=_bounded(error.message),
            **_subject(request.body),
        )

    # -- to the wire -----------------------------------------------------------------------------

    def _send(self, identity: bytes, reply: bytes) -> None:
        """Send without waiting; a peer that is gone or does not read asks again by id."""
        if self._socket is None or self._socket.closed:
            return
        self._sent = time.monotonic()
        sent = self._socket.send_multipart([identity, reply], zmq.DONTWAIT)
        assert isinstance(sent, asyncio.Future)  # noqa: S101  (pyzmq's type is wider)
        if sent.done() and not sent.cancelled() and (error := sent.exception()) is not None:
            self._metrics.refusals.labels("reply_undelivered").inc()
            log.info("reply not delivered", cause=str(error))


def _user_id(frame: zmq.Frame) -> str:
    """Return the client name that ZAP gave to the frame's connection; empty if there is none."""
    try:
        name = frame.get("User-Id")
    except (zmq.ZMQError, KeyError, UnicodeError):
        return ""
    return name if isinstance(name, str) else ""


def _readable_id(frame: bytes) -> str | None:
    try:
        return _envelope_decoder.decode(frame).id
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _bounded(text: str) -> str:
    return text if len(text) <= _MAX_DETAIL else text[:_MAX_DETAIL] + "…"


def _subject(verb: AnyVerb) -> dict[str, str]:
    """Return whom a verb is about; never its environment."""
    names = ("owner", "server", "session", "image")
    return {name: value for name in names if isinstance(value := getattr(verb, name, None), str)}
