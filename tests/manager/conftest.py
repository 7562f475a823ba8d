"""What tests of the manager on the real engine share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import tiny_image
from support.manager_process import ManagerProcess, installation


@pytest.fixture(scope="session")
def tiny() -> str:
    """The engine id of the tiny session image."""
    return tiny_image.make()


@pytest.fixture(scope="module")
def managed(tiny: str) -> Iterator[ManagerProcess]:
    """An installation with a running manager, shared by the tests of a module."""
    with installation(1, tiny) as made:
        made.start()
        yield made
