"""What tests of the engine behind the front share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.engine_stand import Stand, standing


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    """An engine with the operator's defaults."""
    async with standing() as made:
        yield made
