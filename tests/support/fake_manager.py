"""A container manager without containers: behaves as the protocol says, in memory.

Sessions are small HTTP servers on addresses of 127.77.0.0/16. Tests steer it through its
attributes: errors to raise, stages to linger at, sessions to end.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from juliabox_ext.errors import (
    ConflictError,
    JuliaBoxError,
    NoRoomError,
    NotFoundError,
    UnavailableError,
)
from juliabox_manager import protocol as p

if TYPE_CHECKING:
    from _collections_abc import dict_values

VERSION = "6.1.1"


async def _pause(seconds: Callable[[], float]) -> None:
    """Wait so many seconds, of which there may be fewer meanwhile."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds():  # noqa: ASYNC110 a test changes it
        await asyncio.sleep(0.02)


class Sessions(dict[str, p.SessionInfo]):
    """Sessions by their ids, which tests look at while the manager's thread adds and removes."""

    def values(self) -> dict_values[str, p.SessionInfo]:
        """Return those of this moment: a dictionary that grows ends who goes through it."""
        return dict(self).values()


class FakeManager:
    """Implements ``call`` as the client does, and ``handle`` as the server wants it."""

    def __init__(self, port: int = p.SESSION_PORT) -> None:
        self.port = port
        self.sessions = Sessions()
        self.environments: dict[str, dict[str, str]] = {}
        self.volumes: set[str] = set()
        self.removed_volumes: list[str] = []
        self.images = {"juliabox/julia": "sha256:1"}
        self.verbs: list[p.Verb] = []
        self.pools: list[p.PoolInfo] = []
        self.tasks: list[p.TaskInfo] = []
        #: Verb class -> errors to raise, one a call.
        self.errors: dict[type[p.Verb], list[JuliaBoxError]] = {}
        #: Verb class -> seconds from what it does to its answer.
        self.delays: dict[type[p.Verb], float] = {}
        #: Verbs that are being answered, without those that wait for news.
        self.busy = 0
        #: Whether the manager answers at all.
        self.away = False
        #: Sessions, and bytes of their memory together, that there is room for; None for no bound.
        self.capacity: int | None = None
        self.memory: int | None = None
        #: Seconds that each stage of a start takes.
        self.pace = 0.0
        #: Session servers listen only if this is set.
        self.serving = True
        #: What session servers were sent, and seconds that they take to answer.
        self.heads: list[bytes] = []
        self.session_pause = 0.0
        #: What the next session ends with right after its release.
        self.doomed: p.ExitInfo | None = None
        self._events: list[p.Event] = [p.Event(sequence=1000, time=0.0, kind="cursor")]
        self._news = asyncio.Event()
        self._servers: dict[str, asyncio.Server] = {}
        self._addresses = (f"127.77.{a}.{b}" for a, b in itertools.product(range(9), range(1, 255)))

    async def call(self, verb: p.Verb, timeout: float = 30.0) -> Any:  # noqa: ASYNC109
        """Answer a verb as the manager would."""
        if self.away:
            await asyncio.sleep(0)
            raise UnavailableError("the manager does not answer")
        self.verbs.append(verb)
        if self.errors.get(type(verb)):
            raise self.errors[type(verb)].pop(0)
        work = not isinstance(verb, p.Events)
        self.busy += work
        try:
            result = await getattr(self, f"_{type(verb).__name__}")(verb)
        finally:
            self.busy -= work
        await _pause(lambda: self.delays.get(type(verb), 0.0))
        return result

    async def handle(self, client: str, verb: p.Verb) -> Any:
        """Answer a verb of a client that came over the wire."""
        return await self.call(verb)

    def asked(self, kind: type[p.Verb]) -> list[Any]:
        """Return the verbs of a kind that were asked for."""
        return [verb for verb in self.verbs if isinstance(verb, kind)]

    async def end(self, session: str, exit_info: p.ExitInfo) -> None:
        """Let a session end by itself."""
        await self._unserve(session)
        self._change(session, state="ended", exit=exit_info)

    async def fail(self, owner: str, code: str, message: str) -> None:
        """Tell of a session that was refused before it was made."""
        sequence = self._events[-1].sequence + 1
        event = p.Event(sequence, time.time(), "session.failed", "", code, message, owner=owner)
        self._add(event)

    async def close(self) -> None:
        """Stop all session servers."""
        for session in list(self._servers):
            await self._unserve(session)

    async def _SessionCreate(self, verb: p.SessionCreate) -> p.SessionInfo:
        old = self._find(verb.owner, verb.server)
        if old is not None and old.state != "ended":
            raise ConflictError(f"{verb.owner}/{verb.server} has session {old.session}")
        if old is not None:
            del self.sessions[old.session]
        if verb.image not in self.images:
            raise NotFoundError(f"image {verb.image} is not allowed", code="image.not_allowed")
        self._check_room(verb)
        await asyncio.sleep(self.pace)
        session = secrets.token_hex(8)
        self.sessions[session] = p.SessionInfo(
            session=session,
            owner=verb.owner,
            server=verb.server,
            state="created",
            image=verb.image,
            profile=verb.profile,
            limits=verb.limits,
            container="c" * 64,
            address="",
            port=self.port,
            started=0.0,
            stale=False,
        )
        self.volumes.add(verb.owner)
        return self.sessions[session]

    def _check_room(self, verb: p.SessionCreate) -> None:
        living = [one for one in self.sessions.values() if one.state != "ended"]
        promised = sum(one.limits.memory for one in living) + verb.limits.memory
        if self.capacity is not None and len(living) >= self.capacity:
            raise NoRoomError("all sessions are taken", code="no_room.sessions")
        if self.memory is not None and promised > self.memory:
            raise NoRoomError("all memory is taken", code="no_room.memory")

    async def _SessionStart(self, verb: p.SessionStart) -> p.SessionInfo:
        self._get(verb.session)
        self.environments[verb.session] = dict(verb.environment)
        self._change(verb.session, state="starting")
        for stage in ("start", "protect", "mount", "release"):
            self._stage(verb.session, stage)
            await asyncio.sleep(self.pace)
            if self._get(verb.session).state == "ended":
                raise ConflictError("the session was stopped while it started")
        address = next(self._addresses)
        if self.serving:
            await self._serve(verb.session, address)
        self._change(verb.session, state="running", address=address, started=time.time())
        self._stage(verb.session, "running")
        if self.serving and self.doomed is None:
            self._change(verb.session, ready=True)
            self._stage(verb.session, "ready")
        info = self.sessions[verb.session]
        if self.doomed is not None:
            doomed, self.doomed = self.doomed, None
            asyncio.get_running_loop().call_later(
                0.1, lambda: asyncio.ensure_future(self.end(verb.session, doomed))
            )
        return info

    async def _SessionInspect(self, verb: p.SessionInspect) -> p.SessionInfo:
        return self._get(verb.session)

    async def _SessionFind(self, verb: p.SessionFind) -> p.SessionInfo:
        info = self._find(verb.owner, verb.server)
        if info is None:
            raise NotFoundError(f"no session of {verb.owner!r}, server {verb.server!r}")
        return info

    async def _SessionList(self, verb: p.SessionList) -> list[p.SessionInfo]:
        return list(self.sessions.values())

    async def _SessionStop(self, verb: p.SessionStop) -> p.SessionInfo:
        self._get(verb.session)
        await self._unserve(verb.session)
        self._change(verb.session, state="ended", exit=p.ExitInfo(0, False, "It was stopped."))
        return self.sessions[verb.session]

    async def _SessionRetire(self, verb: p.SessionRetire) -> None:
        if verb.session in self.sessions:
            await self._SessionRemove(p.SessionRemove(verb.session))

    async def _SessionRemove(self, verb: p.SessionRemove) -> None:
        self._get(verb.session)
        await self._unserve(verb.session)
        self._change(verb.session, state="ended")
        del self.sessions[verb.session]

    async def _SessionUsage(self, verb: p.SessionUsage) -> p.UsageInfo:
        return self._usage(self._get(verb.session))

    async def _SessionUsages(self, verb: p.SessionUsages) -> list[p.UsageInfo]:
        return [
            self._usage(info)
            for info in self.sessions.values()
            if info.state == "running" and (verb.sessions is None or info.session in verb.sessions)
        ]

    @staticmethod
    def _usage(info: p.SessionInfo) -> p.UsageInfo:
        """Half of everything is in use."""
        limits = info.limits
        return p.UsageInfo(
            session=info.session,
            time=time.time(),
            memory=limits.memory // 2,
            memory_limit=limits.memory,
            cpu=limits.cpu / 2,
            cpu_limit=limits.cpu,
            pids=limits.pids // 2,
            pids_limit=limits.pids,
            disk=limits.disk // 2,
            disk_size=limits.disk,
        )

    async def _ImageEnsure(self, verb: p.ImageEnsure) -> p.ImageInfo:
        if verb.image not in self.images:
            raise NotFoundError(f"image {verb.image} is not allowed", code="image.not_allowed")
        return p.ImageInfo(image=verb.image, id=self.images[verb.image], present=True)

    async def _VolumeList(self, verb: p.VolumeList) -> list[p.VolumeInfo]:
        found = []
        for owner in sorted(self.volumes):
            mounted = [
                one.session
                for one in self.sessions.values()
                if one.owner == owner and one.state == "running"
            ]
            state: Any = "mounted" if mounted else "idle"
            found.append(p.VolumeInfo(f"home-{owner}", owner, "home", 2**30, 2**20, mounted, state))
        return [one for one in found if verb.owner in (None, one.owner)]

    async def _PoolList(self, verb: p.PoolList) -> list[p.PoolInfo]:
        return self.pools

    async def _PoolRenew(self, verb: p.PoolRenew) -> None:
        self.pools = [replace(one, ready=0, loading=one.wanted) for one in self.pools]

    async def _TaskList(self, verb: p.TaskList) -> list[p.TaskInfo]:
        return self.tasks

    async def _TaskResults(self, verb: p.TaskResults) -> list[p.TaskResult]:
        return [one.last for one in self.tasks if one.last is not None]

    async def _Stats(self, verb: p.Stats) -> p.StatsInfo:
        living = [one for one in self.sessions.values() if one.state != "ended"]
        promised = sum(one.limits.memory for one in living)
        return p.StatsInfo(len(living), 100, 2**34, promised, 2**35, "fake")

    async def _VolumeRemove(self, verb: p.VolumeRemove) -> None:
        if any(s.owner == verb.owner and s.state != "ended" for s in self.sessions.values()):
            raise ConflictError(f"{verb.owner} has running sessions")
        if verb.owner not in self.volumes:
            raise NotFoundError(f"{verb.owner} has no volume")
        self.volumes.remove(verb.owner)
        self.removed_volumes.append(verb.owner)

    async def _Events(self, verb: p.Events) -> list[p.Event]:
        if verb.after < 0:
            return [replace(self._events[-1], kind="cursor")]
        end = time.monotonic() + verb.wait
        while True:
            news = self._news
            later = [event for event in self._events[1:] if event.sequence > verb.after]
            found = [event for event in later if verb.session in (None, event.session)]
            if found or time.monotonic() >= end:
                return found
            try:
                # not wait_for, which loses a cancellation that comes with the news
                async with asyncio.timeout(end - time.monotonic()):
                    await news.wait()
            except TimeoutError:
                return []

    async def _Ping(self, verb: p.Ping) -> p.Pong:
        return p.Pong(ready=True, instance="fake")

    def _get(self, session: str) -> p.SessionInfo:
        if session not in self.sessions:
            raise NotFoundError(f"no session {session}")
        return self.sessions[session]

    def _find(self, owner: str, server: str) -> p.SessionInfo | None:
        found = (s for s in self.sessions.values() if (s.owner, s.server) == (owner, server))
        return next(found, None)

    def _change(self, session: str, **changes: Any) -> None:
        if changes.get("state") == "ended":
            changes["ended"] = time.time()
        self.sessions[session] = replace(self.sessions[session], **changes)
        if "state" in changes:
            self._emit("session.state", session, changes["state"])

    def _stage(self, session: str, stage: str) -> None:
        self._emit("session.stage", session, stage)

    def _emit(self, kind: Any, session: str, value: str) -> None:
        sequence = self._events[-1].sequence + 1
        info = self.sessions[session]
        reason = info.exit.reason if value == "ended" and info.exit else ""
        event = p.Event(sequence, time.time(), kind, session, value, reason)
        about = {name: getattr(info, name) for name in ("owner", "server", "image", "started")}
        self._add(replace(event, **about))

    def _add(self, event: p.Event) -> None:
        self._events.append(event)
        self._news.set()
        self._news = asyncio.Event()

    async def _serve(self, session: str, address: str) -> None:
        environment = self.environments[session]

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
                return
            await _pause(lambda: self.session_pause)
            body = b"session of " + environment.get("JUPYTERHUB_USER", "?").encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                + f"X-JupyterHub-Version: {VERSION}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            await writer.drain()
            writer.close()

        self._servers[session] = await asyncio.start_server(answer, address, self.port)

    async def _unserve(self, session: str) -> None:
        server = self._servers.pop(session, None)
        if server is not None:
            server.close()
