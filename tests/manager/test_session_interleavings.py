"""Random interleavings of verbs, crashes, failures and restarts, on a machine without Docker.

Whatever happens: an environment goes only to a container with policy and home; no container serves
two people, or has the home of another than it serves; no home is taken from a running server;
nobody has two containers, retired ones apart; a running session has its own limits; each verb ends
with a result or a typed error; the sums are those of a recount; and when all is removed, nothing is
left but warm containers that nobody had.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager import lifecycle, reconcile, retired, service
from juliabox_manager.live import settle
from juliabox_manager.pool import pool as pool_module
from juliabox_manager.pool import shelf
from juliabox_manager.protocol import (
    Limits,
    PoolRenew,
    SessionCreate,
    SessionInspect,
    SessionList,
    SessionRemove,
    SessionRetire,
    SessionStart,
    SessionStop,
    VolumeRemove,
)
from juliabox_manager.service import Manager
from juliabox_manager.settings import PoolSettings
from juliabox_manager.tally import Tally
from manager.test_policy import settings as manager_settings
from support.fake_parts import (
    Dead,
    FakeEngine,
    FakeNetwork,
    FakeSlots,
    FakeVolumes,
    MortalStore,
    World,
)

OWNERS = ("ada", "bob")
#: Schedules that are tried; a soak asks for thousands.
EXAMPLES = int(os.environ.get("JULIABOX_INTERLEAVINGS", "40"))
LIMITS = Limits(memory=64 * 2**20, cpu=0.5, pids=64, disk=32 * 2**20)
CALLS = (
    "create", "start", "apply", "attach", "release", "inspect", "kill", "remove", "detach",
    "update", "await_entry", "await_loaded", "await_listening", "released", "remove_slot",
)  # fmt: skip
WARM = 2**26 - 2**20

ACTIONS = st.one_of(
    st.tuples(
        st.sampled_from(
            ("create", "start", "start", "stop", "retire", "remove", "die", "life", "life")
        ),
        st.sampled_from(OWNERS),
    ),
    st.tuples(st.just("fail"), st.sampled_from(CALLS)),
    st.tuples(st.sampled_from(("kill", "pause", "reconcile", "renew", "die-warm")), st.just("")),
)


class Machine:
    """One world with one manager at a time."""

    def __init__(self, folder: Path, seed: int, size: int) -> None:
        self.folder = folder
        self.world = World(random.Random(seed))
        self.works: list[asyncio.Task[Any]] = []
        made = manager_settings(folder)
        self.settings = msgspec.structs.replace(
            made,
            capacity=msgspec.structs.replace(made.capacity, disk_reserve=0, memory=0),
            reconcile_interval=0.002,
            pool=PoolSettings(rule="fixed", size=size, warm_memory=WARM),
        )

    async def boot(self) -> None:
        parts = FakeSlots(self.world), FakeVolumes(self.world), FakeNetwork(self.world)
        engine = FakeEngine(self.world)
        store = MortalStore(self.folder / "manager.sqlite")
        self.parts = [engine, *parts, store]
        self.store = store
        self.manager = Manager(self.settings, store, engine, *parts)  # type: ignore[arg-type]
        await self.manager.start()

    async def kill(self) -> None:
        """End the manager so that it can do nothing more, then begin another."""
        for part in self.parts:
            part.dead = True
        manager = self.manager
        assert manager._work is not None
        pool = manager._pool
        works = [manager._work, *manager._sessions._works, *pool._works]
        await settle(*works, *([pool._keeper] if pool._keeper else []))
        await self.store.close()
        await self.boot()

    async def call(self, verb: Any) -> Any:
        try:
            return await self.manager.handle("hub", verb)
        except (JuliaBoxError, Dead, asyncio.CancelledError):
            return None

    def _sessions(self, owner: str) -> list[str]:
        registry = self.manager._registry
        return [live.record.session for live in registry if live.record.owner == owner]

    async def act(self, action: str, target: str) -> None:
        match action:
            case "kill":
                await self.kill()
            case "pause":
                await asyncio.sleep(0.003)
            case "fail":
                self.world.failures.append(target)
            case "reconcile":
                self.manager._look_again.set()
            case "die":
                for session in self._sessions(target):
                    self.world.die(session)
            case "create":
                self.work(self.call(SessionCreate(target, "", "juliabox/julia", LIMITS)))
            case "life":
                self.work(self.life(target))
            case _:
                verbs = {
                    "start": SessionStart,
                    "stop": SessionStop,
                    "retire": SessionRetire,
                    "remove": SessionRemove,
                }
                for session in self._sessions(target):
                    arguments = {"environment": {}} if action == "start" else {}
                    if action in {"stop", "retire"}:
                        arguments = {"grace": 0.001}
                    self.work(self.call(verbs[action](session=session, **arguments)))

    def disturb(self, action: str) -> None:
        """Let something happen to the pool."""
        if action == "renew":
            self.work(self.call(PoolRenew()))
        elif action == "die-warm":
            for session in list(self.manager._pool._warm)[:1]:
                self.world.die(session)

    async def life(self, owner: str) -> None:
        made = await self.call(SessionCreate(owner, "", "juliabox/julia", LIMITS))
        if made is not None:
            await self.call(SessionStart(made.session, {"A": owner}))
            await self.call(VolumeRemove(owner))

    def work(self, coroutine: Any) -> None:
        self.works.append(asyncio.create_task(coroutine))

    def check(self) -> None:
        self.world.check()
        assert self.world.faults == []
        owners: Counter[str] = Counter()
        pool = self.manager._pool
        for warm in pool._warm.values():
            assert self.world.homes.get(warm.session) is None
            assert warm.container not in self.world.served, "somebody's container is warm"
        for live in self.manager._registry:
            assert not pool.knows(live.record.session), "a session's container is in the pool"
            box = self.world.boxes.get(live.record.session)
            running = box is not None and box.running
            owners[live.record.owner] += running and not live.record.retired
        assert all(number <= 1 for number in owners.values()), owners

    def recount(self) -> None:
        """See that the sums are those that counting anew gives."""
        registry, anew = self.manager._registry, Tally()
        for live in registry:
            anew.count(live.record)
        assert vars(registry.tally) == vars(anew)
        assert {live.record.session for live in registry.ended.values()} == {
            live.record.session for live in registry if live.record.state == "ended"
        }
        for owner in OWNERS:
            named = [live for live in registry if live.record.owner == owner]
            assert {id(live) for live in registry.retired(owner)} == {
                id(live) for live in named if live.record.retired
            }
            held = [live for live in named if not live.record.retired]
            assert registry.find(owner, "") is (held[0] if held else None)

    async def finish(self) -> None:
        """See that everybody can start, and that nothing is left when all is removed."""
        self.world.failures.clear()
        await asyncio.wait_for(asyncio.gather(*self.works), 20)
        # a manager that has just begun does not know its sessions yet
        await self.manager.handle("hub", SessionList())
        for owner in OWNERS:
            for session in self._sessions(owner):
                await self.call(SessionRemove(session))
            made = await self.manager.handle(
                "hub", SessionCreate(owner, "", "juliabox/julia", LIMITS)
            )
            info = await self.manager.handle("hub", SessionStart(made.session, {}))
            assert info.state == "running"
            assert self.world.boxes[info.session].memory == LIMITS.memory
            assert (await self.manager.handle("hub", SessionInspect(made.session))) == info
        self.check()
        self.recount()
        for info in await self.manager.handle("hub", SessionList()):
            await self.manager.handle("hub", SessionRemove(info.session))
        world, pool = self.world, self.manager._pool
        size = self.settings.pool.size
        for _ in range(1000):
            self.manager._look_again.set()
            ready = {name for name, warm in pool._warm.items() if warm.ready}
            if len(ready) == size and ready == set(world.boxes) == world.slots and not world.homes:
                break
            await asyncio.sleep(0.002)
        assert ready == set(world.boxes) == world.slots, pool._trouble
        assert (len(ready), world.homes, await self.store.sessions()) == (size, {}, [])
        assert {row.session for row in await shelf.rows(self.store)} == ready
        assert {box.memory for box in world.boxes.values()} <= {WARM}
        self.check()
        await self.manager.close()


@given(st.lists(ACTIONS, max_size=25), st.integers(0, 2**32), st.sampled_from((0, 2, 2)))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
def test_no_interleaving_breaks_a_promise(
    actions: list[tuple[str, str]], seed: int, size: int
) -> None:
    async def run(folder: Path) -> None:
        machine = Machine(folder, seed, size)
        await machine.boot()
        for action, target in actions:
            if action in {"renew", "die-warm"}:
                machine.disturb(action)
            else:
                await machine.act(action, target)
            for _ in range(machine.world.chance.randrange(30)):
                await asyncio.sleep(0)
            machine.check()
            machine.recount()
        await machine.finish()

    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        mock.patch.object(reconcile, "RESOLVE_LIMIT", 0.05),
        mock.patch.object(service, "READY_LIMIT", 2.0),
        mock.patch.object(retired, "HOME_LIMIT", 2.0),
        mock.patch.object(retired, "ROOM_LIMIT", 2.0),
        mock.patch.object(pool_module, "QUIET", 0.001),
        mock.patch.object(pool_module, "FIRST_WAIT", 0.002),
        mock.patch.object(pool_module, "LONGEST_WAIT", 0.01),
        mock.patch.object(lifecycle, "KILL_LIMIT", 0.05),
        mock.patch.object(reconcile, "listens", lambda pid, port: False),
    ):
        asyncio.run(run(Path(folder)))
