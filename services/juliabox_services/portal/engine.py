"""The engine of published APIs, asked with the token of whoever calls."""

from __future__ import annotations

import base64
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError

from juliabox_ext.errors import (
    ConflictError,
    InternalError,
    JuliaBoxError,
    NoRoomError,
    NotFoundError,
    PolicyError,
    RequestError,
    UnavailableError,
)
from juliabox_services.api.models import Fault
from juliabox_services.api.settings import INTERFACE
from juliabox_services.portal.models_apis import Tried
from juliabox_services.portal.trying import Made

T = TypeVar("T")

#: Seconds until the engine is given up: a source is loaded before it is saved. Requests at a time.
TIMEOUT = 150.0
PARALLEL = 32
#: Seconds that a test call may take, test calls at a time, and those of one person.
CALL = 660.0
CALLS = 32
EACH = 4
#: Largest answer of the interface, and how much of the answer to a test call is shown, in bytes.
MOST = 8 * 1024**2
SHOWN = 256 * 1024

#: Kinds of content that are shown as text, beside ``text/…``.
_TEXTS = {"application/json", "text/event-stream", ""}

_REFUSED: dict[int, Callable[[Fault], JuliaBoxError]] = {
    401: lambda said: PolicyError(said.message, code=said.code),
    403: lambda said: PolicyError(said.message, code=said.code),
    404: lambda said: NotFoundError(said.message, code=said.code),
    409: lambda said: ConflictError(said.message, code=said.code),
    429: lambda said: NoRoomError(said.message, code=said.code),
}
_AWAY = (OSError, HTTPClientError, HTTPStreamClosedError, HTTPTimeoutError)


class SourceRefused(RequestError):
    """A request that the engine refused; ``fault`` has where in the source, and what it printed."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message, code=fault.code)
        self.fault = fault


class Engine:
    """The engine at ``url``, such as ``http://10.64.16.5:8093/services/api/``; empty: none."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = AsyncHTTPClient(force_instance=True, max_clients=PARALLEL, max_body_size=MOST)
        self._calls = AsyncHTTPClient(force_instance=True, max_clients=CALLS)
        #: Person -> test calls under way.
        self._under_way: Counter[str] = Counter()

    @property
    def available(self) -> bool:
        """Whether this installation runs published APIs."""
        return bool(self._url)

    def demand(self) -> None:
        """Raise ``NotFoundError`` (``portal.apis``) where there is no engine."""
        if not self._url:
            raise NotFoundError(
                "this installation does not run published APIs; its operator can turn them on "
                "with `juliabox config set apis.enabled true`",
                code="portal.apis",
            )

    async def ask(self, kind: type[T], method: str, path: str, token: str, body: Any = None) -> T:
        """Return the interface's answer to a request; ``path`` follows ``/services/api/_/``.

        Raise ``UnavailableError`` (``portal.engine``) while the engine is away, else the family
        that the status belongs to, with the engine's own code and message.
        """
        return _decoded(await self._fetch(method, f"{INTERFACE}/{path}", token, body), kind)

    async def document(self, path: str, token: str) -> dict[str, Any]:
        """Return the object that lies at a path below the engine's address."""
        return _decoded(await self._fetch("GET", path, token), dict[str, Any])

    async def _fetch(self, method: str, path: str, token: str, body: Any = None) -> HTTPResponse:
        self.demand()
        request = HTTPRequest(
            self._url + path,
            method=method,
            headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
            body=msgspec.json.encode(body) if method in {"POST", "PUT"} else None,
            allow_nonstandard_methods=True,
            request_timeout=TIMEOUT,
            connect_timeout=5.0,
            follow_redirects=False,
        )
        try:
            answer = await self._http.fetch(request, raise_error=False)
        except _AWAY as error:
            raise _away() from error
        if answer.code >= 400:
            raise _refusal(answer)
        return answer

    @contextlib.contextmanager
    def one_of(self, name: str) -> Iterator[None]:
        """Count a person's test call; raise ``NoRoomError`` (``portal.calls``) for one too many."""
        if self._under_way[name] >= EACH:
            raise NoRoomError(
                f"{EACH} test calls of yours are under way; wait for one", code="portal.calls"
            )
        self._under_way[name] += 1
        try:
            yield
        finally:
            self._under_way[name] -= 1
            self._under_way += Counter()  # forget who has none

    async def call(self, api: str, made: Made, token: str) -> Tried:
        """Make a test call of the API at a path, whatever it is answered with."""
        self.demand()
        kept, size = bytearray(), 0

        def keep(chunk: bytes) -> None:
            nonlocal size
            size += len(chunk)
            kept.extend(chunk[: SHOWN - len(kept)])

        headers = {"Authorization": f"token {token}", "Accept": "application/json, */*;q=0.5"}
        if made.body is not None:
            headers["Content-Type"] = "application/json"
        request = HTTPRequest(
            f"{self._url}{api}{made.path}",
            method=made.method,
            headers=headers,
            body=made.body,
            streaming_callback=keep,
            request_timeout=CALL,
            connect_timeout=5.0,
            follow_redirects=False,
        )
        began = time.monotonic()
        try:
            answer = await self._calls.fetch(request, raise_error=False)
        except _AWAY as error:
            raise _away() from error
        if answer.code == 599:
            raise _away()
        return _tried(answer, bytes(kept), size > SHOWN, time.monotonic() - began, made)

    def close(self) -> None:
        """Give the clients up."""
        self._http.close()
        self._calls.close()


def _decoded(answer: HTTPResponse, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body or b"null", type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _failed(f"its answer is not understood: {error}") from error


def _tried(answer: HTTPResponse, content: bytes, cut: bool, seconds: float, made: Made) -> Tried:
    kind = str(answer.headers.get("Content-Type", "")).partition(";")[0].strip().lower()
    textual = kind in _TEXTS or kind.startswith("text/")
    return Tried(
        status=answer.code,
        type=kind,
        text=content.decode(errors="replace") if textual else "",
        data="" if textual else base64.b64encode(content).decode(),
        cut=cut,
        seconds=round(seconds, 4),
        request=str(answer.headers.get("X-Request-Id", "")),
        method=made.method,
        address=made.path,
        body=made.body or "",
    )


def _refusal(answer: HTTPResponse) -> JuliaBoxError:
    """Return what an answer that is no success becomes."""
    try:
        said = msgspec.json.decode(answer.body or b"", type=Fault)
    except (msgspec.DecodeError, RecursionError):
        said = None
    if answer.code in {502, 503, 504, 599}:
        return UnavailableError(said.message, code=said.code) if said else _away()
    if answer.code >= 500 or said is None:
        return _failed(f"it answered {answer.code}")
    if said.frames or said.output:
        return SourceRefused(said)
    refused = _REFUSED.get(answer.code)
    return refused(said) if refused else RequestError(said.message, code=said.code)


def _away() -> UnavailableError:
    return UnavailableError(
        "JuliaBox's engine of APIs does not answer; try again in a moment", code="portal.engine"
    )


def _failed(why: str) -> InternalError:
    return InternalError(f"the engine of APIs failed: {why}", code="portal.engine_failed")
