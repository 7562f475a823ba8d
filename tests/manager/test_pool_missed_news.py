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


class LoadingSlots(FakeSlots):
    """Entry programs that load for ever."""

    async def await_loaded(self, session: str) -> None:
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
    parts = Parts(
        store=store,
        engine=FakeEngine(world),  # type: ignore[arg-type]
        slots=LoadingSlots(world),
        volumes=FakeVolumes(world),
        network=FakeNetwork(world),
        hardening=Hardening(settings),
        events=EventLog(store),
        target=Path,
    )
    pool = Pool(settings, parts, lambda _: Room(containers=10, memory=None))
    pool.begin()
    try:
        first = await _one_that_runs(world)
        world.die(first)  # nobody listens to the engine
        await pool.look_after()
        assert await _one_that_runs(world) != first
        assert first not in world.boxes
    finally:
        await pool.close()
        await store.close()


async def _one_that_runs(world: World) -> str:
    async with asyncio.timeout(10):
        while True:
            for box in list(world.boxes.values()):
                if box.running and box.protected:
                    # the manager waits for its modules by now
                    await asyncio.sleep(0.05)
                    return box.session
            await asyncio.sleep(0.01)
