"""Limits that the engine does not raise at once, on no engine at all."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from juliabox_ext.errors import UnavailableError
from juliabox_manager.pool import start
from juliabox_manager.protocol import Limits, SessionCreate, SessionStart
from juliabox_manager.service import Manager
from juliabox_manager.settings import PoolSettings
from juliabox_manager.store import Store
from manager.test_policy import roomy_settings
from support.fake_parts import FakeEngine, FakeNetwork, FakeSlots, FakeVolumes, World
from support.waiting import until

LIMITS = Limits(memory=2**26, cpu=0.5, pids=64, disk=2**25)


class SlowEngine(FakeEngine):
    """Fails to raise limits the first time, and only when the session runs already."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.running = asyncio.Event()
        self.tried = 0

    async def update(self, container: str, limits: dict[str, int]) -> None:
        self.tried += 1
        if self.tried == 1:
            await self.running.wait()
            raise UnavailableError("update fails", code="fake.update")
        await super().update(container, limits)


async def test_limits_that_fail_once_the_session_runs_are_raised_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "RAISE_AGAIN", 0.01)
    settings = roomy_settings(
        tmp_path,
        reconcile_interval=3600.0,
        pool=PoolSettings(rule="fixed", size=1, warm_memory=2**25),
    )
    world, store = World(random.Random(1)), Store(tmp_path / "manager.sqlite")
    engine = SlowEngine(world)
    parts = FakeSlots(world), FakeVolumes(world), FakeNetwork(world)
    manager = Manager(settings, store, engine, *parts)  # type: ignore[arg-type]
    await manager.start()
    create = SessionCreate("ada", "", "juliabox/julia", LIMITS)
    try:
        await until(lambda: manager._pool.states()["ready"] == 1)
        session = (await manager.handle("hub", create)).session
        info = await manager.handle("hub", SessionStart(session, {}))
        box = world.boxes[session]
        assert info.warm and box.memory == 2**25
        engine.running.set()
        await until(lambda: box.memory == LIMITS.memory)
    finally:
        await manager.close()
