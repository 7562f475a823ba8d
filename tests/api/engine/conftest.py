"""What tests of the engine behind the front share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from juliabox_services.api import container, fate
from support.engine_stand import Stand, standing
from support.waiting import LoopClock


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    """An engine with the operator's defaults."""
    async with standing() as made:
        yield made


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an answer wait for how its container ended, though the machine stands still."""
    monkeypatch.setattr(container, "FATE_SECONDS", 20.0)
    # Docker tells of an end later than the connection does, by more than a second at times
    monkeypatch.setattr(fate, "_LOOKS", (*fate._LOOKS, 1.0, 2.0, 4.0, 8.0))


@pytest.fixture
async def clock() -> LoopClock:
    """The time of the test's event loop."""
    return LoopClock(asyncio.get_running_loop())
