"""Calls over HTTP: who may, with what, and how the answer is given."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import structlog

from juliabox_ext.errors import InternalError, JuliaBoxError, NotFoundError, UnavailableError
from juliabox_services.api import access, answers, arguments, streams_http
from juliabox_services.api.async_results import Outcome
from juliabox_services.api.base import (
    NO_ROOM,
    Front,
    Handler,
    MethodRefused,
    crowded,
    describe,
    retry_after,
)
from juliabox_services.api.bodies import BodyHandler
from juliabox_services.api.engine_contract import Answer, Call, CallError
from juliabox_services.api.models import Api, Function, Version
from juliabox_services.api.settings import INTERFACE
from juliabox_spawner.hub.logs import without_secrets

log = structlog.get_logger("juliabox.api")

#: Seconds that the back is given beyond the deadline to say itself that a call took too long.
GRACE = 5.0
#: Status in the log of a call whose caller did not wait for the answer.
GONE = 499
#: How callers are told who stopped an API.
_BY = {
    "owner": " by its publisher",
    "admin": " by an admin",
    "gone": ": its publisher has no account any more",
}


class CallHandler(BodyHandler):
    """``<publisher>/<api>/<function>/<argument>…``: one call."""

    allowed: tuple[str, ...] = ("GET", "POST", "OPTIONS")
    ends_with_caller = True
    version: Version | None = None
    function = ""
    given = arguments.Address("", "", "", 0, b"[]", b"{}")

    async def admit(self) -> None:
        """Find what is called; refuse who may not, the wrong method, and too many calls."""
        path = self.request.path.removeprefix(self.front.settings.prefix)
        self.given = arguments.read(path, self.request.query)
        self.function = self.given.function
        api, version = self.front.published.find(self.given.publisher, self.given.api)
        self.version, self.holder, options = version, version.publisher, version.options
        self.limit = self.front.settings.bounds.body
        allowed = answers.admit_origin(self._headers, self.request.headers, options.origins)
        method, function = str(self.request.method), _function(version, self.function)
        if function is not None and not self.given.size and not takes_none(function):
            self.allowed = ("POST", "OPTIONS")
        if method == "OPTIONS":
            if allowed:
                answers.admit_methods(self._headers, self.allowed[:-1])
            return
        if method not in {"GET", "POST"}:
            raise MethodRefused(method, self.allowed)
        await self.look(api, version)
        access.check(version, self.identity, api.account)
        if api.stopped:
            raise UnavailableError(
                f"{version.publisher}/{version.api} was stopped{_BY[api.stopped]}",
                code="api.stopped",
            )
        if function is None:
            raise _absent(version, self.function)
        if method == "GET":
            self._judge_get()
        self._spend(version)

    async def look(self, api: Api, version: Version) -> None:
        """Find out who calls, if that matters."""
        if version.options.access != "public":
            await self.identify(api)
        elif "Authorization" in self.request.headers:
            # anybody may call, whatever the hub would say; but who is known has a rate of their own
            self.identity = self.front.callers.known(self.request.headers["Authorization"])

    def _judge_get(self) -> None:
        if "GET" not in self.allowed:
            raise MethodRefused(
                "GET",
                self.allowed,
                f"{self.function} needs arguments: write them behind its name in the address, or "
                "POST them",
            )
        if self.coming:
            raise CallError("GET takes no body: send POST", code="api.body", status=400)

    def _spend(self, version: Version) -> None:
        key = (version.publisher, version.api, self.caller.counted)
        rate = version.options.rate or self.front.settings.bounds.rate
        self.front.rates.spend(key, rate)

    # -- methods

    def options(self) -> None:
        """Say which methods there are, and to whom a browser may let a page send them."""
        self.set_header("Allow", ", ".join(self.allowed))
        self.set_status(204)
        self.finish()

    async def post(self) -> None:
        """Carry the call out, with what the body adds to the address."""
        await self._answer(self.body())

    get = post

    # -- the call

    async def _answer(self, body: bytes) -> None:
        version = self.version
        assert version is not None  # noqa: S101  # admit() found it
        call = self._call(version, body)
        later, wait = answers.preferences(self.request.headers.get("Prefer", ""))
        if later:
            await self._later(version, call, wait)
            return
        if self.request.headers.get("Last-Event-ID") and self._wants_events():
            # a browser that connects again by itself must not make the call once more
            self.set_status(204)
            self.finish()
            return
        await self._now(version, call)

    async def _now(self, version: Version, call: Call) -> None:
        """Carry the call out while the caller waits."""
        began, events = time.monotonic(), self._wants_events()
        given: tuple[str, bytes] | None = None
        failed: JuliaBoxError | None = None
        try:
            async with asyncio.timeout_at(call.deadline + GRACE):
                answer = await self.front.back.call(version, call)
                if events and answer.items is not None:
                    failed = await streams_http.send(self, answer.items)
                else:
                    given = await whole(self.front, version, answer)
            if given is not None and not self.claim(len(given[1])):
                raise crowded(NO_ROOM)
        except asyncio.CancelledError:
            if not self.gone:
                raise
            note(self.front, version, call, began, error=_left())
            self.set_status(GONE, "Caller Gone")
            return
        except Exception as raised:
            error = as_error(raised)
            note(self.front, version, call, began, error=error)
            if error is raised:
                raise
            raise error from raised
        note(self.front, version, call, began, answer=answer, error=failed)
        if given is not None:
            await self._give(version, *given, events=events)

    def _call(self, version: Version, body: bytes) -> Call:
        bounds = self.front.settings.bounds
        timeout = min(version.options.timeout or bounds.timeout, bounds.longest_timeout)
        return Call(
            request=self.request_id,
            function=self.function,
            arguments=self.given.arguments,
            keywords=self.given.keywords,
            body=body,
            deadline=time.monotonic() + timeout,
        )

    def _wants_events(self) -> bool:
        return answers.wants_events(self.request.headers.get("Accept", ""))

    async def _give(self, version: Version, kind: str, body: bytes, *, events: bool) -> None:
        """Answer with a result."""
        self.add_header("Vary", "Accept, Authorization")
        if events and kind == answers.JSON:
            streams_http.begin(self)
            end = streams_http.event(b"null", name="end")
            await self.finish_large(streams_http.event(body, number=1) + end)
            return
        self.set_header("Content-Type", kind)
        if self.request.method == "GET":
            self.set_header("Cache-Control", answers.caching(version.options))
        if kind == "application/octet-stream":
            self.set_header("Content-Disposition", f'attachment; filename="{self.function}"')
        await self.finish_large(body)

    # -- for later

    async def _later(self, version: Version, call: Call, wait: float) -> None:
        """Answer with the address of the result, or with the result if it comes soon."""
        owner = self.caller.counted if self.identity is not None else ""
        work = outcome(self.front, version, call)
        results = self.front.results
        result = results.begin(call.request, owner, self.holder, version.options.origins, work)
        give_back = self.hand_over_room()
        result.task.add_done_callback(lambda _: give_back())
        self.set_header("Preference-Applied", "respond-async")
        try:
            if wait:
                await asyncio.wait({result.task}, timeout=wait)
        except asyncio.CancelledError:
            if not self.gone:
                raise
            results.forget(call.request)  # nobody has learnt where it would be
            self.set_status(GONE, "Caller Gone")
            return
        ended = result.outcome
        if ended is not None and self.claim(len(ended.body)):
            results.forget(call.request)
            await give(self, ended)
            return
        where = f"{self.front.settings.prefix}{INTERFACE}/results/{call.request}"
        self.set_header("Location", where)
        self.set_header("Retry-After", "1")
        self.send({"request": call.request, "result": where}, 202)

    def fault(self, error: BaseException | None, status: int) -> bytes:
        """Let pages of listed origins read errors, too: tornado has dropped the headers."""
        if self.version is not None:
            origins = self.version.options.origins
            answers.admit_origin(self._headers, self.request.headers, origins)
        return super().fault(error, status)

    def asked(self) -> dict[str, Any]:
        """Return which function was called; with what is the caller's own affair."""
        if self.version is None:
            return super().asked()
        return {
            "method": self.request.method,
            "api": f"{self.version.publisher}/{self.version.api}",
            "version": self.version.version,
            "function": without_secrets(self.function[:64]),
        }


def _function(version: Version, name: str) -> Function | None:
    return next((one for one in version.functions if one.name == name), None)


def _absent(version: Version, name: str) -> NotFoundError:
    names = ", ".join(one.name for one in version.functions)
    return NotFoundError(
        f"{version.publisher}/{version.api} has no function {name[:64]!r}; it has {names}",
        code="api.function",
    )


def takes_none(function: Function) -> bool:
    """Tell whether a function may be called without any positional argument."""
    return not function.methods or any(
        not any(argument.required for argument in method.arguments) for method in function.methods
    )


def as_error(raised: Exception) -> JuliaBoxError:
    """Return the error that a caller is told of whatever the back or an answer raised."""
    if isinstance(raised, JuliaBoxError):
        return raised
    if isinstance(raised, TimeoutError):
        return CallError("The call took too long", code="api.timeout", status=504)
    return InternalError("The API engine failed; its log has the cause")


def note(
    front: Front,
    version: Version,
    call: Call,
    began: float,
    *,
    answer: Answer | None = None,
    error: JuliaBoxError | None = None,
) -> None:
    """Count a call and keep what it printed."""
    status, message, printed = 200, "", ""
    if answer is not None:
        # a function that yields has printed all of it at its end
        printed = answer.printed or getattr(answer.items, "printed", "")
    if error is not None:
        status, message = describe(error, 500)[0], error.message
        printed = getattr(error, "printed", printed)
    seconds = time.monotonic() - began
    front.metrics.called(version.publisher, version.api, status, seconds)
    front.ledger.called(
        version,
        call.function,
        status,
        seconds,
        printed=printed,
        request=call.request,
        message=message,
    )


async def whole(front: Front, version: Version, answer: Answer) -> tuple[str, bytes]:
    """Return the type and all of an answer; raise :class:`CallError` if it cannot be given."""
    if answer.items is not None:
        return answers.JSON, await streams_http.gather(answer.items, front.settings.bounds.result)
    return answers.media(answer.type, version.options), answer.body


async def outcome(front: Front, version: Version, call: Call) -> Outcome:
    """Carry a call out that nobody waits for; return how it ended, whatever that is."""
    began = time.monotonic()
    try:
        async with asyncio.timeout_at(call.deadline + GRACE):
            answer = await front.back.call(version, call)
            kind, body = await whole(front, version, answer)
    except asyncio.CancelledError:
        note(front, version, call, began, error=_left())
        raise
    except Exception as raised:
        error = as_error(raised)
        if error is not raised and not isinstance(raised, TimeoutError):
            log.exception("a call broke", request=call.request)
        note(front, version, call, began, error=error)
        return _failed(error)
    note(front, version, call, began, answer=answer)
    return Outcome(status=200, type=kind, body=body)


def _failed(error: JuliaBoxError) -> Outcome:
    status, fault = describe(error, 500)
    again = retry_after(error) if status in {429, 503} else 0
    body = msgspec.json.encode(fault)
    return Outcome(status=status, type=answers.JSON, body=body, retry_after=again)


def _left() -> CallError:
    """Return the error of a call whose caller does not want its result any more."""
    return CallError("the caller went away", code="api.gone", status=GONE)


async def give(handler: Handler, ended: Outcome) -> None:
    """Answer as the call would have been answered at once; its room is claimed."""
    handler.set_status(ended.status)
    handler.set_header("Content-Type", ended.type)
    if ended.retry_after:
        handler.set_header("Retry-After", str(ended.retry_after))
    await handler.finish_large(ended.body)
