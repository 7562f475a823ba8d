"""The connection with one worker: ZMQ over CURVE, one request at a time.

The worker listens, the engine connects; what lets the engine in is that it knows the public half of
the worker's key, which it made itself and told nobody. Plain sockets on the event loop's own
readers, since a call costs little more than its way through here.

A connection that was lost once is over: nothing is ever sent again by it, so that a request reaches
a worker at most once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Literal

import zmq
from zmq.utils.monitor import parse_monitor_message

from juliabox_manager.keys import KeyPair
from juliabox_services.api.intake import Intake
from juliabox_services.api.wire import MARGIN_BYTES, Garbled, Reply, read

#: Why a connection is over: the worker went away, did not answer in time, said what cannot be
#: read, or was let go.
Cause = Literal["lost", "timeout", "garbled", "closed"]

#: Replies of one request, and their bytes, that wait for whoever reads them before the worker must
#: wait; and how much is left when it may go on.
BACKLOG, BACKLOG_BYTES = 64, 1024**2
RESUME, RESUME_BYTES = 16, 256 * 1024
#: Bytes that libzmq may hold beside, in messages of the largest size, and their number at least and
#: at most. It cannot be lowered while messages come: libzmq 4.3 then stands still.
_UNREAD_BYTES, _FEWEST, _MOST = 64 * 1024**2, 2, 64
#: Messages that are read before others get their turn.
_PER_TURN = 20
_HEARTBEAT_MS, _SILENCE_MS = 2000, 6000
_HANDSHAKE_MS, _CONNECT_MS, _RECONNECT_MS = 5000, 2000, 30

#: Refused connections after which nobody listens any more: a worker did when it was told of.
_MOST_RETRIES = 30

_EVENTS = int(
    zmq.EVENT_CONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
)


class LinkEnded(Exception):
    """There will be no answer, for this cause; ``sent``: the worker may have got the request."""

    def __init__(self, cause: Cause, sent: bool) -> None:
        super().__init__(cause)
        self.cause: Cause = cause
        self.sent = sent


class Exchange:
    """One request, and what is answered to it until it is over.

    It goes on without anybody who waits for it: ``then`` is for those who must know the end.
    """

    __slots__ = (
        "_after",
        "_forgotten",
        "_replies",
        "_resume",
        "_size",
        "_waiter",
        "cause",
        "ended",
        "last",
        "sent",
    )

    def __init__(self, resume: Callable[[], None]) -> None:
        self._replies: deque[Reply] = deque()
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._after: list[Callable[[], None]] = []
        self._resume = resume
        self._forgotten = False
        self.ended = False
        self.sent = False
        #: What it ended with.
        self.last: Reply | None = None
        #: Why there was no last reply.
        self.cause: Cause | None = None

    @property
    def full(self) -> bool:
        """Whether as many replies wait as may."""
        return len(self._replies) >= BACKLOG or self._size >= BACKLOG_BYTES

    @property
    def size(self) -> int:
        """Bytes of the replies that wait."""
        return self._size

    async def next(self) -> Reply:
        """Return the next reply; raise :class:`LinkEnded`."""
        while not self._replies:
            if self.ended:
                raise LinkEnded(self.cause or "closed", self.sent)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        reply = self._replies.popleft()
        self._size -= _size(reply)
        if not self.ended and len(self._replies) <= RESUME and self._size <= RESUME_BYTES:
            self._resume()
        return reply

    def forget(self) -> None:
        """Let what is answered from now on be lost: nobody reads it."""
        self._forgotten = True
        self._replies.clear()
        self._size = 0
        if not self.ended:
            self._resume()

    def then(self, call: Callable[[], None]) -> None:
        """Call when it is over: at once if it is."""
        if self.ended:
            call()
        else:
            self._after.append(call)

    def take(self, reply: Reply) -> None:
        """Note a reply; called by the link."""
        if not self._forgotten:
            self._replies.append(reply)
            self._size += _size(reply)
        if reply.last:
            self.last = reply
            self._end()
        self._wake()

    def fail(self, cause: Cause) -> None:
        """Note that no further reply will come; called by the link."""
        if not self.ended:
            self.cause = cause
            self._end()
            self._wake()

    def _end(self) -> None:
        self.ended = True
        after, self._after = self._after, []
        for call in after:
            call()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Link:
    """A connection with the worker at ``endpoint`` whose public key is ``server_key``.

    ``keys`` are the engine's own, ``most`` the bytes of the largest body. ``lost`` is told once if
    it ends otherwise than by ``close``. To be made and used within the event loop.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        *,
        server_key: str,
        keys: KeyPair,
        most: int,
        lost: Callable[[Cause], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost = lost
        self._exchange: Exchange | None = None
        self._request = b""
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._retries = 0
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self.ended = False
        self._cause: Cause = "closed"
        self._intake = Intake(endpoint)
        self._socket = context.socket(zmq.DEALER)
        self._prepare(server_key, keys, most, ipv6="[" in endpoint)
        self._monitor: zmq.Socket[bytes] = self._socket.get_monitor_socket(_EVENTS)
        self._readers = [int(s.getsockopt(zmq.FD)) for s in (self._socket, self._monitor)]
        self._loop.add_reader(self._readers[0], self._readable)
        self._loop.add_reader(self._readers[1], self._news)
        self._socket.connect(endpoint)
        self._news()

    def _prepare(self, server_key: str, keys: KeyPair, most: int, ipv6: bool) -> None:
        """Set what protects the engine before the socket connects."""
        self._socket.curve_serverkey = server_key.encode()
        self._socket.curve_publickey = keys.public.encode()
        self._socket.curve_secretkey = keys.secret.encode()
        options = {
            zmq.LINGER: 0,
            zmq.MAXMSGSIZE: most + MARGIN_BYTES,
            zmq.SNDHWM: 10,
            zmq.RCVHWM: max(_FEWEST, min(_MOST, _UNREAD_BYTES // most)),
            zmq.HEARTBEAT_IVL: _HEARTBEAT_MS,
            zmq.HEARTBEAT_TIMEOUT: _SILENCE_MS,
            zmq.HANDSHAKE_IVL: _HANDSHAKE_MS,
            zmq.CONNECT_TIMEOUT: _CONNECT_MS,
            zmq.RECONNECT_IVL: _RECONNECT_MS,
            zmq.IPV6: int(ipv6),
        }
        for option, value in options.items():
            self._socket.setsockopt(option, value)

    async def connected(self) -> None:
        """Wait until the worker has proved its key; raise :class:`LinkEnded`."""
        await asyncio.shield(self._ready)

    def begin(self, request: bytes, message: bytes, deadline: float) -> Exchange:
        """Send a request, which must be answered until ``deadline`` of the loop's time."""
        exchange = Exchange(self._resume)
        if self.ended or self._exchange is not None or not self._ready.done():
            exchange.fail(self._cause)
            return exchange
        try:
            self._socket.send(message, zmq.DONTWAIT)
        except zmq.ZMQError:
            exchange.fail("lost")
            self._end("lost")
            return exchange
        exchange.sent = True
        self._exchange, self._request = exchange, request
        self._timer = self._loop.call_at(deadline, self._end, "timeout")
        self._again()
        return exchange

    def close(self, cause: Cause = "closed") -> None:
        """End it without telling; a request under way fails for this cause."""
        self._lost = _nothing
        self._end(cause)

    # -- what it holds (Holder) --------------------------------------------------------------------

    def held(self) -> int:
        """Return the bytes that the worker has sent and nobody has read."""
        waiting = self._exchange.size if self._exchange is not None else 0
        return waiting + self._intake.held(self._loop.time())

    def flooded(self) -> None:
        """End it: it holds more than there is room for."""
        self._end("garbled")

    # -- what comes in -----------------------------------------------------------------------------

    def _readable(self) -> None:
        """Read what is there, at most so much; libzmq tells of news once only."""
        for _ in range(_PER_TURN):
            if self.ended:
                return
            if self._paused:
                # takes the notice away, which would come again and again
                self._socket.getsockopt(zmq.EVENTS)
                return
            try:
                # of a message of several parts each is taken for one, as if sent by itself
                message = self._socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            self._take(message)
        self._loop.call_soon(self._readable)

    def _take(self, message: bytes) -> None:
        self._intake.read(len(message))
        try:
            request, reply = read(message)
        except Garbled:
            self._end("garbled")
            return
        exchange = self._exchange
        if exchange is None or request != self._request:
            # no request is ever given up without the connection: nothing can be late
            self._end("garbled")
            return
        if reply.last:
            self._exchange = None
            self._stop_timer()
        exchange.take(reply)
        self._paused = exchange.full and not reply.last

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._again()

    def _again(self) -> None:
        """Look again soon if something is there: sending uses up the notice of what came in."""
        if not self.ended and int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._loop.call_soon(self._readable)

    def _news(self) -> None:
        """Read what libzmq tells of the connection."""
        while not self.ended:
            try:
                told = parse_monitor_message(self._monitor.recv_multipart(zmq.DONTWAIT))
            except zmq.Again:
                return
            if told["event"] == zmq.EVENT_CONNECTED:
                self._intake.connected(told["value"])
            elif told["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                if not self._ready.done():
                    self._ready.set_result(None)
            elif not self._ready.done():
                self._retries += 1
                if self._retries > _MOST_RETRIES:
                    self._end("lost")
            elif told["event"] == zmq.EVENT_DISCONNECTED:
                # what the worker said last has come before this
                self._paused = False
                self._readable()
                self._end("lost")

    # -- the end -----------------------------------------------------------------------------------

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, cause: Cause) -> None:
        if self.ended:
            return
        self.ended, self._cause = True, cause
        self._stop_timer()
        self._intake.close()
        for reader in self._readers:
            self._loop.remove_reader(reader)
        with contextlib.suppress(zmq.ZMQError):
            self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)
        if not self._ready.done():
            self._ready.set_exception(LinkEnded(cause, False))
            # nobody need have waited for it
            self._ready.exception()
        exchange, self._exchange = self._exchange, None
        # the owner first: it must not hand the worker out when the request's end frees it
        lost, self._lost = self._lost, _nothing
        lost(cause)
        if exchange is not None:
            exchange.fail(cause)


def _size(reply: Reply) -> int:
    return len(reply.header) + len(reply.part)


def _nothing(_cause: Cause) -> None:
    pass
