"""One portal for the tests that leave it as they find it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from juliabox_spawner.settings import ProfileSettings
from support import portal_preview
from support.portal_browsing import Watched, watched
from support.portal_preview import State
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


@pytest.fixture(scope="module")
def preview() -> Iterator[tuple[str, State]]:
    """The portal's pages on a server that remembers, and what that does: address, memory."""
    with portal_preview.running() as running:
        yield running


@pytest.fixture
def state(preview: tuple[str, State]) -> State:
    """Return the preview's memory, as new."""
    preview[1].__init__()  # type: ignore[misc]
    return preview[1]


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Watched]:
    """A window whose pages may use the clipboard."""
    context = browser.new_context(reduced_motion="reduce", timezone_id="UTC", locale="en-GB")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    with watched(context) as opened:
        yield opened
    context.close()


@pytest.fixture
def portal(preview: tuple[str, State], window: Watched, state: State) -> Watched:
    """The window, before the preview as new."""
    window.base = preview[0]
    return window
