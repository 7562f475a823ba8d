"""Data of the pages of a person, and the routes that these call."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from juliabox_ext.errors import JuliaBoxError, NotFoundError, RequestError
from juliabox_manager import protocol as p
from juliabox_services.portal.handlers import ApiHandler, Handler
from juliabox_services.portal.hub import segment
from juliabox_services.portal.models import (
    Home,
    MadeToken,
    NameServer,
    NewToken,
    Profile,
    SessionFrame,
    SessionView,
    Settings,
    StartServer,
    Token,
    Tokens,
    VolumeView,
)
from juliabox_services.portal.servers import absent, moment
from juliabox_spawner.profile_access import admits

#: Longest note of a token, in characters.
NOTE = 200
#: Scopes of the person, with which JupyterHub makes a token that says nothing else.
_HUBS_OWN_CLIENT = "JupyterHub"

Known = tuple[list[p.SessionInfo], dict[str, p.UsageInfo], list[p.VolumeInfo], str]


async def known(handler: Handler, owner: str) -> Known:
    """Return what the manager knows of a person; while it is away nothing, and why."""
    instance = handler.parts.instance
    try:
        sessions, usage = await asyncio.gather(instance.sessions(owner), instance.usage())
        volumes = await instance.volumes_of(owner, sessions)
    except JuliaBoxError as error:
        return [], {}, [], error.message
    return sessions, usage, volumes, ""


async def views(handler: Handler) -> tuple[list[SessionView], list[p.VolumeInfo], Known]:
    """Return the servers of the caller, the default one first, and what they were made from."""
    seen = await known(handler, handler.name)
    record = await handler.parts.servers.record(
        handler.name, handler.token, None if seen[3] else seen[0]
    )
    sessions = {one.server: one for one in seen[0]}
    models: dict[str, Any] = dict(record.get("servers") or {})
    models.setdefault("", absent(f"{handler.portal.base_url}user/{segment(handler.name)}/"))
    found = []
    for name in sorted(models):
        session = sessions.get(name)
        usage = seen[1].get(session.session) if session is not None else None
        ending = handler.parts.recorder.endings.get((handler.name, name), "")
        found.append(handler.parts.servers.view(models[name], session, usage, ending))
    return found, seen[2], seen


def volume_view(volume: p.VolumeInfo, known_sessions: Known) -> VolumeView:
    """Return what pages show of a volume."""
    servers = {one.session: one.server for one in known_sessions[0]}
    used = [
        one.disk
        for session, one in known_sessions[1].items()
        if session in volume.sessions and one.disk is not None
    ]
    return VolumeView(
        kind=volume.kind,
        label="Home" if volume.kind == "home" else volume.kind,
        path="/home/juser" if volume.kind == "home" else "",
        state=volume.state,
        used=max(used, default=None),
        size=volume.size or None,
        servers=[servers[one] for one in volume.sessions if one in servers],
    )


async def home(handler: Handler, _: str = "") -> Home:
    """Return the caller's sessions and volumes."""
    sessions, volumes, seen = await views(handler)
    groups = (handler.current_user or {}).get("groups") or []
    profiles = [
        Profile(
            slug=one.slug,
            label=one.display_name,
            description=one.description,
            default=one.default,
        )
        for one in handler.portal.profiles
        if admits(one, handler.name, groups)
    ]
    named = sum(bool(one.server) for one in sessions)
    return Home(
        sessions=sessions,
        volumes=[volume_view(one, seen) for one in volumes if one.state != "removed"],
        profiles=profiles,
        named_servers_left=max(0, handler.portal.named_servers - named),
        degraded=seen[3],
    )


async def session(handler: Handler, server: str = "") -> SessionFrame:
    """Return one server of the caller, for the frame around it."""
    for one in (await views(handler))[0]:
        if one.server == server:
            return SessionFrame(session=one)
    raise NotFoundError(f"you have no server {server!r}", code="portal.server")


async def settings(handler: Handler, _: str = "") -> Settings:
    """Return nothing: the sections of plugins are rendered into the page."""
    return Settings()


async def tokens(handler: Handler, _: str = "") -> Tokens:
    """Return the caller's tokens, without their secrets."""
    path = f"/users/{segment(handler.name)}/tokens"
    answer = await handler.parts.hub.call("GET", path, handler.token)
    found = [
        Token(
            id=str(one["id"]),
            note=str(one.get("note") or one.get("oauth_client") or ""),
            created=moment(one.get("created")) or 0.0,
            expires=moment(one.get("expires_at")),
            last_used=moment(one.get("last_activity")),
            kind=_kind(one),
            scopes=sorted(one.get("scopes") or []),
        )
        for one in answer["api_tokens"]
    ]
    return Tokens(tokens=sorted(found, key=lambda one: -one.created))


def _kind(token: dict[str, Any]) -> Literal["token", "login"]:
    """Return who made a token: the person, or the hub for a log-in or a server."""
    own = token.get("oauth_client") == _HUBS_OWN_CLIENT
    # JupyterHub's note of the token that it hands to a server
    return "token" if own and not str(token.get("note") or "").startswith("Server at ") else "login"


async def make_token(handler: Handler, scopes: list[str] | None = None) -> MadeToken:
    """Make a token of the caller as the request's body says; with all of their rights, or some."""
    given = handler.body(NewToken)
    note = given.note.strip()
    if not 0 < len(note) <= NOTE:
        raise RequestError(f"a note has 1 to {NOTE} characters", code="portal.token")
    seconds = given.expires_in
    if seconds is not None and not 1 <= seconds <= 10 * 366 * 86400:
        raise RequestError("expires_in is 1 second to ten years", code="portal.token")
    body: dict[str, Any] = {"note": note, "expires_in": None if seconds is None else int(seconds)}
    if scopes is not None:
        body["scopes"] = scopes
    path = f"/users/{segment(handler.name)}/tokens"
    made = await handler.parts.hub.call("POST", path, handler.token, body)
    return MadeToken(
        token=made["token"], id=str(made["id"]), expires=moment(made.get("expires_at"))
    )


class TokenList(ApiHandler):
    """The caller's tokens."""

    async def get(self) -> None:
        """List them."""
        self.answer(await tokens(self))

    async def post(self) -> None:
        """Make one; its secret is answered this once."""
        self.answer(await make_token(self), 201)


class TokenItem(ApiHandler):
    """One token of the caller."""

    async def delete(self, token: str) -> None:
        """Revoke it."""
        path = f"/users/{segment(self.name)}/tokens/{segment(token)}"
        await self.parts.hub.call("DELETE", path, self.token)
        self.set_status(204)
        self.finish()


class StartHandler(ApiHandler):
    """Start of a server of the caller."""

    async def post(self) -> None:
        """Start it, and answer what is seen of it."""
        given = self.body(StartServer)
        await self.parts.servers.start(self.name, given.server, given.profile, self.token)
        for one in (await views(self))[0]:
            if one.server == given.server:
                self.answer(one, 202)
                return
        raise NotFoundError(f"you have no server {given.server!r}", code="portal.server")


class StopHandler(ApiHandler):
    """End of a server of the caller."""

    remove = False

    async def post(self) -> None:
        """Stop it."""
        given = self.body(NameServer)
        if self.remove and not given.server:
            raise RequestError("the default server stays; it can be stopped", code="portal.server")
        await self.parts.servers.stop(self.name, given.server, self.token, remove=self.remove)
        self.answer(None, 202)


class RemoveHandler(StopHandler):
    """Removal of a named server of the caller."""

    remove = True


class MeHandler(ApiHandler):
    """Everything of the caller at once, for programs."""

    async def get(self) -> None:
        """Answer who calls, and the data of the first page."""
        data, page = await asyncio.gather(home(self), self.page("home"))
        self.answer(
            {"me": page.me, "home": data, "message": page.message, "features": page.features}
        )


class FeaturesHandler(ApiHandler):
    """What the installation provides."""

    def get(self) -> None:
        """Answer feature -> plugins, as ``get_pluggedin_features()`` does."""
        self.answer(self.parts.plugins.features())
