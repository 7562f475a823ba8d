"""The steps of the life of a session or an API container: made, started, ended.

Each method repeats harmlessly and can be cut off anywhere: what it was about to do is in the store
first, so that a restart ends in a known state. Callers see that no two of them run at once for one
session; different sessions never wait for each other. An API container is a session without home
and owner's name: what is said of sessions here is true of it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from juliabox_ext.errors import InternalError, JuliaBoxError, NotFoundError, UnavailableError
from juliabox_manager.endings import exit_info
from juliabox_manager.engine import Container
from juliabox_manager.live import Live, first_set, settle, to_its_end, while_it_lives
from juliabox_manager.metrics import METRICS
from juliabox_manager.parts import Parts
from juliabox_manager.pool import Pool, WarmStart
from juliabox_manager.protocol import START_STAGES, SessionState

log = structlog.get_logger("juliabox.manager.session")

#: Seconds for the entry program to connect, and to accept its environment: it may be importing the
#: single-user server meanwhile, which takes long when many start at once.
ENTRY_LIMIT: Final = 60.0
RELEASE_LIMIT: Final = 100.0

#: Seconds for the server to listen after it has its environment. One that takes longer goes on; its
#: caller is answered and looks for itself.
LISTEN_LIMIT: Final = 60.0

#: Seconds for the engine to tell that a container has died whose connection is gone.
NEWS_LIMIT: Final = 5.0

#: Seconds for the kernel to end a container after SIGKILL; it is stuck after that.
KILL_LIMIT: Final = 10.0

#: Seconds between two looks at a container that should end, beside the engine's events.
_LOOK_AGAIN: Final = 1.0


class Lifecycle:
    """Makes, starts and ends sessions."""

    def __init__(self, parts: Parts, pool: Pool) -> None:
        """Work with the given parts, and with the containers that sessions took from a pool."""
        self._store = parts.store
        self._engine = parts.engine
        self._slots = parts.slots
        self._volumes = parts.volumes
        self._network = parts.network
        self._hardening = parts.hardening
        self._events = parts.events
        self._target = parts.target
        self._warm = WarmStart(parts, pool, self._hand_over)
        self._stage_begun: dict[str, tuple[str, float]] = {}

    # -- making -------------------------------------------------------------------------------

    async def make(self, live: Live) -> None:
        """Make slot and container of a session that is known to nobody yet."""
        record = live.record
        await self._step(live, "create.recorded")
        self._tell_state(live)
        self._tell_stage(live, "create")
        await self._slots.prepare(record.session)
        await self._step(live, "create.slot")
        await self._make_container(live)
        await self._step(live, "create.container")
        self._tell_stage(live, "")

    async def claim(self, live: Live) -> None:
        """Write down that a warm container is a session's."""
        await self._step(live, "create.claimed")
        self._tell_state(live)

    async def _make_container(self, live: Live) -> None:
        record = live.record
        config = self._hardening.config(record.session, record.image_id, record.limits, record.kind)
        try:
            record.container = await to_its_end(self._engine.create(record.session, config))
        except NotFoundError as error:
            raise NotFoundError(
                f"image {record.image} is not on this instance ({error.message}); "
                "the operator runs `juliabox up` to build it",
                code="image.missing",
            ) from error

    # -- starting -----------------------------------------------------------------------------

    async def begin(self, live: Live, environment: dict[str, str]) -> None:
        """Start a session's container, close its network, mount the home, hand over.

        Returns when the server listens; raises what went wrong, with nothing undone.
        Nothing of the person's runs before policy and home are both in place. A warm container
        that does not become the session is replaced by one of its own.
        """
        record = live.record
        if record.warm:
            await self._step(live, "start.warm", state="starting")
            self._tell_state(live)
            self._tell_stage(live, "mount")
            if await self._warm.begin(live, environment, lambda: self._attach(live)):
                return
            await self._replace(live)
        told = f"{record.noun} ended while it started"
        await while_it_lives(live.exited, self._begin(live, environment), told, "session.failed")

    async def _begin(self, live: Live, environment: dict[str, str]) -> None:
        record = live.record
        await self._step(live, "start.starting", state="starting")
        self._tell_state(live)
        self._tell_stage(live, "start")
        await self._slots.prepare(record.session)
        # the disk is made, checked and mounted while the engine starts the container
        home = asyncio.create_task(self._attach(live))
        try:
            if not record.container:
                await self._make_container(live)
            pid = await self._start_closed(live)
            self._tell_stage(live, "mount")
            await home
        finally:
            await settle(home)
        await self._step(live, "start.mounted")
        await self._slots.await_entry(record.session, pid, ENTRY_LIMIT)
        await self._step(live, "start.releasing")
        await self._hand_over(live, environment, RELEASE_LIMIT)

    async def _attach(self, live: Live) -> None:
        """Mount the home; an API container has none, and is given no data of its publisher's."""
        record = live.record
        if record.kind == "session":
            await self._volumes.get_disk_for_user(
                record.owner, record.limits.disk, record.session, self._target(record.session)
            )

    async def _detach(self, live: Live) -> None:
        if live.record.kind == "session":
            await self._volumes.release(live.record.session, self._target(live.record.session))

    async def _hand_over(self, live: Live, environment: dict[str, str], limit: float) -> None:
        """Release a session whose entry program is connected; wait until its server listens."""
        record = live.record
        self._tell_stage(live, "release")
        await self._slots.release(record.session, environment, limit)
        record.started = time.time()
        await self._step(live, "start.running", state="running")
        self._tell_stage(live, "running")
        self._tell_state(live)
        live.ready = await self._slots.await_listening(record.session, LISTEN_LIMIT)
        if live.ready:
            self._tell_stage(live, "ready")
        elif record.kind == "api":
            await self._give_up(live)
        await self._slots.close(record.session)

    async def _give_up(self, live: Live) -> None:
        """Fail the start of an API container whose worker does not listen.

        A person looks for the server themselves; the API engine relies on the answer.
        """
        # the connection breaks a moment before the engine tells of a death
        await first_set([live.exited], NEWS_LIMIT)
        raise InternalError(
            f"the worker of {live.record.noun} did not listen", code="session.failed"
        )

    async def _replace(self, live: Live) -> None:
        """Remove a warm container that a start was tried on; the session gets another."""
        self._become_cold(live)
        await self._step(live, "start.replacing", state="starting")
        await self._remove_container(live)

    async def _remove_container(self, live: Live) -> None:
        session = live.record.session
        found = await self._engine.inspect(session)
        if found is not None:
            await to_its_end(self._engine.remove(found))
        await self._slots.close(session)
        live.exited.clear()

    @staticmethod
    def _become_cold(live: Live) -> None:
        # news of the container that is left behind concern the session no more
        live.record.warm, live.record.container, live.record.address = False, "", ""
        live.pid, live.ready = 0, False

    async def _start_closed(self, live: Live) -> int:
        """Start the container and load its network policy; return its first process."""
        record = live.record
        await to_its_end(self._engine.start(record.session))
        container = await self._engine.inspect(record.session)
        if container is None or not container.running:
            live.exited.set()
            raise InternalError(
                f"the container of {record.noun} ended at once", code="session.failed"
            )
        record.address, live.pid = container.address, container.pid
        await self._step(live, "start.started")
        self._tell_stage(live, "protect")
        await to_its_end(self._network.apply(container.pid, record.kind))
        await self._step(live, "start.protected")
        return container.pid

    # -- ending -------------------------------------------------------------------------------

    async def finish(self, live: Live, *, grace: float = 0.0, told: str = "") -> None:
        """End a session: kill, detach, remove container and slot; keep how it ended.

        ``told`` is the reason if the session does not end by itself. Raises ``UnavailableError``
        if the container cannot be ended now; the session is then "stopping" and a repeated call
        goes on where this one stopped.
        """
        record = live.record
        if record.state == "ended":
            return
        await self._step(live, "end.stopping", state="stopping")
        live.stage = ""
        self._tell_state(live)
        container = await self._engine.inspect(record.session)
        if container is not None and container.running:
            container = await self._kill(live, container, grace)
        if record.exit is None:
            lines = [] if container is None else await self._last_lines(container)
            record.exit = exit_info(container, lines, record.limits, told=told)
        await self._step(live, "end.stopped")
        await self._detach(live)
        await self._step(live, "end.detached")
        if container is not None:
            await to_its_end(self._engine.remove(container))
        await self._step(live, "end.container")
        await self._slots.remove(record.session)
        record.ended_age, record.ended = self._store.age(), time.time()
        record.address = ""
        await self._step(live, "end.ended", state="ended")
        self._tell_state(live, record.exit.reason)
        ends = METRICS.session_ends if record.kind == "session" else METRICS.api_ends
        ends.labels(_kind_of_end(record.exit.oom_killed, told)).inc()

    async def step_back(self, live: Live) -> None:
        """Let a session whose start was cut off by a restart be started again.

        Nothing of the person's has run in it. Its container may run; the entry program waits.
        """
        await self._detach(live)
        live.record.exit = None
        await self._step(live, "create.container", state="created")
        self._tell_state(live)

    async def vacate(self, live: Live) -> None:
        """Let a session be started again, in another container than the one that it may have.

        Nothing of the person's has run in that; it has been tried, or it has died.
        """
        self._become_cold(live)
        await self._step(live, "create.vacant", state="created")
        await self._remove_container(live)
        await self._detach(live)
        live.record.exit = None
        self._tell_state(live)

    async def is_running(self, live: Live, container: Container) -> None:
        """Record that a session's environment was handed over, as a restart found out."""
        if live.record.warm:
            await self.raise_limits(live)
        live.record.address, live.pid = container.address, container.pid
        live.record.started = live.record.started or container.started
        await self._step(live, "start.running", state="running")
        self._tell_state(live)
        await self._slots.close(live.record.session)

    async def has_limits(self, live: Live, container: Container) -> bool:
        """Tell whether a container that was warm has its session's limits."""
        return await self._warm.has_limits(live, container)

    async def raise_limits(self, live: Live) -> None:
        """Give a warm container its session's limits; repeats harmlessly."""
        await self._warm.raise_limits(live)

    async def retire(self, live: Live, grace: float) -> None:
        """Let a session give its name away; whoever calls sees that it is ended soon."""
        live.retire(grace)
        await self._store.retire(live.record)

    async def drop(self, live: Live) -> None:
        """Delete the record of a session that has ended."""
        self._stage_begun.pop(live.record.session, None)
        await self._store.forget(live.record.session)

    async def _kill(self, live: Live, container: Container, grace: float) -> Container | None:
        """End a running container; return how it ended, or None if it vanished."""
        if grace > 0:
            await self._engine.kill(container, "SIGTERM")
            found = await self._await_exit(live, grace, live.hurry)
            if found is None or not found.running:
                return found
        try:
            await self._engine.kill(container, "SIGKILL")
        except (InternalError, UnavailableError) as error:
            # what counts is whether it dies; an engine that is away says so below
            log.warning("kill", session=live.record.session, error=error.message)
        found = await self._await_exit(live, KILL_LIMIT)
        live.stuck = found is not None and found.running
        if live.stuck:
            raise UnavailableError(
                f"the container of {live.record.noun} does not end, probably because "
                "its disk does not answer; the manager keeps trying",
                code="session.stuck",
            )
        return found

    async def _last_lines(self, container: Container) -> list[str]:
        try:
            return await self._engine.last_lines(container)
        except JuliaBoxError as error:
            # a log that cannot be read, after a power cut say, must not keep a session from ending
            log.warning("last lines", session=container.session, error=error.message)
            return []

    async def _await_exit(
        self, live: Live, limit: float, hurry: asyncio.Event | None = None
    ) -> Container | None:
        """Wait until a container has died, told by an event or seen; return what was seen last.

        ``hurry`` ends the waiting early.
        """
        end = time.monotonic() + limit
        while True:
            found = await self._engine.inspect(live.record.session)
            left = end - time.monotonic()
            hurried = hurry is not None and hurry.is_set()
            if found is None or not found.running or left <= 0 or hurried:
                return found
            if live.exited.is_set():
                # the event comes a moment before the engine's own state
                await asyncio.sleep(0.05)
                continue
            news = [live.exited] if hurry is None else [live.exited, hurry]
            await first_set(news, min(left, _LOOK_AGAIN))

    # -- telling ------------------------------------------------------------------------------

    async def _step(self, live: Live, step: str, state: SessionState | None = None) -> None:
        before = live.record.state
        live.turn(state or before)
        try:
            await self._store.record(live.record, step)
        except JuliaBoxError:
            live.turn(before)  # an intent that is not on disk does not count
            raise

    def _tell_state(self, live: Live, message: str = "") -> None:
        record = live.record
        log.info(record.kind, session=record.session, state=record.state, message=message)
        self._events.tell("state", record, record.state, message)

    def _tell_stage(self, live: Live, stage: str) -> None:
        session, now = live.record.session, time.monotonic()
        before = self._stage_begun.pop(session, None)
        if before is not None:
            of_apis = live.record.kind == "api"
            spans = METRICS.api_start_seconds if of_apis else METRICS.start_seconds
            spans.labels(before[0]).observe(now - before[1])
        live.stage = stage
        if stage:
            self._events.tell("stage", live.record, stage, START_STAGES[stage][1])
            if stage != "ready":
                self._stage_begun[session] = (stage, now)


def _kind_of_end(oom_killed: bool, told: str) -> str:
    if told:
        return "manager"
    return "memory" if oom_killed else "own"
