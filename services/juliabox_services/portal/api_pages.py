"""Data of the pages of published APIs, and the routes that these call."""

from __future__ import annotations

import asyncio
import re
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec

from juliabox_ext.errors import JuliaBoxError, NotFoundError, PolicyError
from juliabox_services.api.engine_contract import Checked
from juliabox_services.api.models import Detail, LogLine, SaveRequest, Stats, Version
from juliabox_services.portal.engine import SourceRefused
from juliabox_services.portal.handlers import ApiHandler, Handler
from juliabox_services.portal.hub import segment
from juliabox_services.portal.models import Tokens
from juliabox_services.portal.models_admin import PublishedApis
from juliabox_services.portal.models_apis import (
    ActivateVersion,
    ApiPage,
    Audited,
    CheckSource,
    Listed,
    MyApis,
    Publisher,
    TryCall,
)
from juliabox_services.portal.person_pages import make_token, tokens
from juliabox_services.portal.trying import make_call

#: Largest body of a save: a source of 200,000 characters, each escaped.
SAVE_BYTES = 1300 * 1024
#: Lines of a log at a time, hours of figures, and changes of APIs that admins see.
LINES = 500
HOURS = 168
AUDIT = 100
#: Seconds that a token for one test call is good for.
BORROWED = 60

_API = re.compile(r"[a-z][a-z0-9-]{0,39}\Z")
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_!]{0,63}\Z")
_VERSION = re.compile(r"[1-9][0-9]{0,8}\Z")
#: Scopes of every token: whose it is.
_OWNER = ("read:users:name!", "read:users:groups!")
#: Names that an address gives another meaning.
_NOBODY = {"", ".", "..", "_"}


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of the engine's log, and of the portal's."""

    lines: list[LogLine]


def path_of(publisher: str, api: str) -> str:
    """Return ``PUBLISHER/API`` for an address; raise ``NotFoundError`` for what is no such name."""
    if publisher in _NOBODY or "/" in publisher or not _API.match(api):
        raise NotFoundError(f"there is no API {publisher}/{api}", code="portal.apis")
    return f"{segment(publisher)}/{api}"


def scope_of(publisher: str, api: str) -> str:
    """Return the scope that admits calls of one API and nothing else."""
    return f"custom:juliabox:call!server={publisher}/{api}"


def only(scope: str, scopes: list[str]) -> bool:
    """Tell whether a token admits one thing, beside telling whose it is, which all do."""
    return {one for one in scopes if not one.startswith(_OWNER)} == {scope}


async def my_apis(handler: Handler, _: str = "") -> MyApis:
    """Return the caller's own APIs, and those of others that the caller may call."""
    engine, token = handler.parts.engine, handler.token
    if not engine.available:
        return MyApis()
    me, own, shared = await asyncio.gather(
        engine.ask(Publisher, "GET", "me", token),
        engine.ask(Listed, "GET", "apis", token),
        engine.ask(Listed, "GET", "apis?shared=1", token),
    )
    return MyApis(
        available=True,
        publisher=me.publisher,
        own=own.apis,
        shared=[one for one in shared.apis if one.publisher != handler.name],
        most=me.bounds.apis_per_publisher,
    )


async def published(handler: Handler) -> Any:
    """Return the active versions of the caller's own APIs; why not, if they cannot be had."""
    engine, token = handler.parts.engine, handler.token
    try:
        own = await engine.ask(Listed, "GET", "apis", token)
        found = await asyncio.gather(
            *(
                engine.ask(Detail, "GET", f"apis/{path_of(one.publisher, one.api)}", token)
                for one in own.apis
            )
        )
    except JuliaBoxError as error:
        return {"code": error.code, "message": error.message}
    return [one.version for one in found]


async def all_apis(handler: Handler, _: str = "") -> PublishedApis:
    """Return the APIs of all publishers, and the latest changes of them."""
    engine, token = handler.parts.engine, handler.token
    if not engine.available:
        return PublishedApis()
    found, audit = await asyncio.gather(
        engine.ask(Listed, "GET", "apis?all=1", token),
        engine.ask(Audited, "GET", "audit", token),
    )
    rows = sorted(audit.rows, key=lambda row: -row.time)
    return PublishedApis(apis=found.apis, audit=rows[:AUDIT], available=True)


async def api(handler: Handler, which: str = "") -> ApiPage:
    """Return one API; of the caller's own also one that is still to be published."""
    publisher, _, name = which.rpartition("/")
    engine, where = handler.parts.engine, path_of(publisher, name)
    me = await engine.ask(Publisher, "GET", "me", handler.token)
    detail: Detail | None = None
    try:
        detail = await engine.ask(Detail, "GET", f"apis/{where}", handler.token)
    except NotFoundError:
        if publisher != handler.name or not me.publisher:
            raise
    return ApiPage(
        publisher=publisher,
        api=name,
        detail=detail,
        mine=detail.mine if detail is not None else True,
        changes=detail.changes if detail is not None else True,
        bounds=me.bounds,
        host=handler.portal.api_host,
        url=f"{handler.portal.base_url}services/api/{where}/",
    )


class EngineRoute(ApiHandler):
    """A route that the engine answers."""

    def write_error(self, status_code: int, **details: Any) -> None:
        """Say where in a source the fault is, where the engine says it."""
        error = details.get("exc_info", (None, None, None))[1]
        if isinstance(error, SourceRefused):
            self.answer(error.fault, error.status)
            return
        super().write_error(status_code, **details)

    async def ask(
        self, kind: Any, method: str, which: tuple[str, str], rest: str = "", body: Any = None
    ) -> Any:
        """Return the interface's answer about an API, which its publisher and its name tell."""
        path = f"apis/{path_of(*which)}{rest}"
        return await self.parts.engine.ask(kind, method, path, self.token, body)

    def own_token(self, publisher: str, api: str) -> AbstractAsyncContextManager[str]:
        """Give a token of one API: one's own may be for such alone, and a log-in is none."""
        scope = scope_of(publisher, api)
        return self.parts.hub.borrowed(self.name, self.token, scope, BORROWED)


class ApiItem(EngineRoute):
    """One API."""

    body_bytes = SAVE_BYTES

    async def get(self, publisher: str, api_name: str) -> None:
        """Answer the data of its page."""
        self.answer(await api(self, f"{publisher}/{api_name}"))

    async def put(self, publisher: str, api_name: str) -> None:
        """Save a version."""
        given = self.body(SaveRequest)
        self.answer(await self.ask(Detail, "PUT", (publisher, api_name), body=given))

    async def delete(self, publisher: str, api_name: str) -> None:
        """Remove it, with all its versions."""
        await self.ask(Any, "DELETE", (publisher, api_name))
        self.set_status(204)
        self.finish()


class ApiActivate(EngineRoute):
    """The version that answers calls."""

    async def post(self, publisher: str, api_name: str) -> None:
        """Let another one answer."""
        given = self.body(ActivateVersion)
        await self.ask(Any, "POST", (publisher, api_name), "/activate", given)
        self.answer(await api(self, f"{publisher}/{api_name}"))


class ApiStop(EngineRoute):
    """Whether an API answers calls."""

    verb = "stop"

    async def post(self, publisher: str, api_name: str) -> None:
        """Let it answer none, or calls again."""
        await self.ask(Any, "POST", (publisher, api_name), f"/{self.verb}", {})
        self.answer(await api(self, f"{publisher}/{api_name}"))


class ApiStart(ApiStop):
    """The way back."""

    verb = "start"


class ApiVersion(EngineRoute):
    """One version of an API."""

    async def get(self, publisher: str, api_name: str, version: str) -> None:
        """Answer it, with its source."""
        if not _VERSION.match(version):
            raise NotFoundError(f"there is no version {version!r}", code="portal.apis")
        found = await self.ask(Version, "GET", (publisher, api_name), f"/versions/{version}")
        self.answer(found)


class ApiLog(EngineRoute):
    """The log of an API."""

    async def get(self, publisher: str, api_name: str) -> None:
        """Answer its lines after a number."""
        after, limit = self.number("after", 0, 2**53), max(1, self.number("limit", 200, LINES))
        rest = f"/log?after={after}&limit={limit}"
        self.answer(await self.ask(Logged, "GET", (publisher, api_name), rest))


class ApiStats(EngineRoute):
    """How much an API is called."""

    async def get(self, publisher: str, api_name: str) -> None:
        """Answer the last hours, minute by minute."""
        hours = max(1, self.number("hours", 24, HOURS))
        self.answer(await self.ask(Stats, "GET", (publisher, api_name), f"/stats?hours={hours}"))


class ApiDocument(EngineRoute):
    """The OpenAPI document of an API."""

    async def get(self, publisher: str, api_name: str) -> None:
        """Answer it; the address of the calls is whole, since a file says not where it is from."""
        where = path_of(publisher, api_name)
        path = f"{where}/openapi.json"
        try:
            found = await self.parts.engine.document(path, self.token)
        except PolicyError:
            if publisher != self.name:
                raise
            async with self.own_token(publisher, api_name) as token:
                found = await self.parts.engine.document(path, token)
        host = self.portal.api_host or f"{self.request.protocol}://{self.request.host}"
        url = f"{host}{self.portal.base_url}services/api/{where}"
        self.answer(found | {"servers": [{"url": url}]})


class ApiTokens(EngineRoute):
    """The caller's tokens for one API."""

    async def get(self, publisher: str, api_name: str) -> None:
        """List them."""
        path_of(publisher, api_name)
        scope = scope_of(publisher, api_name)
        known = (await tokens(self)).tokens
        self.answer(Tokens(tokens=[one for one in known if only(scope, one.scopes)]))

    async def post(self, publisher: str, api_name: str) -> None:
        """Make one that admits calls of this API alone; its secret is answered this once."""
        path_of(publisher, api_name)
        self.parts.engine.demand()
        self.answer(await make_token(self, [scope_of(publisher, api_name)]), 201)


class ApiTry(EngineRoute):
    """A test call."""

    async def post(self, publisher: str, api_name: str, function: str) -> None:
        """Make it with the caller's own rights, and answer what came of it."""
        where, given = path_of(publisher, api_name), self.body(TryCall)
        if not _FUNCTION.match(function):
            raise NotFoundError(f"there is no function {function!r}", code="portal.apis")
        made = make_call(function, given.arguments, given.keywords)
        with self.parts.engine.one_of(self.name):
            found = await self.parts.engine.call(f"{where}/", made, self.token)
            if found.status == 403 and publisher == self.name:
                async with self.own_token(publisher, api_name) as token:
                    found = await self.parts.engine.call(f"{where}/", made, token)
        self.answer(found)


class ApiCheck(EngineRoute):
    """A look at a source that is not saved."""

    body_bytes = SAVE_BYTES

    async def post(self) -> None:
        """Load it in a container of its own, and answer what was found."""
        given = self.body(CheckSource)
        found = await self.parts.engine.ask(Checked, "POST", "check", self.token, given)
        self.answer(found)
