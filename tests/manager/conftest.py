"""What tests of the manager on the real engine share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from juliabox_manager.protocol import SessionList, SessionRemove
from juliabox_plugins.home import HomeDisks
from juliabox_spawner.client import ManagerClient
from support import tiny_image
from support.manager_process import ManagerProcess, installation
from support.state_folder import home_disks, shared_state_folder


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder of a test's own."""
    with shared_state_folder() as folder:
        yield folder


@pytest.fixture
def volumes(state: Path) -> HomeDisks:
    """The homes in it."""
    return home_disks(state)


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


@pytest.fixture
async def hub(managed: ManagerProcess) -> AsyncIterator[ManagerClient]:
    """A client of the shared manager; the sessions that a test leaves are removed."""
    client = managed.client()
    await managed.ready(client)
    yield client
    for info in await client.call(SessionList()):
        await client.call(SessionRemove(info.session), 60.0)
    client.close()
