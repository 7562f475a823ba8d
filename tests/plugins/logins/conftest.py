"""One hub with every log-in on its page: real accounts, a real OpenID provider, and imitations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from juliabox_ext.selection import PluginSelection
from support.hub_stand import HubStand
from support.login_providers import Imitation, openid_provider
from support.login_steps import settings_of
from support.visitor import Visitor


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """A real OpenID provider."""
    with openid_provider() as url:
        yield url


@pytest.fixture(scope="session")
def imitation() -> Iterator[Imitation]:
    """What google, github and linkedin are told to be."""
    with Imitation() as running:
        yield running


@pytest.fixture(scope="session")
def logins(
    tmp_path_factory: pytest.TempPathFactory, provider: str, imitation: Imitation
) -> Iterator[HubStand]:
    """The hub."""
    selection = PluginSelection(enabled=[], settings=settings_of(imitation, provider))
    names = ["native", "oidc", "google", "github", "linkedin", "zero"]
    folder: Path = tmp_path_factory.mktemp("logins")
    with HubStand(folder, login={"logins": names}, plugins=selection) as running:
        yield running


@pytest.fixture
def person(logins: HubStand) -> Iterator[Visitor]:
    """Somebody who has not logged in."""
    made = Visitor(logins)
    yield made
    made.http.close()
