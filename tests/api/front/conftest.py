"""A front for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from support.api_front import FrontStand


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[FrontStand]:
    """Return a front with a public API ``ada/sums``."""
    made = FrontStand(tmp_path)
    made.publish()
    yield made
    await made.close()
