"""Data of the admins' pages about people, sessions, disks and machines, and their routes."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from juliabox_ext.errors import JuliaBoxError, NotFoundError
from juliabox_manager import protocol as p
from juliabox_services.portal.handlers import ApiHandler, Handler
from juliabox_services.portal.models_admin import (
    Configuration,
    Failure,
    Failures,
    Instances,
    InstanceView,
    Message,
    Overview,
    Plugins,
    PoolRow,
    SessionRow,
    Sessions,
    StopSession,
    UserRow,
    Users,
    VolumeRow,
    Volumes,
)
from juliabox_services.portal.records import MOST
from juliabox_services.portal.servers import moment, state_of
from juliabox_services.portal.usage import points
from juliabox_spawner.people_roles import PEOPLE_ROLES

#: Most rows of one page of a list.
ROWS = 200
_PAGED = "application/jupyterhub-pagination+json"

Row = TypeVar("Row", bound=Struct)


def paged(handler: Handler, rows: list[Row], default: str, *searched: str) -> dict[str, Any]:
    """Return a page of rows as the query asks for it, with total, offset and limit."""
    fields = tuple(type(rows[0]).__struct_fields__) if rows else (default,)
    search = handler.get_query_argument("search", "").casefold()
    sort = handler.get_query_argument("sort", default) or default
    if rows:
        sort = handler.word("sort", fields, default)
    down = handler.word("order", ("asc", "desc"), "asc") == "desc"
    if search:
        rows = [
            row
            for row in rows
            if any(search in str(getattr(row, name)).casefold() for name in searched)
        ]

    known = [row for row in rows if getattr(row, sort, None) is not None]
    unknown = [row for row in rows if getattr(row, sort, None) is None]
    rows = sorted(known, key=lambda row: _order(getattr(row, sort)), reverse=down) + unknown
    offset, limit = handler.number("offset", 0, 10**9), max(1, handler.number("limit", 50, ROWS))
    return {
        "rows": rows[offset : offset + limit],
        "total": len(rows),
        "offset": offset,
        "limit": limit,
    }


def _order(value: Any) -> Any:
    return len(value) if isinstance(value, list) else value


async def users(handler: Handler, _: str = "") -> Users:
    """Return people, a page at a time, from the hub."""
    offset, limit = handler.number("offset", 0, 10**9), max(1, handler.number("limit", 50, ROWS))
    sort = handler.word("sort", ("name", "created", "last_activity", "servers"), "name")
    down = handler.word("order", ("asc", "desc"), "asc") == "desc"
    # the hub numbers people as it makes them; those with servers it picks, but does not order
    column = {"created": "id", "servers": "last_activity"}.get(sort, sort)
    query = {
        "offset": str(offset),
        "limit": str(limit),
        "sort": f"{'-' if down else ''}{column}",
        "name_filter": handler.get_query_argument("search", "")[:100],
    }
    if sort == "servers":
        query["state"] = "active"
    answer, waiting = await asyncio.gather(hub_users(handler, query), _waiting(handler))
    return Users(
        users=[_user(one) for one in answer["items"]],
        total=int(answer["_pagination"]["total"]),
        offset=offset,
        limit=limit,
        pending=waiting,
    )


async def _waiting(handler: Handler) -> int:
    """Return how many people wait for an account; none where there are no accounts."""

    async def ask() -> int:
        try:
            answer = await handler.parts.hub.call("GET", "/sign-ups", handler.token)
        except NotFoundError:
            return 0
        return len(answer["waiting"])

    found: int = await handler.parts.figures.get(("sign-ups", handler.token), ask)
    return found


async def hub_users(handler: Handler, query: dict[str, str]) -> dict[str, Any]:
    """Return a page of the hub's list of people, shared for a moment by those with one token."""
    path = f"/users?{urlencode(query)}"
    found: dict[str, Any] = await handler.parts.figures.get(
        ("users", path, handler.token),
        lambda: handler.parts.hub.call("GET", path, handler.token, accept=_PAGED),
    )
    return found


def _user(model: dict[str, Any]) -> UserRow:
    groups = sorted(model.get("groups") or [])
    admin = bool(model.get("admin"))
    roles = ["user", *(role for role in PEOPLE_ROLES if role in groups)]
    servers = model.get("servers") or {}
    return UserRow(
        name=str(model["name"]),
        admin=admin,
        roles=[*roles, "admin"] if admin else roles,
        groups=groups,
        created=moment(model.get("created")),
        last_activity=moment(model.get("last_activity")),
        servers=sum(state_of(one) != "stopped" for one in servers.values()),
    )


async def sessions(handler: Handler, _: str = "") -> Sessions:
    """Return all sessions that the manager knows."""
    instance = handler.parts.instance
    found, usage = await asyncio.gather(instance.sessions(), instance.usage())
    rows = [_session(handler, one, usage.get(one.session)) for one in found]
    page = paged(handler, rows, "owner", "owner", "server", "container")
    return Sessions(
        sessions=page["rows"], total=page["total"], offset=page["offset"], limit=page["limit"]
    )


def _session(handler: Handler, one: p.SessionInfo, usage: p.UsageInfo | None) -> SessionRow:
    started = one.started if one.started and one.state != "ended" else None
    # only the hub knows when a session was last used; its age the manager knows as well
    left, why = (None, "none")
    if handler.portal.max_age and started is not None:
        left, why = max(0.0, started + handler.portal.max_age - time.time()), "age"
    ended = one.exit is not None and one.state == "ended"
    return SessionRow(
        owner=one.owner,
        server=one.server,
        state=one.state,
        image=one.image,
        profile=one.profile,
        instance=handler.portal.installation,
        container=one.container[:12],
        started=started,
        time_left=left,
        time_left_why="age" if why == "age" else "none",
        memory=usage.memory if usage else None,
        memory_limit=one.limits.memory,
        cpu=usage.cpu if usage else None,
        cpu_limit=one.limits.cpu,
        disk=usage.disk if usage else None,
        disk_limit=(usage.disk_size or None) if usage else one.limits.disk,
        ending=one.exit.reason if ended and one.exit else "",
    )


async def volumes(handler: Handler, _: str = "") -> Volumes:
    """Return all volumes."""
    rows = [
        VolumeRow(
            volume=one.volume,
            owner=one.owner,
            kind=one.kind,
            state=one.state,
            instance=handler.portal.installation,
            size=one.size or None,
            allocated=one.allocated,
            sessions=one.sessions,
            delete_after=one.delete_after or None,
        )
        for one in await handler.parts.instance.volumes()
    ]
    page = paged(handler, rows, "owner", "owner", "volume")
    return Volumes(
        volumes=page["rows"], total=page["total"], offset=page["offset"], limit=page["limit"]
    )


async def instances(handler: Handler, _: str = "") -> Instances:
    """Return the machines: this one by its manager, names by the compute plugin."""
    try:
        stats, pools = await asyncio.gather(
            handler.parts.instance.stats(), handler.parts.instance.pools()
        )
    except JuliaBoxError:
        stats, pools = None, []
    names = await handler.parts.figures.get("names", lambda: _names(handler))
    view = InstanceView(
        name=names.get("name") or handler.portal.installation,
        state="unreachable",
        leader=True,
        public_host=names.get("public", ""),
        local_host=names.get("local", ""),
        images_fresh=names.get("fresh"),
        provider=names.get("provider", ""),
    )
    if stats is not None:
        shared = set(stats.__struct_fields__) & set(InstanceView.__struct_fields__)
        told = {name: getattr(stats, name) for name in shared}
        rows = [PoolRow(**msgspec.structs.asdict(one)) for one in pools]
        view = replace(view, state="ready", load=_load(stats), pools=rows, **told)
    return Instances(instances=[view])


def _load(stats: p.StatsInfo) -> float:
    shares = [
        part / whole
        for part, whole in (
            (stats.sessions, stats.sessions_limit),
            (stats.memory_promised, stats.memory_total),
        )
        if whole
    ]
    return min(1.0, max(shares, default=0.0))


async def _names(handler: Handler) -> dict[str, Any]:
    """Return what the compute plugin tells of this machine; nothing if there is none."""
    plugins = handler.parts.plugins
    try:
        compute = plugins.compute()
    except JuliaBoxError:
        return {}

    def ask() -> dict[str, Any]:
        return {
            "name": compute.get_instance_id(),
            "public": compute.get_instance_public_hostname(),
            "local": compute.get_instance_local_hostname(),
            "fresh": compute.get_image_recentness() == 0,
            "provider": compute.name,
        }

    return await plugins.call(compute, "cloud.compute", ask) or {}


async def plugins(handler: Handler, _: str = "") -> Plugins:
    """Return all plugins, and what is wrong with them."""
    loop = asyncio.get_running_loop()
    views = await loop.run_in_executor(None, handler.parts.plugins.views)
    return Plugins(plugins=views, features=handler.parts.plugins.features())


async def failures(handler: Handler, _: str = "") -> Failures:
    """Return the newest failures, those of plugins among them."""
    since = datetime.now(UTC).date() - timedelta(days=handler.portal.retention_days)
    rows = await handler.parts.keeper.run(lambda records: records.failures(since))
    found = [failure(row) for row in rows] + _of_plugins(handler)
    began = datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp()
    found.sort(key=lambda one: -one.time)
    return Failures(failures=found[:MOST], since=began)


def failure(row: dict[str, Any]) -> Failure:
    """Return a failure as pages show it."""
    names = ("time", "kind", "subject", "code", "message", "instance")
    return Failure(**{name: row[name] for name in names})


def _of_plugins(handler: Handler) -> list[Failure]:
    return [
        Failure(
            time=when,
            kind="plugin",
            subject=fault.plugin,
            code=fault.code,
            message=fault.message,
            instance=handler.portal.installation,
        )
        for when, fault in handler.parts.plugins.fault_times
    ]


async def configuration(handler: Handler, _: str = "") -> Configuration:
    """Return the operator's file with defaults, secrets hidden."""
    return Configuration(
        text=handler.portal.configuration,
        path=handler.portal.configuration_path,
        changed=handler.portal.configuration_changed,
    )


async def message(handler: Handler, _: str = "") -> Message:
    """Return the message of the day, empty if there is none."""
    return await handler.parts.messages.current() or Message()


async def overview(handler: Handler, _: str = "") -> Overview:
    """Return figures at a glance; what cannot be had now is told, and the rest shown."""
    results = await asyncio.gather(
        handler.parts.instance.stats(),
        handler.parts.instance.sessions(),
        hub_users(handler, {"offset": "0", "limit": "1"}),
        failures(handler),
        points(handler, "day", *_last_days(14)),
        _waiting(handler),
        return_exceptions=True,
    )
    for one in results:
        if isinstance(one, BaseException) and not isinstance(one, JuliaBoxError):
            raise one
    stats, listed, people, failed, days, waiting = (
        None if isinstance(one, BaseException) else one for one in results
    )
    trouble = [one.message for one in results if isinstance(one, JuliaBoxError)]
    recent = failed.failures if isinstance(failed, Failures) else []
    return Overview(
        users=int(people["_pagination"]["total"]) if isinstance(people, dict) else 0,
        users_pending=waiting or 0,
        sessions_running=sum(one.state == "running" for one in listed or ()),
        instances_ready=int(stats is not None),
        plugin_faults=len(handler.parts.plugins.faults),
        failures=sum(one.time > time.time() - 86400 for one in recent),
        days=days or [],
        recent_failures=recent[:5],
        degraded=" ".join(trouble),
        sessions_limit=getattr(stats, "sessions_limit", None),
        memory_promised=getattr(stats, "memory_promised", None),
        memory_total=getattr(stats, "memory_total", None),
        disk_free=getattr(stats, "disk_free", None),
    )


def _last_days(count: int) -> tuple[date, date]:
    today = datetime.now(UTC).date()
    return today - timedelta(days=count - 1), today


class AdminStop(ApiHandler):
    """End of anybody's session."""

    async def post(self) -> None:
        """Stop it, with the caller's own rights at the hub."""
        self.demand("sessions")
        given = self.body(StopSession)
        await self.parts.servers.stop(given.owner, given.server, self.token)
        self.answer(None, 202)


class MessageHandler(ApiHandler):
    """Message of the day, for admins."""

    async def get(self) -> None:
        """Answer it."""
        self.demand("message")
        self.answer(await message(self))

    async def put(self) -> None:
        """Set it; an empty text takes it away."""
        self.demand("message")
        self.answer(await self.parts.messages.set(self.body(Message), self.name))

    async def post(self) -> None:
        """Set it, as PUT does."""
        await self.put()

    async def delete(self) -> None:
        """Take it away."""
        self.demand("message")
        await self.parts.messages.set(Message(), self.name)
        self.set_status(204)
        self.finish()
