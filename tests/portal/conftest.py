"""One portal for the tests that leave it as they find it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from juliabox_spawner.settings import ProfileSettings
from support.portal_stand import Guest, PortalStand
from support.visitor import add_person


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalStand]:
    """A portal that tests share; each test uses people of its own."""
    profiles = [
        ProfileSettings("plain", "Plain", default=True),
        ProfileSettings("hers", "Hers", users=["chosen"]),
        ProfileSettings("lab", "Lab", groups=["lab"]),
    ]
    folder = tmp_path_factory.mktemp("portal")
    with PortalStand(folder, portal={"profiles": profiles}) as running:
        yield running


@pytest.fixture
def person(stand: PortalStand) -> Callable[[str], Guest]:
    """Return a function that adds a person and opens the portal as that person."""

    def make(name: str) -> Guest:
        return Guest(stand).enter(name, add_person(stand, name))

    return make


@pytest.fixture(scope="session")
def admin(stand: PortalStand) -> Guest:
    """The first admin, in the portal."""
    return Guest(stand).enter("admin")
