"""Random interleavings of verbs, crashes, failures and restarts, on a machine without Docker.

Whatever happens: an environment goes only to a container with policy and home; no container serves
two people, or has the home of another than it serves; no home is taken from a running server;
nobody has two containers, retired ones apart; a running session gets its own limits; each verb ends
with a result or a typed error; the sums are those of a recount; and when all is removed, nothing is
left but warm containers that nobody had. API containers live among sessions: none has a home, the
network of a session, or two publishers, and no publisher has more of them than one may have.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager import lifecycle, reconcile, retired
from juliabox_manager.live import settle
from juliabox_manager.pool import pool as pool_module
from juliabox_manager.pool import shelf
from juliabox_manager.protocol import (
    ApiCreate,
    ApiList,
    ApiRetire,
    ApiStart,
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
from juliabox_manager.records import Kind
from juliabox_manager.service import Manager
from juliabox_manager.settings import ApiContainers, PoolSettings
from juliabox_manager.tally import Tally
from manager.test_policy import roomy_settings
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
LIMITS = Limits(memory=64 * 2**20, cpu=0.5, pids=64, disk=32 * 2**20)
CALLS = (
    "create", "start", "apply", "attach", "release", "inspect", "kill", "remove", "detach",
    "update", "await_entry", "await_loaded", "await_listening", "released", "remove_slot",
)  # fmt: skip
WARM = 2**26 - 2**20
API_LIMITS = msgspec.structs.replace(LIMITS, disk=0)
#: API containers of one publisher, and of all.
OF_ONE, OF_ALL = 2, 3

ACTIONS = st.one_of(
    st.tuples(
        st.sampled_from(
            ("create", "start", "start", "stop", "retire", "remove", "die", "life", "life")
        ),
        st.sampled_from(OWNERS),
    ),
    st.tuples(
        st.sampled_from(("api-create", "api-start", "api-retire", "api-hurry", "api-life")),
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
        self.settings = roomy_settings(
            folder,
            reconcile_interval=0.002,
            pool=PoolSettings(rule="fixed", size=size, warm_memory=WARM),
            api=ApiContainers(
                image="juliabox/julia-api",
                image_id="sha256:api",
                trusted=[],
                ceilings=API_LIMITS,
                containers=OF_ALL,
                containers_per_publisher=OF_ONE,
                pool=min(size, 1),
                warm_memory=WARM,
            ),
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
        works = [manager._work, *manager._containers._works, *pool._works]
        await settle(*works, *([pool._keeper] if pool._keeper else []))
        # who waits for its first look meets dead parts now, and not in ten seconds
        manager._reconciled.set()
        await self.store.close()
        await self.boot()

    async def call(self, verb: Any) -> Any:
        try:
            return await self.manager.handle("hub", verb)
        except (JuliaBoxError, Dead, asyncio.CancelledError):
            return None

    def _of(self, owner: str, kind: Kind = "session") -> list[str]:
        lives = self.manager._registry.all(kind)
        return [live.record.session for live in lives if live.record.owner == owner]

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
                for session in self._of(target) + self._of(target, "api"):
                    self.world.die(session)
            case "create":
                self.work(self.call(SessionCreate(target, "", "juliabox/julia", LIMITS)))
            case "life":
                self.work(self.life(target))
            case _ if action.startswith("api-"):
                self.act_on_apis(action, target)
            case _:
                verbs = {
                    "start": SessionStart,
                    "stop": SessionStop,
                    "retire": SessionRetire,
                    "remove": SessionRemove,
                }
                for session in self._of(target):
                    arguments = {"environment": {}} if action == "start" else {}
                    if action in {"stop", "retire"}:
                        arguments = {"grace": 0.001}
                    self.work(self.call(verbs[action](session=session, **arguments)))

    def act_on_apis(self, action: str, publisher: str) -> None:
        """Let something happen to a publisher's API containers."""
        match action:
            case "api-create":
                self.work(self.call(ApiCreate(publisher, "fib", 1, API_LIMITS)))
            case "api-life":
                self.work(self.api_life(publisher))
            case _:
                for container in self._of(publisher, "api"):
                    grace = 0.001 if action == "api-retire" else 0.0
                    verb: Any = ApiRetire(container, grace)
                    if action == "api-start":
                        verb = ApiStart(container, {"A": publisher})
                    self.work(self.call(verb))

    async def api_life(self, publisher: str) -> None:
        made = await self.call(ApiCreate(publisher, "fib", 2, API_LIMITS))
        if made is not None:
            await self.call(ApiStart(made.container, {"A": publisher}))

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
        publishers: Counter[str] = Counter()
        pool = self.manager._pool
        for warm in pool._warm.values():
            assert self.world.homes.get(warm.session) is None
            assert warm.container not in self.world.served, "somebody's container is warm"
        for live in self.manager._registry:
            assert not pool.knows(live.record.session), "a session's container is in the pool"
            box = self.world.boxes.get(live.record.session)
            running = box is not None and box.running
            counts = publishers if live.record.kind == "api" else owners
            counts[live.record.owner] += running and not live.record.retired
        assert all(number <= 1 for number in owners.values()), owners
        assert all(number <= OF_ONE for number in publishers.values()), publishers
        assert self.manager._registry.tallies["api"].living <= OF_ALL

    def recount(self) -> None:
        """See that the sums are those that counting anew gives."""
        registry = self.manager._registry
        kinds: tuple[Kind, ...] = ("session", "api")
        for kind in kinds:
            anew, lives = Tally(), registry.all(kind)
            for live in lives:
                anew.count(live.record)
            assert vars(registry.tallies[kind]) == vars(anew)
            assert {live.record.session for live in registry.ended[kind].values()} == {
                live.record.session for live in lives if live.record.state == "ended"
            }
        for owner in OWNERS:
            named = [live for live in registry.all("session") if live.record.owner == owner]
            assert {id(live) for live in registry.retired(owner)} == {
                id(live) for live in named if live.record.retired
            }
            held = [live for live in named if not live.record.retired]
            assert registry.find(owner, "") is (held[0] if held else None)

    async def finish(self) -> None:
        """See that everybody can start, and that nothing is left when all is removed."""
        self.world.failures.clear()
        await asyncio.wait_for(asyncio.gather(*self.works), 60)
        # a manager that has just begun does not know its sessions yet
        await self.manager.handle("hub", SessionList())
        for owner in OWNERS:
            for session in self._of(owner):
                await self.call(SessionRemove(session))
            made = await self.manager.handle(
                "hub", SessionCreate(owner, "", "juliabox/julia", LIMITS)
            )
            info = await self.manager.handle("hub", SessionStart(made.session, {}))
            assert info.state == "running"
            await self.has_limits(info.session)
            assert (await self.manager.handle("hub", SessionInspect(made.session))) == info
        await self.finish_apis()
        self.check()
        self.recount()
        for info in await self.manager.handle("hub", SessionList()):
            await self.manager.handle("hub", SessionRemove(info.session))
        world, pool = self.world, self.manager._pool
        assert self.settings.api is not None
        size = self.settings.pool.size + self.settings.api.pool
        end = time.monotonic() + 20
        while time.monotonic() < end:
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

    async def finish_apis(self) -> None:
        """See that everybody's API can have a container, and retire it."""
        for publisher in OWNERS:
            await self.no_apis()
            made = await self.manager.handle("api", ApiCreate(publisher, "fib", 7, API_LIMITS))
            info = await self.manager.handle("api", ApiStart(made.container, {"A": publisher}))
            assert (info.state, info.publisher, info.version) == ("running", publisher, 7)
            await self.has_limits(info.container)
        await self.no_apis()

    async def has_limits(self, session: str) -> None:
        """Wait until a container that runs has its own limits: they are raised behind."""
        async with asyncio.timeout(20):
            while self.world.boxes[session].memory != LIMITS.memory:
                self.manager._look_again.set()
                await asyncio.sleep(0.002)

    async def no_apis(self) -> None:
        """Retire all API containers, and wait until they are gone."""
        for info in await self.manager.handle("api", ApiList()):
            await self.manager.handle("api", ApiRetire(info.container))
        async with asyncio.timeout(20):
            while await self.manager.handle("api", ApiList()):
                self.manager._look_again.set()
                await asyncio.sleep(0.002)


@given(st.lists(ACTIONS, max_size=25), st.integers(0, 2**32), st.sampled_from((0, 2, 2)))
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
        mock.patch.object(retired, "HOME_LIMIT", 20.0),
        mock.patch.object(pool_module, "QUIET", 0.001),
        mock.patch.object(pool_module, "FIRST_WAIT", 0.002),
        mock.patch.object(pool_module, "LONGEST_WAIT", 0.01),
        mock.patch.object(lifecycle, "KILL_LIMIT", 0.05),
        mock.patch.object(reconcile, "listens", lambda pid, port: False),
    ):
        asyncio.run(run(Path(folder)))
