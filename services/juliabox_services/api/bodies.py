"""Bodies of requests as they come in: not too large, not too slow, not too many at one time.

Who is refused is told so when the body is over, also if there is none: an answer that is sent while
the caller still sends may be lost with the connection, and the proxy stumbles over it. So what is
left of a body is read and thrown away, slowly, and not for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from tornado.http1connection import HTTP1Connection
from tornado.web import Finish, HTTPError, stream_request_body

from juliabox_ext.errors import JuliaBoxError
from juliabox_services.api.base import Handler, SlowRequest, TooLarge, WrongMedia, crowded
from juliabox_services.api.rates import Room

#: Seconds for a body to come.
BODY_SECONDS = 20.0
#: Bytes of a body that are thrown away as they come, and seconds of rest after each piece of more.
DISCARDED = 4 * 1024**2
REST = 0.005
#: Seconds between an answer in the middle of a body and the end of the connection.
LINGER = 3.0

_UNBOUNDED = 2**62


@stream_request_body
class BodyHandler(Handler):
    """Reads a body up to a bound; ``admit`` says who may send one at all.

    The method that answers is called when the body is over, and not if the request is refused.
    """

    #: Whether the work ends when its caller goes away.
    ends_with_caller = False
    #: Bytes of the largest body.
    limit = 0

    def initialize(self, *_: Any, **__: Any) -> None:
        """Begin without a body."""
        self.task: asyncio.Task[None] | None = None
        self.gone = False
        self.refusal: JuliaBoxError | HTTPError | None = None
        self._content = bytearray()
        self._held = 0
        self._discarded = 0
        self._timer: asyncio.TimerHandle | None = None
        self._told = False
        self._whole = False

    @property
    def room(self) -> Room:
        """Where the bytes of bodies are counted."""
        return self.front.room

    @property
    def patience(self) -> float:
        """Seconds for a body to come."""
        return float(self.settings.get("body_seconds", BODY_SECONDS))

    async def admit(self) -> None:
        """Raise what speaks against this request, by its address and headers."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Judge the request before its body comes; a refusal waits for the body to be over."""
        # the handler's own task, which a caller who goes away ends
        self.task = cast("asyncio.Task[None]", asyncio.current_task())
        method = str(self.request.method).lower()
        # tornado looks for the method when the body is over
        setattr(self, method, partial(self._when_whole, getattr(self, method)))
        if self.coming:
            self._expect()
        try:
            await self.admit()
            self.judge_body()
        except (JuliaBoxError, HTTPError) as error:
            # before a request is read tornado ends its connection without a word, and the proxy
            # would lose the next request on it; its callers have been told to send anyway
            if self.request.headers.get("Expect") and not self.settings["proxied"]:
                raise
            self.refusal = error

    def _when_whole(self, answer: Callable[..., Any], *parts: str) -> Any:
        """Answer now that all of the body is there; raise what the request is refused for."""
        self._stop_timer()
        self._whole = True
        if self._told:
            raise Finish
        if self.refusal is not None:
            raise self.refusal
        return answer(*parts)

    @property
    def coming(self) -> bool:
        """Whether the request has a body."""
        headers = self.request.headers
        return "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"

    def _expect(self) -> None:
        connection = cast(HTTP1Connection, self.request.connection)
        # tornado would answer with 400, or with nothing: what is too much or too slow is told here
        connection.set_max_body_size(_UNBOUNDED)
        connection.set_body_timeout(4 * BODY_SECONDS)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.patience, self._break_off)

    def judge_body(self) -> None:
        """Refuse by what the headers tell of the body."""
        if not self.coming:
            return
        headers = self.request.headers
        length = headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > self.limit:
            raise _too_large(self.limit)
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise WrongMedia("A body must come as it is, without Content-Encoding")
        self.judge_kind(headers.get("Content-Type", "application/json"))

    def judge_kind(self, kind: str) -> None:
        """Refuse a body by its ``Content-Type``."""
        kind = kind.partition(";")[0].strip().lower()
        if kind != "application/json" and not (
            kind.startswith("application/") and kind.endswith("+json")
        ):
            raise WrongMedia("A body must be JSON: send Content-Type: application/json")

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Keep a piece of the body, or throw it away."""
        if self.refusal is None and not self._told:
            if len(self._content) + len(chunk) > self.limit:
                self.refusal = _too_large(self.limit)
            elif not self.room.take(len(chunk), self.holder):
                self.refusal = crowded("Too many large requests come in at one time")
            else:
                self._held += len(chunk)
                self._content += chunk
                return None
            self._free()
        return self.discard(chunk)

    def discard(self, chunk: bytes) -> Awaitable[None] | None:
        """Throw a piece of the body away, slowly if there were many."""
        self._discarded += len(chunk)
        return asyncio.sleep(REST) if self._discarded > DISCARDED else None

    def body(self) -> bytes:
        """Return the body, once; its room is held until the request is over."""
        content, self._content = bytes(self._content), bytearray()
        return content

    def hand_over_room(self) -> Callable[[], None]:
        """Keep the room of the body beyond the request; return what gives it back, once."""
        held, self._held = self._held, 0
        return partial(self.room.give, held, self.holder)

    def _break_off(self) -> None:
        """Answer while the body still comes; the connection ends soon after."""
        if self._finished:
            return
        error = self.refusal or SlowRequest(f"The body did not come within {self.patience:g} s")
        self._told = True
        self._free()
        self.clear()
        content = self.fault(error, 500)
        self.set_header("Content-Length", str(len(content)))
        self.set_header("Connection", "close")
        self.write(content)
        self.flush()
        self._timer = asyncio.get_running_loop().call_later(LINGER, self._end)

    def _end(self) -> None:
        self._timer = None
        if not self._finished:
            self.finish()

    def on_connection_close(self) -> None:
        """End the work for a caller who went away."""
        super().on_connection_close()
        self._stop_timer()
        self._free()
        if self._told:
            self._end()
        elif self._whole and not self._finished:
            # before, tornado itself lets go of it
            self.gone = True
            if self.ends_with_caller and self.task is not None:
                self.task.cancel()

    def on_finish(self) -> None:
        """Give the room of the body back."""
        self._stop_timer()
        self._free()
        # what was put before the method refers to its handler
        vars(self).pop(str(self.request.method).lower(), None)
        super().on_finish()

    def _free(self) -> None:
        self.room.give(self._held, self.holder)
        self._held = 0
        self._content = bytearray()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class UnreadHandler(BodyHandler):
    """Answers without the body of a request, when that is over."""

    def judge_body(self) -> None:
        """Refuse none."""

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Throw a piece of the body away."""
        return self.discard(chunk)


class Absent(UnreadHandler):
    """Every address that there is not."""

    async def admit(self) -> None:
        """Answer 404."""
        raise HTTPError(404, "There is nothing at this address")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is over {limit} bytes")
