"""One hub with every log-in on its page: real accounts, a real OpenID provider, and imitations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext.selection import PluginSelection
from support.hub_stand import HubStand
from support.login_providers import Imitation, openid_provider
from support.visitor import Visitor

CLIENT = {"client_id": "box", "client_secret": "canary-client-secret"}


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


def settings_of(imitation: Imitation, provider: str) -> dict[str, dict[str, Any]]:
    """Settings of the log-ins at a provider."""
    url = imitation.url
    urls = {
        "authorize_url": f"{url}/authorize",
        "token_url": f"{url}/token",
        "userinfo_url": f"{url}/userinfo",
    }
    return {
        "oidc": {
            **CLIENT,
            "issuer": provider,
            "username_claim": "email",
            "button": "Example University",
            "allow_all": True,
            "admins": ["dean@example.org"],
        },
        "google": {**CLIENT, **urls, "mail_domains": ["example.org"]},
        "github": {**CLIENT, "url": url, "userinfo_url": f"{url}/api/v3/user",
                   "mail_domains": ["example.org"], "allow": ["Ada"]},
        "linkedin": {**CLIENT, **urls, "issuer": url, "jwks_url": f"{url}/keys",
                     "allow_all": True},
    }  # fmt: skip


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
