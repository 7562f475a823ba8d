"""A warm container that dies while the engine's news of it are missed, on no engine at all."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import msgspec
import pytest

from juliabox_manager.events import EventLog
from juliabox_manager.hardening import Hardening
from juliabox_manager.parts import Parts
from juliabox_manager.pool import Pool
from juliabox_manager.pool import pool as pool_module
from juliabox_manager.pool.size import Room
from juliabox_manager.settings import PoolSettings
from juliabox_manager.store import Store
from manager.test_policy import settings as manager_settings
from support.fake_parts import FakeEngine, FakeNetwork, FakeSlots, FakeVolumes, World
from support.waiting import until


class LoadingSlots(FakeSlots):
    """Entry programs that load for ever."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        #: Those whose modules the manager waits for.
        self.awaited: set[str] = set()

    async def await_loaded(self, session: str) -> None:
        self.awaited.add(session)
        await asyncio.Event().wait()


async def test_one_that_died_while_it_loaded_is_replaced_by_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("QUIET", "FIRST_WAIT"):
        monkeypatch.setattr(pool_module, name, 0.001)
    settings = msgspec.structs.replace(
        manager_settings(tmp_path), pool=PoolSettings(rule="fixed", size=1, warm_memory=2**25)
    )
    world, store = World(random.Random(1)), Store(tmp_path / "manager.sqlite")
    await store.open()
    slots = LoadingSlots(world)
    parts = Parts(
        store=store,
        engine=FakeEngine(world),  # type: ignore[arg-type]
        slots=slots,
        volumes=FakeVolumes(world),
        network=FakeNetwork(world),
        hardening=Hardening(settings),
        events=EventLog(store),
        target=Path,
    )
    pool = Pool(settings, parts, lambda _: Room(containers=10, memory=None))
    pool.begin()
    try:
        first = await _one_that_loads(world, slots)
        world.die(first)  # nobody listens to the engine
        await pool.look_after()
        assert await _one_that_loads(world, slots) != first
        assert first not in world.boxes
    finally:
        await pool.close()
        await store.close()


async def _one_that_loads(world: World, slots: LoadingSlots) -> str:
    """Wait until the manager waits for the modules of one that runs; return it."""

    def found() -> list[str]:
        running = [box for box in world.boxes.values() if box.running and box.protected]
        return [box.session for box in running if box.session in slots.awaited]

    return str((await until(found))[0])
