"""What every handler of the API engine shares: request ids, headers, who calls, and errors.

Every answer that is no success is a :class:`Fault`. No cookie is read anywhere, so nothing that a
browser sends by itself lets anybody in, and there is nothing for an XSRF token to guard.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol, cast

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from juliabox_ext.errors import InternalError, JuliaBoxError, RequestError
from juliabox_services.api.access import Callers, Identity, token_of
from juliabox_services.api.async_results import Results
from juliabox_services.api.engine_contract import Back, CallError
from juliabox_services.api.metrics import Metrics
from juliabox_services.api.models import Api, Caller, Fault, Version
from juliabox_services.api.openapi import Documents
from juliabox_services.api.rates import Rates, Room, TooMany
from juliabox_services.api.settings import ApiSettings
from juliabox_spawner.hub.logs import without_secrets

log = structlog.get_logger("juliabox.api")

#: Seconds for a large answer to be taken, and bytes from which on one is large.
ANSWER_SECONDS = 120.0
LARGE_ANSWER = 256 * 1024
#: Why a good answer is not given.
NO_ROOM = "Too many large answers are on their way"

#: Seconds after which to ask again where nothing better is known.
RETRY_AFTER = 2

#: Nothing that a function gives runs, loads anything, or is shown within another page.
POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"


class MethodRefused(RequestError):
    """The address does not know this method; ``allowed`` are those that it knows."""

    code = "api.method"
    status = 405

    def __init__(self, method: str, allowed: Sequence[str], message: str = "") -> None:
        super().__init__(message or f"{method} is not among the methods: {', '.join(allowed)}")
        self.allowed = allowed


class TooLarge(RequestError):
    """The body of a request is larger than the operator admits."""

    code = "api.large"
    status = 413


class SlowRequest(RequestError):
    """A request did not come whole in time."""

    code = "api.slow"
    status = 408


class WrongMedia(RequestError):
    """The body of a request is of a kind that nobody reads here."""

    code = "api.media"
    status = 415


class Publications(Protocol):
    """What is published, from memory."""

    def find(self, publisher: str, api: str) -> tuple[Api, Version]:
        """Return an API and its active version; raise ``NotFoundError`` (``api.unknown``)."""


class Calls(Protocol):
    """Where calls are noted, at once and without waiting."""

    def called(
        self,
        version: Version,
        function: str,
        status: int,
        seconds: float,
        *,
        printed: str = "",
        request: str = "",
        message: str = "",
    ) -> None:
        """Note one call and how it ended; ``message`` is why it failed."""


@dataclass(frozen=True)
class Front:
    """What a handler works with; it finds it as ``self.front``."""

    settings: ApiSettings
    published: Publications
    ledger: Calls
    back: Back
    callers: Callers
    rates: Rates
    results: Results
    metrics: Metrics
    #: For bodies of requests, and for large answers, that are on their way.
    room: Room
    documents: Documents = field(default_factory=Documents)
    #: Logger of the one line of each request.
    lines: FilteringBoundLogger = log


class Handler(RequestHandler):
    """Headers of every answer, and errors as JSON with a code and no traceback."""

    #: 32 hexadecimal digits, made for each request.
    request_id = ""
    #: Methods that the address knows.
    allowed: Sequence[str] = ()
    #: Who calls; ``None`` for somebody unknown.
    identity: Identity | None = None
    #: Publisher for whom room is taken.
    holder = ""
    _claimed = 0

    def set_default_headers(self) -> None:
        """Let no answer be kept, run, or read as something else."""
        # tornado sets the headers anew before it writes an error: the id stays
        self.request_id = self.request_id or secrets.token_hex(16)
        self.set_header("X-Request-Id", self.request_id)
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Server", "JuliaBox")

    @property
    def front(self) -> Front:
        """The engine's parts, as handlers need them."""
        front: Front = self.settings["front"]
        return front

    @property
    def caller(self) -> Caller:
        """Who calls, and whom the rate is counted for."""
        if self.identity is None:
            return Caller(counted=f"address {address_of(self)}")
        return Caller(name=self.identity.user, counted=self.identity.counted(self.holder))

    async def identify(self, api: Api | None = None) -> None:
        """Find out who calls, by the hub; leave ``identity`` empty without a token.

        Of who has the name of an API's publisher also find out which account it is.

        Raise ``LoginNeeded`` for a token that the hub does not know, ``TooMany`` for an address
        with many of those, ``UnavailableError`` (``api.hub``) while the hub is away.
        """
        said = self.request.headers.get("Authorization")
        if said is not None:
            token, address = token_of(said), address_of(self)
            self.identity = await self.front.callers.identify(token, address)
            if api is not None and api.account and self.identity.user == api.publisher:
                self.identity = await self.front.callers.identify(token, address, account=True)

    def compute_etag(self) -> None:
        """Make no digest of each answer."""

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        """Log a fault of ours with its traceback; all others are in the line of the request."""
        if not isinstance(value, JuliaBoxError | HTTPError) or isinstance(value, InternalError):
            log.error(
                "request broke", exc_info=(kind, value, trace), request=self.request_id,
                path=self.request.path,
            )  # fmt: skip

    def write_error(self, status_code: int, **details: Any) -> None:
        """Write an error: status, headers that go with it, and a fault."""
        if self.request.method not in self.SUPPORTED_METHODS or "Expect" in self.request.headers:
            # it is refused before its body is read, and then tornado ends the connection without
            # a word: the proxy would lose the next request on it
            self.set_header("Connection", "close")
        self.finish(self.fault(details.get("exc_info", (None, None, None))[1], status_code))

    def fault(self, error: BaseException | None, status: int) -> bytes:
        """Set status and headers for an error, and return the body that tells of it."""
        status, fault = describe(error, status)
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        if status == HTTPStatus.UNAUTHORIZED:
            self.set_header("WWW-Authenticate", 'Bearer realm="JuliaBox"')
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            # tornado itself refuses methods of which it has never heard
            allowed = error.allowed if isinstance(error, MethodRefused) else self.allowed
            self.set_header("Allow", ", ".join(allowed))
        if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            self.set_header("Retry-After", str(retry_after(error)))
        return msgspec.json.encode(fault)

    def send(self, value: Any, status: int = 0) -> None:
        """Answer with a value as JSON."""
        if status:
            self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(value))

    def claim(self, size: int) -> bool:
        """Take room for an answer, which :meth:`finish_large` gives back; tell whether there is.

        Answers that wait for their callers have the same room as bodies.
        """
        if size < LARGE_ANSWER:
            return True
        if not self.front.room.take(size, self.holder):
            return False
        self._claimed = size
        return True

    async def finish_large(self, chunk: bytes) -> None:
        """Finish; let go of who does not take a large answer in time."""
        claimed, self._claimed = self._claimed, 0
        if not claimed:
            self.finish(chunk)
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.finish(chunk)
        except TimeoutError:
            cast(HTTP1Connection, self.request.connection).close()
        except StreamClosedError:
            return
        finally:
            self.front.room.give(claimed, self.holder)

    async def send_piece(self, chunk: bytes) -> None:
        """Send a piece of an answer, and wait until it was taken; raise if there is no room for it.

        Raise ``TimeoutError`` if nobody takes a large one in time, ``StreamClosedError`` if the
        caller has gone.
        """
        if not self.claim(len(chunk)):
            raise crowded(NO_ROOM)
        claimed, self._claimed = self._claimed, 0
        self.write(chunk)
        try:
            async with asyncio.timeout(ANSWER_SECONDS if claimed else None):
                await self.flush()
        except BaseException:
            if claimed:
                # what was not taken would stay for as long as the caller likes
                cast(HTTP1Connection, self.request.connection).close()
            raise
        finally:
            self.front.room.give(claimed, self.holder)

    def line(self) -> dict[str, Any]:
        """Return what the log tells of the request besides its outcome."""
        return {
            "request": self.request_id,
            "caller": self.caller.counted,
            **self.asked(),
        }

    def asked(self) -> dict[str, Any]:
        """Return what the log tells of what was asked for."""
        return _line(self)


def address_of(handler: RequestHandler) -> str:
    """Return the address of a caller: the connection's, or what JuliaBox's own proxy says.

    Only the last entry of ``X-Forwarded-For`` is the proxy's; all before it, and other headers of
    the kind, are what the caller likes. An IPv6 caller is a network of 64 bits.
    """
    said = str(handler.request.remote_ip or "")
    if handler.settings["proxied"]:
        said = handler.request.headers.get("X-Forwarded-For", said).rpartition(",")[2].strip()
    return _counted(said)


@lru_cache(maxsize=10_000)
def _counted(said: str) -> str:
    """Return what an address is counted as."""
    try:
        address = ipaddress.ip_address(said)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return said


def log_request(handler: RequestHandler) -> None:
    """Count a request and log it in one line."""
    if isinstance(handler, Health):
        return
    status = handler.get_status()
    front: Front = handler.settings["front"]
    front.metrics.answered(type(handler).__name__, status)
    line = handler.line() if isinstance(handler, Handler) else _line(handler)
    front.lines.info(
        "request", **line, status=status, seconds=round(handler.request.request_time(), 5)
    )


def _line(handler: RequestHandler) -> dict[str, Any]:
    path = without_secrets(handler.request.path[:300])
    return {"method": handler.request.method, "path": path}


def describe(error: BaseException | None, status: int) -> tuple[int, Fault]:
    """Return the status and the fault that a caller sees of an error."""
    if isinstance(error, JuliaBoxError):
        status = error.http_status if isinstance(error, CallError) else error.status
        # an error of a publisher's source has these as well; what a call printed is for its log
        frames, output = getattr(error, "frames", None), getattr(error, "output", None)
        return status, Fault(code=error.code, message=error.message, frames=frames, output=output)
    if isinstance(error, HTTPError):
        status = error.status_code
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        said = error.log_message if isinstance(error, HTTPError) else None
        message = (said or HTTPStatus(status).phrase).partition("%")[0]
        return status, Fault(code=f"http.{status}", message=message)
    return 500, Fault(code="internal", message="The API engine failed; its log has the cause")


def crowded(message: str) -> CallError:
    """Return the error of a request for which there is no room beside others."""
    return CallError(message, code="api.overload", status=503)


def retry_after(error: BaseException | None) -> int:
    """Return the seconds after which a caller may try again."""
    if isinstance(error, CallError | TooMany) and error.retry_after:
        return error.retry_after
    return RETRY_AFTER


class Health(Handler):
    """Whether the engine answers, for ``juliabox status``."""

    def get(self) -> None:
        """Answer ``ok``."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("ok\n")
