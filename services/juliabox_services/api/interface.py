"""The interface of management, below ``_/``: publish, look, stop, remove, read logs and figures."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct
from tornado.web import RequestHandler

from juliabox_ext.errors import NotFoundError, PolicyError, RequestError
from juliabox_services.api.access import Identity, LoginNeeded, check
from juliabox_services.api.base import MethodRefused
from juliabox_services.api.bodies import BodyHandler
from juliabox_services.api.models import (
    Api,
    Detail,
    FunctionName,
    SaveRequest,
    Stats,
    Summary,
    Version,
    VersionInfo,
)
from juliabox_services.api.publishing import Publishing
from juliabox_services.api.rates import Room
from juliabox_services.api.settings import INTERFACE, SERVICE
from juliabox_services.api.tables import Tables
from juliabox_spawner import usernames

T = TypeVar("T")

#: A coroutine function from a request to the hub's model of who sent it: ``name``, ``kind``,
#: ``scopes`` and ``groups``; None for nobody. It raises ``UnavailableError`` while the hub is away.
Identify = Callable[[RequestHandler], Awaitable[Mapping[str, Any] | None]]

#: Name of the API of a source that is looked at and not saved; the manager wants one.
LOOKED_AT = "check"
#: Largest body in bytes: a source whose every character is escaped.
BODY_BYTES = 1_500_000
#: Bytes of bodies at one time, beside those of calls: however many there are, one can be stopped.
ROOM_BYTES = 32 * 1024**2
#: Scopes of tokens for this service.
ACCESS = frozenset({"access:services", f"access:services!service={SERVICE}"})

#: Lines of a log, and rows of the audit, that are answered at most and unless asked otherwise.
MOST_ROWS = 1000
ROWS = 200
#: Hours that figures reach back at most.
MOST_HOURS = 168


class ActivateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``activate``."""

    version: Annotated[int, Meta(ge=1)]


class CheckRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``_/check``."""

    source: str
    functions: Annotated[list[FunctionName], Meta(min_length=1, max_length=50)]


class Management(BodyHandler):
    """What the routes share: the parts, who may change what, bodies and arguments."""

    limit = BODY_BYTES

    def initialize(self, publishing: Publishing, identify: Identify, room: Room) -> None:
        """Take the parts."""
        super().initialize()
        self._room = room
        self.publishing = publishing
        self._model = identify

    @property
    def room(self) -> Room:
        """Where the bytes of its bodies are counted."""
        return self._room

    async def admit(self) -> None:
        """Refuse a wrong method, and who has no token for this service."""
        if self.request.method not in self.methods():
            raise MethodRefused(str(self.request.method), self.methods())
        model = await self._model(self)
        if model is None:
            raise LoginNeeded("Send `Authorization: Bearer TOKEN`, with a token of the hub")
        user = model["name"] if model["kind"] == "user" else ""
        groups, scopes = frozenset(model["groups"]), frozenset(model["scopes"])
        self.identity = Identity(name=model["name"], user=user, groups=groups, scopes=scopes)
        self.holder = user
        if not user:
            raise PolicyError("This is for people, not for services", code="api.access")
        if scopes.isdisjoint(ACCESS):
            raise PolicyError(
                "This token is not for the API engine: it lacks access:services!service=api",
                code="api.access",
            )

    def judge_kind(self, kind: str) -> None:
        """Admit every ``Content-Type``: no page of another site can send a token."""

    @classmethod
    def methods(cls) -> list[str]:
        """Return the methods that the route knows."""
        return [
            name
            for name in ("GET", "PUT", "POST", "DELETE")
            if getattr(cls, name.lower()) is not getattr(RequestHandler, name.lower())
        ]

    @property
    def person(self) -> Identity:
        """Who calls."""
        assert self.identity is not None  # noqa: S101  # prepare() refuses everybody else
        return self.identity

    def calls(self, version: Version) -> bool:
        """Return whether the caller may call an API, and so see what it is."""
        try:
            check(version, self.person)
        except PolicyError:
            return False
        return True

    def demand_owner(self, publisher: str) -> None:
        """Raise ``PolicyError`` for who may not look after a publisher's APIs."""
        if not self.person.owns(publisher):
            self._refuse(publisher)

    def demand_publisher(self, publisher: str) -> None:
        """Raise ``PolicyError`` for who may not change a publisher's APIs."""
        if not self.person.changes(publisher):
            self._refuse(publisher)

    def _refuse(self, publisher: str) -> NoReturn:
        if self.person.user == publisher:
            raise PolicyError(
                "You are no publisher: an admin gives the role api-publisher, and the token needs "
                "the scope custom:juliabox:publish. Who has lost the role can still stop what is "
                "theirs, on its page in the portal",
                code="api.publish",
            )
        raise PolicyError(f"The APIs of {publisher} are not yours", code="api.owner")

    def decoded(self, kind: type[T]) -> T:
        """Return the body; raise ``RequestError`` (``api.body``) that names the field."""
        try:
            return msgspec.json.decode(self.body(), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RequestError(f"The body is refused: {error}", code="api.body") from None

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return an argument of the address; raise ``RequestError`` (``api.query``)."""
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdecimal() and len(text) < 18):
            raise RequestError(f"{name} must be a whole number", code="api.query")
        if not least <= int(text) <= most:
            raise RequestError(f"{name} must be from {least} to {most}", code="api.query")
        return int(text)


class Me(Management):
    """Who the caller is here."""

    def get(self) -> None:
        """Answer name, what the caller may do, and the operator's bounds."""
        self.send(
            {
                "name": self.person.name,
                "admin": self.person.admin,
                "publisher": self.person.publisher or self.person.admin,
                "bounds": self.publishing.settings.bounds,
            }
        )


class ApiHandler(Management):
    """A route that shows APIs."""

    def summary(self, api: Api, version: Version) -> Summary:
        """Return what lists show."""
        calls, errors = self.publishing.ledger.day(api.publisher, api.api)
        names = (quote(api.publisher, safe=""), quote(api.api, safe=""))
        return Summary(
            publisher=api.publisher,
            api=api.api,
            active=api.active,
            newest=api.newest,
            functions=[one.name for one in version.functions],
            access=version.options.access,
            description=version.options.description,
            stopped=api.stopped,
            created=api.created,
            containers=self.publishing.back.load(api.publisher, api.api).containers,
            calls=calls,
            errors=errors,
            url=f"{self.publishing.settings.prefix}{names[0]}/{names[1]}/",
        )

    async def detail(self, api: Api, version: Version) -> Detail:
        """Return all of an API to its owner; to who may call it, what a caller must know."""
        mine, changes = self.person.owns(api.publisher), self.person.changes(api.publisher)
        versions: list[VersionInfo] = []
        if mine:
            versions = await self.publishing.store.run(
                partial(Tables.versions, publisher=api.publisher, api=api.api)
            )
            versions = [one for one in versions if one.saved >= api.created]
        else:
            options = msgspec.structs.replace(version.options, users=[], groups=[])
            version = msgspec.structs.replace(version, source="", note="", options=options)
        return Detail(
            summary=self.summary(api, version),
            version=version,
            versions=versions,
            mine=mine,
            changes=changes,
        )


class List(ApiHandler):
    """Lists of APIs."""

    def get(self) -> None:
        """Answer the caller's own; with ``all=1`` everybody's, ``shared=1`` those one may call."""
        published, name = self.publishing.published, self.person.user
        if self.get_query_argument("all", "") == "1":
            if not self.person.admin:
                raise PolicyError("The APIs of all are for admins", code="api.admin")
            found = list(published)
        elif self.get_query_argument("shared", "") == "1":
            found = [
                (api, version)
                for api, version in published
                if api.publisher != name and not api.stopped and self.calls(version)
            ]
        else:
            found = published.of(name)
        self.send({"apis": [self.summary(api, version) for api, version in found]})


class Item(ApiHandler):
    """One API."""

    async def get(self, publisher: str, api: str) -> None:
        """Answer a ``Detail``; an API that one may not call is not there."""
        known, version = self.publishing.published.find(publisher, api)
        if not (self.person.owns(publisher) or self.calls(version)):
            raise NotFoundError(f"There is no API {publisher}/{api}", code="api.unknown")
        self.send(await self.detail(known, version))

    async def put(self, publisher: str, api: str) -> None:
        """Save a version; answer 201 for a new API, 200 for one that exists."""
        self.demand_publisher(publisher)
        problem = usernames.problem(usernames.split(publisher)[1])
        if problem:
            raise RequestError(f"The publisher is no user: {problem}", code="api.publisher")
        request = self.decoded(SaveRequest)
        saving = self.publishing.saving
        _, fresh = await saving.save(publisher, api, request, self.person.name)
        known, version = self.publishing.published.find(publisher, api)
        self.send(await self.detail(known, version), 201 if fresh else 200)

    async def delete(self, publisher: str, api: str) -> None:
        """Remove it."""
        self.demand_publisher(publisher)
        await self.publishing.saving.remove(publisher, api, self.person.name)
        self.set_status(204)


class VersionItem(Management):
    """One version."""

    async def get(self, publisher: str, api: str, number: str) -> None:
        """Answer a ``Version``, source included."""
        self.demand_owner(publisher)
        self.send(await self.publishing.saving.version(publisher, api, int(number)))


class Activate(ApiHandler):
    """Which version answers."""

    async def post(self, publisher: str, api: str) -> None:
        """Let a version answer the calls from now on."""
        self.demand_publisher(publisher)
        number = self.decoded(ActivateRequest).version
        await self.publishing.saving.activate(publisher, api, number, self.person.name)
        self.send(await self.detail(*self.publishing.published.find(publisher, api)))


class Stop(ApiHandler):
    """Whether it answers."""

    async def post(self, publisher: str, api: str) -> None:
        """Let it answer no calls; its owner may, with the role or without."""
        self.demand_owner(publisher)
        by_admin = self.person.admin and self.person.user != publisher
        await self.publishing.saving.stop(publisher, api, self.person.name, admin=by_admin)
        self.send(await self.detail(*self.publishing.published.find(publisher, api)))


class Start(ApiHandler):
    """Whether it answers."""

    async def post(self, publisher: str, api: str) -> None:
        """Let it answer calls again."""
        self.demand_publisher(publisher)
        admin = self.person.admin
        await self.publishing.saving.start(publisher, api, self.person.name, admin=admin)
        self.send(await self.detail(*self.publishing.published.find(publisher, api)))


class Log(Management):
    """What its functions printed, what failed, and news of it."""

    async def get(self, publisher: str, api: str) -> None:
        """Answer the newest lines after a number, oldest first."""
        self.demand_owner(publisher)
        known, _ = self.publishing.published.find(publisher, api)
        after = self.number("after", 0, 0, 2**53)
        limit = self.number("limit", ROWS, 1, MOST_ROWS)
        since = known.created - 60  # its first line is of the moment before it was there
        ledger = self.publishing.ledger
        self.send({"lines": await ledger.lines(publisher, api, after, limit, since)})


class Figures(Management):
    """Calls, latency and errors."""

    async def get(self, publisher: str, api: str) -> None:
        """Answer the minutes of the last hours."""
        self.demand_owner(publisher)
        known, _ = self.publishing.published.find(publisher, api)
        hours = self.number("hours", 1, 1, MOST_HOURS)
        buckets = await self.publishing.ledger.buckets(publisher, api, hours, known.created)
        load = self.publishing.back.load(publisher, api)
        self.send(Stats(buckets=buckets, containers=load.containers, outstanding=load.outstanding))


class AuditList(Management):
    """Who did what."""

    async def get(self) -> None:
        """Answer all rows to admins, else those of the caller's own APIs; newest first."""
        limit = self.number("limit", ROWS, 1, MOST_ROWS)
        publisher = None if self.person.admin else self.person.user
        self.send({"rows": await self.publishing.audit.rows(publisher, limit)})


class Check(Management):
    """Whether a source could be saved."""

    async def post(self) -> None:
        """Answer a ``Checked``; a source at fault is no failure of this request."""
        self.demand_publisher(self.person.user)
        request = self.decoded(CheckRequest)
        names = list(dict.fromkeys(request.functions))
        saving, name = self.publishing.saving, self.person.name
        self.send(await saving.check(name, LOOKED_AT, request.source, names))


_ONE = "apis/([^/]+)/([^/]+)"

#: Route below ``_/`` -> its handler.
ROUTES: dict[str, type[Management]] = {
    "me": Me,
    "apis": List,
    _ONE: Item,
    f"{_ONE}/versions/([0-9]{{1,9}})": VersionItem,
    f"{_ONE}/activate": Activate,
    f"{_ONE}/stop": Stop,
    f"{_ONE}/start": Start,
    f"{_ONE}/log": Log,
    f"{_ONE}/stats": Figures,
    "audit": AuditList,
    "check": Check,
}


def routes(publishing: Publishing, identify: Identify) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return patterns, handlers and what these are made with, for the engine's application."""
    start = re.escape(f"{publishing.settings.prefix}{INTERFACE}/")
    parts = {"publishing": publishing, "identify": identify, "room": Room(ROOM_BYTES)}
    return [(start + route, handler, parts) for route, handler in ROUTES.items()]
