"""JuliaBoxSpawner: DockerSpawner's flow, with the container manager in place of an engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from docker.errors import APIError

from juliabox_ext.errors import JuliaBoxError, NotFoundError
from juliabox_manager.protocol import (
    SESSION_PORT,
    Event,
    SessionInfo,
    SessionList,
    SessionRemove,
    VolumeRemove,
)
from juliabox_spawner import options, profiles
from juliabox_spawner.configuration import SpawnerOptions
from juliabox_spawner.engine import SLOW, Engine, StandIn, accepts
from juliabox_spawner.failures import StartError, exit_error, exit_text, failure_of
from juliabox_spawner.names import session_name
from juliabox_spawner.progress import EventFeed, Progress
from juliabox_spawner.start_queue import StartQueue, Turn, may_wait, starts_at_once

#: Seconds between two attempts to connect to a server that is starting.
_KNOCK = 0.05

#: Seconds of JupyterHub's start_timeout that are left for cleaning up.
_SPARE = 2.0

#: Seconds after which the steps of a start are worth following.
_QUICK = 0.3

#: Seconds between two looks at a session that is starting, beside the events.
_LOOK = 2.0


class JuliaBoxSpawner(SpawnerOptions):
    """Starts single-user servers through JuliaBox's container manager.

    The two seams through which DockerSpawner touches an engine, ``docker()`` and ``client``, are
    replaced; see :mod:`juliabox_spawner.engine`. What DockerSpawner offers and the manager has no
    verb for is refused; see :mod:`juliabox_spawner.options`.
    """

    _feeds: ClassVar[dict[int, EventFeed]] = {}
    _queues: ClassVar[dict[int, StartQueue]] = {}

    def __init__(self, **kwargs: Any) -> None:
        self._engine: Engine | None = None
        #: Why the previous session ended by itself, for the page that offers a new start.
        self.last_exit: dict[str, Any] = {}
        super().__init__(**kwargs)
        self._steps = Progress()
        self._steps.finish()
        self._ended = asyncio.Event()
        self._turn: Turn | None = None
        #: Ends a start that takes too long; set anew whenever its turn comes.
        self._clock = asyncio.timeout(None)
        self._following: asyncio.Task[None] | None = None
        self._profile: profiles.Profile | None = None

    # -- the seams -------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The engine as this spawner sees it."""
        if self._engine is None:
            self._engine = Engine(self.manager, self.user.name, self.name)
            self._engine.session = self.object_id or ""
            self._engine.on_created = self._created
        self._engine.network = self.network_name
        self._engine.stop_grace = self.stop_grace
        return self._engine

    @property
    def client(self) -> StandIn:
        """Stand-in for a Docker client; DockerSpawner asks it for host_config alone."""
        return StandIn()

    def docker(self, method: str, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        """Ask the manager what DockerSpawner asks of Docker.

        A plain function that returns a future, as DockerSpawner's own.
        """
        return self.engine.call(method, *args, **kwargs)

    def _object_name_default(self) -> str:
        return session_name(self.user.name, self.name)

    async def get_command(self) -> list[str]:
        """Return nothing: the image's entry program is the command."""
        return []

    async def get_ip_and_port(self) -> tuple[str, int]:
        """Return where the manager says that the session's server listens."""
        info = self.engine.info
        if info is None or not info.address:
            raise exit_error(info.exit if info else None)
        return info.address, info.port

    async def get_object(self) -> None:
        """Return nothing: the manager tells of a leftover session when asked for a new one."""

    async def create_object(self) -> Any:
        """Have a session made; while there is no room, wait in the queue."""
        while True:
            try:
                made = await super().create_object()
            except APIError as error:
                refusal = error.__cause__
                if self._turn is None or not may_wait(refusal):
                    raise
                self._clock.reschedule(None)
                await self._turn.no_room(refusal)
                self._clock.reschedule(self._turn.began + self._limit())
            else:
                if self._turn is not None:
                    self._turn.found_room()
                return made

    def get_env(self) -> dict[str, str]:
        """Return the environment with the limits that were decided and the profile's additions."""
        env: dict[str, str] = super().get_env()
        if self.api_url:
            env["JULIABOX_API_URL"] = self.api_url
        if self._profile is not None:
            env.update(self._profile.environment)
            env["JULIABOX_PROFILE"] = self._profile.slug
        decided = self.engine.limits
        if decided is not None:
            env["MEM_LIMIT"] = str(decided.memory)
            env["CPU_LIMIT"] = str(decided.cpu)
        return env

    async def _decide(self) -> None:
        unknown = sorted(set(self.user_options) - {"profile", "image"})
        if unknown:
            names = ", ".join(str(name)[:63] for name in unknown)
            raise StartError(
                f"Unknown options: {names}. Options: profile, image.",
                reason="options",
                status_code=400,
            )
        self._profile = profiles.choose(await self.get_profiles(), self.user_options)
        if self._profile is not None and self._profile.image:
            self.image = self._profile.image
        self.engine.limits = self.limits_for(self._profile)
        self.engine.profile = self._profile.slug if self._profile else ""

    # -- start -----------------------------------------------------------------------------

    async def start(self) -> tuple[str, int]:
        """Start a session and return its address once its server accepts connections.

        Raise ``StartError`` with a reason and a text for the person; nothing is left behind.
        """
        self._steps = steps = Progress()
        self._ended = asyncio.Event()
        try:
            return await self._start(steps)
        except TimeoutError as error:
            await self._discard()
            raise StartError(
                f"Your server did not start within {self.start_limit or self.start_timeout:g} "
                "seconds. Try again; if this happens again, tell the operator of this service.",
                reason="timeout",
                status_code=504,
            ) from error
        except asyncio.CancelledError:
            steps.report(100, "Start was cancelled")
            raise
        except Exception as error:
            failure = failure_of(error)
            await self._discard()
            if failure is error:
                raise
            raise failure from error
        finally:
            steps.finish()
            self._turn = None
            if self._following is not None:
                self._following.cancel()

    async def _start(self, steps: Progress) -> tuple[str, int]:
        steps.report(1, "Checking the image and your limits")
        options.check_spawner(self)
        await self._decide()
        assert self.engine.limits is not None  # noqa: S101  # decided
        wait = min(self.queue_timeout, self.start_timeout - self._limit() - _SPARE / 2)
        memory = self.engine.limits.memory
        async with self._queue().turn(memory, steps.moment, max(wait, 0.1)) as turn:
            self._turn = turn
            await turn.come()
            async with asyncio.timeout(self._limit()) as self._clock:
                ip, port = await super().start()
                await self._await_server(ip, port)
        self.last_exit = {}
        return ip, port

    def _limit(self) -> float:
        """Return the seconds that a start may take once its turn has come."""
        return self.start_limit or max(self.start_timeout - _SPARE, 1.0)

    def _created(self, session: str) -> None:
        self.object_id = session
        self._steps.stage("create")
        self._following = asyncio.create_task(self._follow(session), name="progress of a start")

    async def _follow(self, session: str) -> None:
        """Take note of the manager's events, unless the start is over in a moment."""
        await asyncio.sleep(_QUICK)
        async with self._feed().listening(session, self._on_event):
            await asyncio.Event().wait()

    def _on_event(self, event: Event) -> None:
        if event.kind == "session.stage":
            self._steps.stage(event.value)
        if event.kind == "session.state" and event.value == "ended":
            self._ended.set()

    async def _await_server(self, ip: str, port: int) -> None:
        """Wait until the server accepts connections; raise ``StartError`` if it ends before."""
        self._steps.stage("running")
        if self.engine.info is not None and self.engine.info.ready:
            self._steps.stage("ready")
            return
        looked = time.monotonic()
        while not await accepts(ip, port):
            if self._ended.is_set() or time.monotonic() - looked > _LOOK:
                looked = time.monotonic()
                await self._fail_if_ended()
                self._ended.clear()
            await asyncio.sleep(_KNOCK)

    async def _fail_if_ended(self) -> None:
        try:
            info = await self.engine.look()
        except JuliaBoxError as error:
            self.log.warning("%s: the manager does not answer: %s", self._log_name, error)
            return
        if info is None or info.state == "ended":
            raise exit_error(info.exit if info else None)

    async def _discard(self) -> None:
        """Remove what a failed start left; a manager that is away removes it when it is back."""
        try:
            info = await self.engine.look()
            if info is not None:
                await self.manager.call(SessionRemove(session=info.session), timeout=SLOW)
        except JuliaBoxError as error:
            self.log.warning("%s: cleaning up a failed start: %s", self._log_name, error)
        self.engine.session = self.object_id = ""

    async def progress(self) -> AsyncIterator[dict[str, object]]:
        """Yield the place in the queue and the stages of the start that is under way."""
        async for step in self._steps.follow():
            yield step

    # -- running and stopping --------------------------------------------------------------

    async def poll(self) -> Any:
        """Return None while the session runs, else a text that says how it ended.

        A manager that does not answer says nothing about the session: it counts as running.
        """
        if self.engine.changing or (self._stop_pending and self.engine.session):
            # stop() itself finds out what there is to stop
            return None
        try:
            info = await self.engine.look()
        except JuliaBoxError as error:
            if not self.object_id and self.orm_spawner.server is None:
                return 0
            self.log.warning("%s: not known whether it runs: %s", self._log_name, error)
            return None
        if info is None:
            self.object_id = ""
            return 0
        if info.state != "ended":
            return await self._running(info)
        self._remember(info)
        text = exit_text(info.exit)
        self.log.warning("%s ended: %s", self._log_name, text)
        await self._discard()
        return text

    async def _running(self, info: SessionInfo) -> Any:
        if self.object_id or self._start_pending:
            self.object_id = info.session
            return None
        # the hub was killed between asking for this session and noting it: its token is lost
        self.log.warning("%s: removing a start that the hub did not finish", self._log_name)
        await self._discard()
        return 0

    def _remember(self, info: SessionInfo) -> None:
        self.last_exit = {
            "text": exit_text(info.exit),
            "oom": bool(info.exit and info.exit.oom_killed),
            "lines": info.exit.last_lines if info.exit else [],
            "time": time.time(),
        }

    async def stop(self, now: bool = False) -> None:
        """Let the manager end the session; return at once, before it has ended.

        It has ``stop_grace`` seconds to save its work, none with ``now``. A start that is under
        way is awaited or cut short. DockerSpawner's own flow, which waits for the container to end
        and then removes it, has no part in this.
        """
        engine = self.engine
        if engine.changing and not engine.session:
            await engine.settle(SLOW)
        self.log.info("Stopping %s (session %s)", self._log_name, engine.session or "unknown")
        try:
            await engine.retire(0.0 if now else self.stop_grace)
        except JuliaBoxError as error:
            raise failure_of(error) from error
        self.object_id = ""
        self.clear_state()

    def get_state(self) -> dict[str, Any]:
        """Return what a restarted hub needs, and why the last session ended."""
        state: dict[str, Any] = super().get_state()
        if self.last_exit:
            state["last_exit"] = self.last_exit
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what the hub stored before it was restarted."""
        super().load_state(state)
        self.last_exit = state.get("last_exit", {})
        if self._engine is not None:
            self._engine.session = self.object_id or ""

    async def get_url(self) -> str:
        """Return the server's address as the manager knows it, else as the hub stored it."""
        try:
            info = await self.engine.look()
        except JuliaBoxError:
            info = None
        if info is not None and info.address:
            return f"http://{info.address}:{info.port or SESSION_PORT}{self.server.base_url}"
        return str(self.server.url)

    # -- deletion --------------------------------------------------------------------------

    async def delete_forever(self) -> None:
        """Remove what belongs to a deleted server; with the default server, the home volume.

        JupyterHub deletes a default server only together with its user. The manager keeps a
        removed volume for the operator's grace period.
        """
        if self.name == "":
            await self.delete_home()
        else:
            await self._discard()

    async def delete_home(self) -> None:
        """Remove all sessions and the home volume of this person; raise ``JuliaBoxError``.

        Done again it does nothing. A volume that could not be removed must stop the deletion of
        its user: a later user of the same name would find it.
        """
        sessions: list[SessionInfo] = await self.manager.call(SessionList())
        for info in sessions:
            if info.owner == self.user.name:
                await self.manager.call(SessionRemove(session=info.session), timeout=SLOW)
        try:
            await self.manager.call(VolumeRemove(owner=self.user.name), timeout=SLOW)
        except NotFoundError:
            self.log.debug("%s has no home volume", self.user.name)

    def _feed(self) -> EventFeed:
        key = id(self.manager)
        if key not in self._feeds:
            self._feeds[key] = EventFeed(self.manager)
        return self._feeds[key]

    def _queue(self) -> StartQueue:
        key = id(self.manager)
        if key not in self._queues:
            self._queues[key] = StartQueue(starts_at_once(self.concurrent_starts), self._feed())
        return self._queues[key]
