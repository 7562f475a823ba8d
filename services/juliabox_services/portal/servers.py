"""A person's servers: what hub and manager know of them, side by side."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Literal

from juliabox_ext.errors import RequestError
from juliabox_manager import protocol as p
from juliabox_services.portal.hub import Hub, Shared, segment
from juliabox_services.portal.models import Gauge, Gauges, Link, SessionView
from juliabox_services.portal.settings import PortalSettings

#: Seconds that the hub's record of a person is good for: while something is under way, and while
#: hub and manager agree on what runs. An open page asks every few seconds, and the hub is one
#: process for everybody.
FRESH = 1.0
SETTLED = 10.0
#: Seconds that a token for one visit of a session is good for.
VISIT = 60

TimeLeft = tuple[float | None, Literal["idle", "age", "none"], float | None]
State = Literal["stopped", "starting", "running", "stopping"]


def moment(text: str | None) -> float | None:
    """Return the Unix time of one of the hub's dates."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class Servers:
    """Servers of people, through the hub's API with the caller's own token."""

    def __init__(self, settings: PortalSettings, hub: Hub) -> None:
        self._settings = settings
        self._hub = hub
        self._records = Shared(FRESH)
        self._labels = {one.slug: one.display_name for one in settings.profiles}

    async def record(
        self, name: str, token: str, sessions: list[p.SessionInfo] | None = None
    ) -> dict[str, Any]:
        """Return the hub's record of a person, with servers that are stopped.

        Given what the manager knows of the person's sessions, it may be up to :data:`SETTLED`
        seconds old while the two agree.
        """
        path = f"/users/{segment(name)}?include_stopped_servers=1"
        found: dict[str, Any] = await self._records.get(
            (name, token),
            lambda: self._hub.call("GET", path, token),
            lambda kept: SETTLED if _agree(kept, sessions) else FRESH,
        )
        return found

    async def start(self, owner: str, server: str, profile: str, token: str) -> None:
        """Ask the hub to start a server."""
        if profile and profile not in self._labels:
            known = ", ".join(sorted(self._labels)) or "none"
            raise RequestError(
                f"there is no profile {profile!r}; there are: {known}", code="portal.profile"
            )
        body = {"profile": profile} if profile else {}
        await self._hub.call("POST", _path(owner, server), token, body)
        self._records.forget()

    async def stop(self, owner: str, server: str, token: str, *, remove: bool = False) -> None:
        """Ask the hub to stop a server, and to forget a named one with ``remove``."""
        body = {"remove": True} if remove else None
        await self._hub.call("DELETE", _path(owner, server), token, body)
        self._records.forget()

    @contextlib.asynccontextmanager
    async def visit(self, owner: str, server: str, token: str) -> AsyncIterator[str]:
        """Give a token with which one server can be visited, and nothing else; revoke it after.

        What runs in a session may be anybody's code: the caller's own token, with which all that
        the caller may is done at the hub, is never sent there.
        """
        scope = f"access:servers!server={owner}/{server}"
        async with self._hub.borrowed(owner, token, scope, VISIT) as visiting:
            yield visiting

    def time_left(self, started: float | None, active: float | None, now: float) -> TimeLeft:
        """Return seconds until a running server is stopped, why, and the span that counts."""
        idle, age = self._settings.idle_timeout, self._settings.max_age
        ends: list[TimeLeft] = []
        last = max((one for one in (started, active) if one is not None), default=None)
        if idle and last is not None:
            ends.append((max(0.0, last + idle - now), "idle", float(idle)))
        if age and started is not None:
            ends.append((max(0.0, started + age - now), "age", float(age)))
        return min(ends, key=lambda one: one[0] or 0.0, default=(None, "none", None))

    def view(
        self,
        model: dict[str, Any],
        session: p.SessionInfo | None,
        usage: p.UsageInfo | None,
        ending: str = "",
    ) -> SessionView:
        """Return what pages show of a server, given the hub's model of it and its last ending."""
        state = state_of(model)
        started = moment(model.get("started")) if state == "running" else None
        active = moment(model.get("last_activity")) if state == "running" else None
        left, why, span = self.time_left(started, active, time.time())
        running = state == "running"
        progress, stage = (None, "")
        if state == "starting" and session is not None and session.stage in p.START_STAGES:
            progress, stage = p.START_STAGES[session.stage]
        profile = str((model.get("user_options") or {}).get("profile") or "")
        url = str(model.get("full_url") or model["url"])
        server = str(model["name"])
        return SessionView(
            server=server,
            label=str(model.get("display_name") or server or "Default server"),
            url=url,
            state=state,
            stage=stage,
            progress=progress,
            ending=ending if state == "stopped" else "",
            started=started,
            last_activity=active,
            time_left=left if running else None,
            time_left_why=why if running else "none",
            time_limit=span if running else None,
            image=session.image if session is not None else "",
            profile=profile,
            profile_label=self._labels.get(profile, profile),
            gauges=gauges(usage) if running and usage is not None else None,
            links=self._links(server, url) if running else [],
            can_start=state == "stopped",
            can_stop=state in {"running", "starting"},
            can_remove=state == "stopped" and bool(server),
        )

    def _links(self, server: str, url: str) -> list[Link]:
        frame = f"{self._settings.prefix}session/{segment(server)}"
        return [
            Link(kind="lab", label="JupyterLab", url=f"{url}lab"),
            Link(kind="frame", label="With its gauges", url=frame),
        ]


def _agree(record: dict[str, Any], sessions: list[p.SessionInfo] | None) -> bool:
    """Tell whether hub and manager know of the same running servers, and of none on its way."""
    if sessions is None:
        return False
    models: dict[str, Any] = record.get("servers") or {}
    seen = {(name, state_of(one)) for name, one in models.items()}
    seen = {(name, state) for name, state in seen if state != "stopped"}
    known = {(one.server, one.state) for one in sessions if one.state != "ended"}
    return seen == known and all(state == "running" for _, state in seen)


def state_of(model: dict[str, Any]) -> State:
    """Return the state of a server in a word."""
    if model.get("pending") == "spawn":
        return "starting"
    if model.get("pending") == "stop":
        return "stopping"
    return "running" if model.get("ready") else "stopped"


def gauges(usage: p.UsageInfo) -> Gauges:
    """Return a reading of the manager as gauges."""
    disk = None
    if usage.disk is not None:
        disk = Gauge(used=usage.disk, limit=usage.disk_size or None)
    return Gauges(
        memory=Gauge(used=usage.memory, limit=usage.memory_limit),
        cpu=Gauge(used=usage.cpu, limit=usage.cpu_limit),
        disk=disk,
        pids=Gauge(used=usage.pids, limit=usage.pids_limit),
    )


def absent(url: str) -> dict[str, Any]:
    """Return the model of a default server that never ran."""
    return {"name": "", "url": url, "ready": False, "pending": None}


def _path(owner: str, server: str) -> str:
    if server:
        return f"/users/{segment(owner)}/servers/{segment(server)}"
    return f"/users/{segment(owner)}/server"
