"""The interface of management, below ``_/``: publish, look, stop, remove, read logs and figures."""

from __future__ import annotations

import re
from functools import partial
from itertools import takewhile
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from juliabox_ext.errors import NotFoundError, PolicyError, RequestError
from juliabox_services.api.departures import WHO
from juliabox_services.api.management import Identify, Management
from juliabox_services.api.models import (
    Api,
    Detail,
    FunctionName,
    SaveRequest,
    Stats,
    Stopped,
    Summary,
    Version,
    VersionInfo,
)
from juliabox_services.api.publishing import Publishing
from juliabox_services.api.rates import Room
from juliabox_services.api.settings import INTERFACE
from juliabox_services.api.tables import Tables
from juliabox_spawner import usernames

#: Name of the API of a source that is looked at and not saved; the manager wants one.
LOOKED_AT = "check"
#: Bytes of bodies at one time, beside those of calls: however many there are, one can be stopped.
ROOM_BYTES = 32 * 1024**2

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

    async def detail(self, api: Api, version: Version, *, unchanged: bool = False) -> Detail:
        """Return all of an API to its owner; to who may call it, what a caller must know."""
        mine, changes = self.owns(api.publisher, api.api), self.changes(api.publisher, api.api)
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
            unchanged=unchanged,
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
                if api.publisher != name and not api.stopped and self.calls(api, version)
            ]
        else:
            found = [one for one in published.of(name) if not self.left_behind(name, one[0].api)]
        self.send({"apis": [self.summary(api, version) for api, version in found]})


class Item(ApiHandler):
    """One API."""

    async def get(self, publisher: str, api: str) -> None:
        """Answer a ``Detail``; an API that one may not call is not there."""
        known, version = self.publishing.published.find(publisher, api)
        if not (self.owns(publisher, api) or self.calls(known, version)):
            raise NotFoundError(f"There is no API {publisher}/{api}", code="api.unknown")
        self.send(await self.detail(known, version))

    async def put(self, publisher: str, api: str) -> None:
        """Save a version; answer 201 for a new API, 200 for one that exists, changed or not."""
        self.demand_publisher(publisher, api)
        problem = usernames.problem(usernames.split(publisher)[1])
        if problem:
            raise RequestError(f"The publisher is no user: {problem}", code="api.publisher")
        request = self.decoded(SaveRequest)
        saving, account = self.publishing.saving, self.own_account(publisher)
        _, outcome = await saving.save(publisher, api, request, self.person.name, account)
        known, version = self.publishing.published.find(publisher, api)
        detail = await self.detail(known, version, unchanged=outcome == "unchanged")
        self.send(detail, 201 if outcome == "new" else 200)

    async def delete(self, publisher: str, api: str) -> None:
        """Remove it."""
        self.demand_publisher(publisher, api)
        admin = self.person.admin
        await self.publishing.saving.remove(publisher, api, self.person.name, admin=admin)
        self.set_status(204)


class VersionItem(Management):
    """One version."""

    async def get(self, publisher: str, api: str, number: str) -> None:
        """Answer a ``Version``, source included."""
        self.demand_owner(publisher, api)
        self.send(await self.publishing.saving.version(publisher, api, int(number)))


class Activate(ApiHandler):
    """Which version answers."""

    async def post(self, publisher: str, api: str) -> None:
        """Let a version answer the calls from now on."""
        self.demand_publisher(publisher, api)
        number = self.decoded(ActivateRequest).version
        await self.publishing.saving.activate(publisher, api, number, self.person.name)
        self.send(await self.detail(*self.publishing.published.find(publisher, api)))


class Stop(ApiHandler):
    """Whether it answers."""

    async def post(self, publisher: str, api: str) -> None:
        """Let it answer no calls; its owner may, with the role or without."""
        self.demand_owner(publisher, api)
        by_admin = self.person.admin and self.person.user != publisher
        reason: Stopped = "admin" if by_admin else "owner"
        await self.publishing.saving.stop(publisher, api, self.person.name, reason)
        self.send(await self.detail(*self.publishing.published.find(publisher, api)))


class Start(ApiHandler):
    """Whether it answers."""

    async def post(self, publisher: str, api: str) -> None:
        """Let it answer calls again."""
        self.demand_publisher(publisher, api)
        admin, account = self.person.admin, self.own_account(publisher)
        await self.publishing.saving.start(
            publisher, api, self.person.name, admin=admin, account=account
        )
        self.send(await self.detail(*self.publishing.published.find(publisher, api)))


class Log(Management):
    """What its functions printed, what failed, and news of it."""

    async def get(self, publisher: str, api: str) -> None:
        """Answer the newest lines after a number, oldest first."""
        self.demand_owner(publisher, api)
        known, _ = self.publishing.published.find(publisher, api)
        after = self.number("after", 0, 0, 2**53)
        limit = self.number("limit", ROWS, 1, MOST_ROWS)
        # what is older is of a removed API of its name, and perhaps of somebody else
        ledger, since = self.publishing.ledger, known.created
        self.send({"lines": await ledger.lines(publisher, api, after, limit, since)})


class Figures(Management):
    """Calls, latency and errors."""

    async def get(self, publisher: str, api: str) -> None:
        """Answer the minutes of the last hours."""
        self.demand_owner(publisher, api)
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
        account = self.person.account or ""
        publisher = None if self.person.admin else self.person.user
        rows = await self.publishing.audit.rows(publisher, limit, account)
        if publisher is not None and not account:
            # what was before the name was removed is perhaps of somebody else
            rows = list(takewhile(lambda row: row.who != WHO, rows))
        self.send({"rows": rows})


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
