"""What tests of the engine behind the front share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.engine_stand import Stand, standing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all of this folder: their deadlines are fractions of a second."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.alone)


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    """An engine with the operator's defaults."""
    async with standing() as made:
        yield made
