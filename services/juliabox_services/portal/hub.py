"""The hub's REST API, asked with the token of whoever calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

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

#: Seconds until the hub is given up, and requests to it at one time.
TIMEOUT = 20.0
PARALLEL = 64

_REFUSED: dict[int, Callable[[str], JuliaBoxError]] = {
    400: lambda said: RequestError(said, code="portal.hub_refused"),
    403: lambda said: PolicyError(said, code="portal.hub_refused"),
    404: lambda said: NotFoundError(said, code="portal.hub_refused"),
    409: lambda said: ConflictError(said, code="portal.hub_refused"),
    429: lambda said: NoRoomError(said, code="portal.hub_refused"),
}


class Hub:
    """The hub's API at ``url``, such as ``http://10.64.16.3:8081/hub/api``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = AsyncHTTPClient(force_instance=True, max_clients=PARALLEL)

    async def call(
        self, method: str, path: str, token: str, body: Any = None, accept: str = ""
    ) -> Any:
        """Return the answer to a request, decoded; ``path`` follows ``/hub/api``.

        Raise ``UnavailableError`` (``portal.hub``) while the hub is away, else the family that the
        status belongs to, with the hub's own message and the code ``portal.hub_refused``.
        """
        headers = {"Authorization": f"token {token}"}
        if accept:
            headers["Accept"] = accept
        request = HTTPRequest(
            self._url + path,
            method=method,
            headers=headers,
            body=None if body is None and method in {"GET", "DELETE"} else json.dumps(body or {}),
            allow_nonstandard_methods=True,
            request_timeout=TIMEOUT,
            connect_timeout=5.0,
        )
        try:
            answer = await self._http.fetch(request, raise_error=False)
        except (OSError, HTTPClientError, HTTPStreamClosedError, HTTPTimeoutError) as error:
            raise _away() from error
        return _result(answer)

    @contextlib.asynccontextmanager
    async def borrowed(
        self, owner: str, token: str, scope: str, seconds: int
    ) -> AsyncIterator[str]:
        """Give a token of a person that admits one thing for a moment; revoke it after."""
        path = f"/users/{segment(owner)}/tokens"
        body = {"note": "visit of the portal", "expires_in": seconds, "scopes": [scope]}
        made = await self.call("POST", path, token, body)
        try:
            yield str(made["token"])
        finally:
            with contextlib.suppress(JuliaBoxError):  # it ends by itself
                await self.call("DELETE", f"{path}/{segment(str(made['id']))}", token)

    def close(self) -> None:
        """Give the client up."""
        self._http.close()


def _result(answer: HTTPResponse) -> Any:
    if answer.code in {502, 503, 504, 599}:
        raise _away()
    if answer.code >= 500:
        raise InternalError("the hub failed; its log has the cause", code="portal.hub_failed")
    content = answer.body or b""
    try:
        value = msgspec.json.decode(content) if content else None
    except msgspec.DecodeError:
        value = None
    if answer.code >= 400:
        said = str(value.get("message", "")) if isinstance(value, dict) else ""
        refused = _REFUSED.get(answer.code, _REFUSED[400])
        raise refused(said or f"the hub answered {answer.code}")
    return value


def _away() -> UnavailableError:
    return UnavailableError(
        "JuliaBox's hub does not answer; try again in a moment", code="portal.hub"
    )


def segment(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")


class Shared:
    """Answers that callers share for a moment: one question under way at a time for each key.

    An error is shared as well, but not kept: the next caller asks again.
    """

    def __init__(self, seconds: float, most: int = 1000) -> None:
        self._seconds = seconds
        self._most = most
        self._kept: dict[Any, tuple[float, asyncio.Task[Any]]] = {}

    async def get(
        self,
        key: Any,
        ask: Callable[[], Awaitable[Any]],
        fresh: Callable[[Any], float] | None = None,
    ) -> Any:
        """Return what is known of ``key``, or what ``ask`` answers.

        ``fresh`` tells for how many seconds an answer is good, where that depends on the answer.
        """
        now = time.monotonic()
        made, task = self._kept.get(key, (0.0, None))
        if task is None or (task.done() and self._over(task, now - made, fresh)):
            if len(self._kept) >= self._most:
                self._kept = {
                    one: kept
                    for one, kept in self._kept.items()
                    if not kept[1].done() or now - kept[0] <= self._seconds
                }
            task = asyncio.ensure_future(_run(ask))
            self._kept[key] = (now, task)
        return await asyncio.shield(task)

    def _over(
        self, task: asyncio.Task[Any], age: float, fresh: Callable[[Any], float] | None
    ) -> bool:
        if task.cancelled() or task.exception() is not None:
            return True
        return age > (fresh(task.result()) if fresh is not None else self._seconds)

    def forget(self) -> None:
        """Let the next callers ask afresh."""
        self._kept = {key: kept for key, kept in self._kept.items() if not kept[1].done()}


async def _run(ask: Callable[[], Awaitable[Any]]) -> Any:
    return await ask()
