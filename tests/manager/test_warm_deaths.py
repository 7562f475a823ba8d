"""A warm container that dies just as its session's start ends, on no engine at all."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.protocol import Limits, SessionCreate, SessionInspect, SessionStart
from juliabox_manager.service import Manager
from juliabox_manager.settings import PoolSettings
from juliabox_manager.store import Store
from manager.test_policy import roomy_settings
from support.fake_parts import FakeEngine, FakeNetwork, FakeSlots, FakeVolumes, World
from support.waiting import until

LIMITS = Limits(memory=2**26, cpu=0.5, pids=64, disk=2**25)


class DeadlySlots(FakeSlots):
    """Lets a container die so many turns of the loop after its server was seen to listen."""

    def __init__(self, world: World, turns: int) -> None:
        super().__init__(world)
        self.turns = turns
        self.death: asyncio.Task[None] | None = None

    async def await_listening(self, session: str, timeout: float) -> bool:  # noqa: ASYNC109
        listens = await super().await_listening(session, timeout)
        if self.death is None:  # what replaces it lives
            self.death = asyncio.create_task(self._die(session))
        return listens

    async def _die(self, session: str) -> None:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        self.world.die(session)


@pytest.mark.parametrize("turns", range(16))
async def test_a_death_at_the_end_of_a_start_is_noticed_at_once(tmp_path: Path, turns: int) -> None:
    settings = roomy_settings(
        tmp_path,
        reconcile_interval=36_000.0,
        pool=PoolSettings(rule="fixed", size=1, warm_memory=2**25),
    )
    world, store = World(random.Random(turns)), Store(tmp_path / "manager.sqlite")
    slots = DeadlySlots(world, turns)
    parts = slots, FakeVolumes(world), FakeNetwork(world)
    manager = Manager(settings, store, FakeEngine(world), *parts)  # type: ignore[arg-type]
    await manager.start()
    try:
        await until(lambda: manager._pool.states()["ready"])
        create = SessionCreate("ada", "", "juliabox/julia", LIMITS)
        session = (await manager.handle("hub", create)).session
        with suppress(JuliaBoxError):
            await manager.handle("hub", SessionStart(session, {}))
        assert slots.death is not None
        await slots.death

        async def right() -> bool:
            """Whether it has another container by now, or has ended."""
            box = world.boxes.get(session)
            state = (await manager.handle("hub", SessionInspect(session))).state
            return (state, box is not None and box.running) in {("running", True), ("ended", False)}

        await until(right)
    finally:
        await manager.close()
