"""One hub for the tests that leave it as they find it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from juliabox_spawner.hub.pages import FOLDER
from juliabox_spawner.settings import ProfileSettings
from support.hub_stand import HubStand
from support.visitor import Visitor


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubStand]:
    """A hub that tests share; each test uses people of its own."""
    profiles = [
        ProfileSettings("standard", "Standard", default=True),
        ProfileSettings("large", "Large"),
        ProfileSettings("lab", "Lab", groups=["lab"]),
    ]
    # a copy of what the hub serves, in which tests may write: others look at the checkout meanwhile
    packages = tmp_path_factory.mktemp("packages")
    shutil.copytree(FOLDER, packages / "juliabox_config")
    folder = tmp_path_factory.mktemp("stand")
    with HubStand(folder, packages=packages, profiles=profiles) as running:
        yield running


@pytest.fixture
def visitor(stand: HubStand) -> Iterator[Visitor]:
    """Somebody who has not logged in."""
    made = Visitor(stand)
    yield made
    made.http.close()


@pytest.fixture(scope="session")
def admin(stand: HubStand) -> Iterator[Visitor]:
    """The first admin, logged in."""
    made = Visitor(stand)
    assert made.log_in("admin").status_code == 302
    yield made
    made.http.close()
