"""Compare what there is with what should be, and adopt or remove each difference.

What there is: containers with this installation's label, slot folders, mounts and loop devices,
network policies. What should be: the records, of sessions and of API containers, which are judged
alike. Done once when the manager starts (``first``), and again whenever news of the engine may have
been missed (``again``). Between these, they are looked at a few at a time (``some``), so that no
moment's work grows with their number.

=================================== ====================================================
found at the start                  done
=================================== ====================================================
container or slot without record    removed
record, made but answered to nobody removed
record, container gone              ended if it had been started, else forgotten
start cut off before the hand-over  can be started again; its container may go on waiting
start cut off at the hand-over      entry program waits: as above; server listens: running
claimed, container waits            kept: its slot listens again
claimed, container gone or tried    removed; the session's next start makes another
running                             adopted: home locked again, policy looked at
ending                              ended
of a kind that is not run any more  ended
=================================== ====================================================
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice, takewhile
from pathlib import Path
from typing import Final, Literal, TypeVar

import structlog

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.containers import Containers
from juliabox_manager.engine import Container
from juliabox_manager.lifecycle import Lifecycle
from juliabox_manager.live import Live, Registry
from juliabox_manager.metrics import METRICS
from juliabox_manager.parts import Parts
from juliabox_manager.pool import Pool
from juliabox_manager.protocol import SESSION_PORT
from juliabox_manager.records import RUNS, SessionRecord

T = TypeVar("T")
log = structlog.get_logger("juliabox.manager.reconcile")

#: Sessions looked at together: enough to be quick, few enough not to be felt.
_AT_ONCE: Final = 8

#: Seconds that a session may stay made but not started, and that an ended one is remembered.
UNSTARTED_LIMIT: Final = 900.0
ENDED_LIMIT: Final = 86_400.0

#: Ended sessions that are remembered at most: each may keep 10 KB of its last lines.
ENDED_COUNT: Final = 1000

#: Seconds after which an entry program that has not come back has taken its environment before the
#: restart: while it waits, it tries every 50 ms.
RESOLVE_LIMIT: Final = 10.0

#: Rounds of all sessions between two listings of all containers and slots: what belongs to nobody
#: is made by nobody but a manager that was killed, and found as the next one starts.
LISTING_ROUNDS: Final = 3

#: Attempts to set a network policy again before the session is ended.
_POLICY_ATTEMPTS: Final = 3

Verdict = Literal["nothing", "forget", "wait", "resolve", "keep", "end", "claimed", "vacate"]


def judge(record: SessionRecord, container: Container | None) -> Verdict:
    """Decide what becomes of a session that a restarted manager finds."""
    if record.retired or record.state in {"ended", "stopping"}:
        return "nothing" if record.state == "ended" and not record.retired else "end"
    if record.step in {"create.recorded", "create.slot"}:
        return "forget"
    if record.state != "running" and _replaceable(record):
        return _judge_claim(record, container)
    if container is None:
        return "forget" if record.state == "created" else "end"
    if record.state == "running" or record.step == "start.releasing":
        alive: Verdict = "keep" if record.state == "running" else "resolve"
        return alive if container.running else "end"
    return "wait"


def _replaceable(record: SessionRecord) -> bool:
    """Whether a session that does not run needs no container: its start would make one."""
    return record.warm or not record.container


def _judge_claim(record: SessionRecord, container: Container | None) -> Verdict:
    """Decide about a session that has a warm container, or whose container is being replaced."""
    if container is None or not container.running or not record.warm:
        return "vacate"
    return "claimed" if record.state == "created" else "resolve"


class Reconciler:
    """Brings engine, slots, mounts, policies and records together."""

    def __init__(
        self,
        parts: Parts,
        registry: Registry,
        lifecycle: Lifecycle,
        containers: Containers,
        pool: Pool,
    ) -> None:
        """Work with the given parts on the sessions of a registry, and on a pool."""
        self._pool = pool
        self._store = parts.store
        self._engine = parts.engine
        self._slots = parts.slots
        self._volumes = parts.volumes
        self._network = parts.network
        self._target = parts.target
        self._registry = registry
        self._lifecycle = lifecycle
        self._containers = containers
        #: Sessions that still have their turn in this round, how many of them at once, and the
        #: rounds since all containers were listed.
        self._due: deque[str] = deque()
        self._batch = 1
        self._next_round = 0.0
        self._rounds = 0

    # -- at the start -------------------------------------------------------------------------

    async def first(self) -> None:
        """Find out what the manager before this one left, and bring it in order.

        Raises if the engine does not answer; it may be called again then.
        """
        begun = time.monotonic()
        containers = {found.session: found for found in await self._engine.containers()}
        # those that have ended in the order in which they are to be forgotten
        for record in sorted(await self._store.sessions(), key=lambda record: record.ended_age):
            if record.session not in self._registry:
                self._registry.add(Live(record))
        await self._pool.adopt(containers, {live.record.session for live in self._registry})
        verdicts = [
            (live, self._judge(live, containers.get(live.record.session)))
            for live in self._registry
        ]
        await self._remove_orphans(containers.values())
        missing = await self._volumes.adopt(self._mounted(verdicts, containers))
        await self._remove_slots()

        async def adopt(found: tuple[Live, Verdict]) -> None:
            live, verdict = found
            await self._adopt(live, verdict, homeless=live.record.session in missing)

        await _together(adopt, verdicts)
        METRICS.reconcile_seconds.observe(time.monotonic() - begun)

    def _judge(self, live: Live, container: Container | None) -> Verdict:
        """Judge a session or an API container; end what this instance is not to run any more."""
        verdict = judge(live.record, container)
        if verdict in {"nothing", "forget"} or self._containers.admits(live.record):
            return verdict
        return "end"

    def _mounted(
        self, verdicts: list[tuple[Live, Verdict]], containers: dict[str, Container]
    ) -> dict[str, tuple[str, Path]]:
        """Return the homes that running containers may be using."""
        return {
            live.record.session: (live.record.owner, self._target(live.record.session))
            for live, verdict in verdicts
            if live.record.kind == "session"
            and verdict in {"keep", "resolve", "end"}
            and (found := containers.get(live.record.session)) is not None
            and found.running
        }

    async def _adopt(self, live: Live, verdict: Verdict, *, homeless: bool = False) -> None:
        """Carry out a verdict; what needs waiting for goes on by itself, and is not awaited."""
        record = live.record
        if verdict != "nothing":
            METRICS.reconcile_repairs.labels(verdict).inc()
            log.info("session found", session=record.session, step=record.step, verdict=verdict)
        if verdict == "forget":
            await self._containers.discard(live, "its making was cut off by a restart")
        elif verdict == "wait":
            async with live.lock:
                if record.state in {"created", "starting"}:  # nobody stopped it meanwhile
                    await self._lifecycle.step_back(live)
        elif verdict == "claimed":
            await self._slots.prepare(record.session)
        elif verdict == "vacate":
            async with live.lock:
                if record.state in {"created", "starting"}:
                    await self._lifecycle.vacate(live)
        elif verdict == "end":
            self._containers.in_background(_quietly(self._containers.end(live)))
        elif verdict in {"keep", "resolve"} and homeless:
            await self._containers.end(live, "its home is no longer mounted")
        elif verdict == "keep":
            await self._watch_over(live)
        elif verdict == "resolve":
            self._containers.in_background(_quietly(self._resolve(live)))

    async def _resolve(self, live: Live) -> None:
        """Find out whether a session's environment was handed over before the restart."""
        session = live.record.session
        async with live.lock:
            if live.record.state != "starting":
                return  # somebody stopped it meanwhile
            await self._slots.prepare(session)
            end = time.monotonic() + RESOLVE_LIMIT
            while (found := await self._engine.inspect(session)) is not None and found.running:
                late = time.monotonic() > end
                if late or await asyncio.to_thread(listens, found.pid, SESSION_PORT):
                    return await self._lifecycle.is_running(live, found)
                if await self._entry_waits(session, found.pid):
                    if live.record.warm:
                        return await self._lifecycle.vacate(live)
                    return await self._lifecycle.step_back(live)
        await self._containers.end(live)

    async def _entry_waits(self, session: str, pid: int) -> bool:
        try:
            await self._slots.await_entry(session, pid, 0.5)
        except JuliaBoxError:
            return False
        return True

    # -- again and again ----------------------------------------------------------------------

    async def again(self) -> None:
        """Look at everything, since news may have been missed."""
        begun = time.monotonic()
        await self._remove_orphans(await self._engine.containers())
        await self._pool.look_after()
        self._due.clear()
        await _together(self._look_after, self._registry)
        await self._remove_slots()
        await self._tidy()
        METRICS.reconcile_seconds.observe(time.monotonic() - begun)

    async def some(self, share: float, interval: float) -> None:
        """Look at a share of the sessions, so that each has its turn once in ``interval``."""
        begun = time.monotonic()
        if not self._due:
            if begun < self._next_round:
                return
            self._next_round = begun + interval
            self._rounds += 1
            if self._rounds >= LISTING_ROUNDS:
                self._rounds = 0
                await self._remove_orphans(await self._engine.containers())
                await self._remove_slots()
            await self._pool.look_after()
            await self._tidy()
            self._due.extend(live.record.session for live in self._registry)
            self._batch = max(1, math.ceil(len(self._due) * share))
        turn = [self._due.popleft() for _ in range(min(self._batch, len(self._due)))]
        lives = [live for session in turn if (live := self._registry.get(session)) is not None]
        await _together(self._look_after, lives)
        METRICS.reconcile_seconds.observe(time.monotonic() - begun)

    async def _tidy(self) -> None:
        await self._forget_oldest()
        # neither waits for the other to succeed
        await _quietly(self._volumes.purge())
        await self._store.flush()

    async def _look_after(self, live: Live) -> None:
        record = live.record
        if live.starting:
            await self._look_at_start(live)
        elif live.lock.locked():
            return  # in good hands
        elif record.retired or record.state == "stopping":
            # one that is stuck must not keep the others waiting
            self._containers.in_background(_quietly(self._containers.end(live)))
        elif record.state == "ended":
            return  # told to whoever asks, until it is forgotten
        elif record.state == "running":
            await self._watch_over(live)
        elif record.state == "starting":
            # a restart cut its start off, and could not find out at once what had become of it
            await self._adopt(live, judge(record, await self._engine.inspect(record.session)))
        elif not _replaceable(record) and await self._engine.inspect(record.session) is None:
            await self._containers.discard(live, "its container was removed")
        elif time.monotonic() - live.since > UNSTARTED_LIMIT:
            await self._containers.discard(live, "it was not started in time")

    async def _forget_oldest(self) -> None:
        """Bound age and number of ended sessions: no quota counts them."""
        before = self._store.age() - ENDED_LIMIT
        for ended in self._registry.ended.values():
            surplus = list(islice(ended.values(), max(0, len(ended) - ENDED_COUNT)))
            old = takewhile(lambda live: live.record.ended_age < before, ended.values())
            for live in dict.fromkeys([*surplus, *old]):
                await _quietly(self._containers.discard(live, ""))

    async def _look_at_start(self, live: Live) -> None:
        """Let a start know that its container has died, if the engine's news of it was missed."""
        if live.record.step in RUNS:
            found = await self._engine.inspect(live.record.session)
            if found is None or not found.running:
                live.exited.set()

    async def _watch_over(self, live: Live) -> None:
        """End a running session whose container has died; set its policy again if it is not there.

        The container is inspected right before: the pid of one that has died may be another's.
        """
        for attempt in range(_POLICY_ATTEMPTS):
            found = await self._engine.inspect(live.record.session)
            if found is None or not found.running:
                METRICS.reconcile_repairs.labels("end").inc()
                return await self._containers.end(live)
            live.pid = found.pid
            try:
                if live.record.warm and not await self._lifecycle.has_limits(live, found):
                    METRICS.reconcile_repairs.labels("limits").inc()
                    await self._lifecycle.raise_limits(live)
                if await self._network.in_place(found.pid, live.record.kind):
                    return
                METRICS.policy_repairs.inc()
                log.warning("network policy set again", session=live.record.session)
                return await self._network.apply(found.pid, live.record.kind)
            except JuliaBoxError as error:
                log.warning("network policy", session=live.record.session, error=str(error))
                await asyncio.sleep(0.2 * attempt)
        await self._containers.end(live, "its network could not be closed")

    # -- what belongs to nobody ---------------------------------------------------------------

    async def _remove_orphans(self, containers: Iterable[Container]) -> None:
        def orphan(container: Container) -> bool:
            if self._pool.knows(container.session):
                return False
            live = self._registry.get(container.session)
            return live is None or live.record.state == "ended"

        async def remove(container: Container) -> None:
            METRICS.reconcile_repairs.labels("orphan").inc()
            log.warning("container without session removed", session=container.session)
            await self._engine.remove(container)

        await _together(remove, filter(orphan, containers))

    async def _remove_slots(self) -> None:
        for session in await asyncio.to_thread(self._slots.list):
            live = self._registry.get(session)
            if self._pool.knows(session):
                continue
            if live is None or live.record.state == "ended":
                METRICS.reconcile_repairs.labels("slot").inc()
                await _quietly(self._slots.remove(session))


async def _together(work: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
    """Work on items a few at a time; the failure of one is logged and stops no other."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(item: T) -> None:
        async with gate:
            await _quietly(work(item))

    await asyncio.gather(*map(one, items))


async def _quietly(work: Awaitable[None]) -> None:
    try:
        await work
    except JuliaBoxError as error:
        log.warning("reconcile left something for the next time", error=error.message)
    except Exception:
        log.exception("reconcile failed at one session")


def listens(pid: int, port: int) -> bool:
    """Tell whether something listens on a TCP port in the network namespace of a process."""
    wanted = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        # local address is the second column, state (0A: listening) the fourth
        if any(f[1].endswith(wanted) and f[3] == "0A" for f in map(str.split, lines)):
            return True
    return False
