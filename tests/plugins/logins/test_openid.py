"""What an OpenID provider tells is verified: discovery document, keys, ID token, nonce."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from juliabox_ext.errors import UnavailableError
from juliabox_plugins import openid
from juliabox_plugins.login_oidc import OidcLogin
from support.login_providers import Imitation
from support.login_steps import become
from support.plugin_maker import make

VERIFIER = "v" * 43
WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.fixture
def login(imitation: Imitation, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that makes the authenticator, with changed settings."""
    become(imitation)

    def made(**changes: Any) -> Any:
        settings = {"issuer": imitation.url, "client_id": "box", "client_secret": "s"}
        plugin = make(OidcLogin, tmp_path, "oidc", **{**settings, "allow_all": True, **changes})
        return plugin.authenticator()(**plugin.traits())

    return made


async def token_info(authenticator: Any, imitation: Imitation, nonce: str = "") -> dict[str, Any]:
    """Exchange a code, as the callback page does."""
    await authenticator.prepare()
    query = {"state": "s", "redirect_uri": "http://x", "nonce": nonce or openid.nonce_of(VERIFIER)}
    code = dict(parse_qsl(urlsplit(imitation.authorize(query)).query))["code"]
    params = {
        "code": code,
        "client_id": "box",
        "code_verifier": VERIFIER,
        "grant_type": "authorization_code",
    }
    found: dict[str, Any] = await authenticator.get_token_info(None, params)
    return found


async def test_addresses_are_read_once_and_the_person_is_told(
    login: Callable[..., Any], imitation: Imitation
) -> None:
    authenticator = login()
    imitation.asked.clear()
    for _ in range(3):
        found = await token_info(authenticator, imitation)
        person = await authenticator.token_to_user(found)
        assert person["email"] == "ada@example.org" and person["sub"] == "subject-ada"
    assert imitation.asked.count(WELL_KNOWN) == 1
    assert imitation.asked.count("/keys") == 1


async def test_many_who_come_first_ask_once(
    login: Callable[..., Any], imitation: Imitation
) -> None:
    authenticator = login()
    imitation.asked.clear()
    await asyncio.gather(*(authenticator.prepare() for _ in range(20)))
    assert imitation.asked.count(WELL_KNOWN) == 1


@pytest.mark.parametrize("nonce", ["", "another", "0" * 64], ids=["none", "other", "like"])
async def test_an_id_token_that_answers_another_log_in_is_refused(
    login: Callable[..., Any], imitation: Imitation, nonce: str
) -> None:
    imitation.claims["nonce"] = nonce or None
    with pytest.raises(UnavailableError) as caught:
        await token_info(login(), imitation)
    assert caught.value.code == "login.provider"


DOCUMENTS: dict[str, Any] = {
    "other-issuer": {"issuer": "https://evil.example"},
    "no-issuer": {"issuer": None},
    "no-token-address": {"token_endpoint": None},
    "no-keys": {"jwks_uri": ""},
    "address-a-number": {"authorization_endpoint": 1},
    "script-address": {"authorization_endpoint": "javascript:alert(1)"},
    "file-address": {"jwks_uri": "file:///etc/passwd"},
    "a-list": [1],
    "no-json": b"<html>",
    "status-500": 500,
    "status-302": 302,
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
async def test_a_discovery_document_that_lies_is_refused_and_asked_for_again(
    login: Callable[..., Any], imitation: Imitation, document: Any
) -> None:
    authenticator = login()
    changed = {**imitation.discovery(), **document} if isinstance(document, dict) else document
    imitation.answers[WELL_KNOWN] = changed
    with pytest.raises(UnavailableError) as caught:
        await authenticator.prepare()
    assert caught.value.code == "login.provider"
    assert authenticator.authorize_url == ""
    imitation.answers.clear()
    await authenticator.prepare()
    assert authenticator.authorize_url == f"{imitation.url}/authorize"


async def test_an_issuer_with_https_may_not_name_addresses_without(
    login: Callable[..., Any], imitation: Imitation
) -> None:
    authenticator = login(issuer="https://login.example.org")
    with pytest.raises(UnavailableError):
        authenticator._take({**imitation.discovery(), "issuer": "https://login.example.org"})


async def test_a_provider_that_is_away_is_told_as_such(login: Callable[..., Any]) -> None:
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        await login(issuer="http://127.0.0.1:9").prepare()
    assert time.monotonic() - started < 10


async def test_keys_that_were_changed_are_asked_for_again_and_not_too_often(
    login: Callable[..., Any], imitation: Imitation, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = login()
    await token_info(authenticator, imitation)
    old = imitation.keys()
    old["keys"][0]["kid"] = "zero"
    imitation.answers["/keys"] = old
    authenticator._keys = None
    imitation.asked.clear()
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await token_info(authenticator, imitation)
    assert imitation.asked.count("/keys") == 1
    imitation.answers.clear()
    monkeypatch.setattr(openid, "KEY_PAUSE", 0.0)
    assert (await token_info(authenticator, imitation))["claims"]["sub"] == "subject-ada"


async def test_a_key_that_is_not_for_signatures_is_not_used(
    login: Callable[..., Any], imitation: Imitation
) -> None:
    keys = imitation.keys()
    keys["keys"][0]["use"] = "enc"
    imitation.answers["/keys"] = keys
    with pytest.raises(UnavailableError):
        await token_info(login(), imitation)


async def test_a_provider_without_user_information_is_believed_by_its_token(
    login: Callable[..., Any], imitation: Imitation
) -> None:
    imitation.answers[WELL_KNOWN] = {**imitation.discovery(), "userinfo_endpoint": ""}
    imitation.claims["preferred_username"] = "ada"
    authenticator = login()
    person = await authenticator.token_to_user(await token_info(authenticator, imitation))
    assert person["preferred_username"] == "ada"


async def test_a_provider_without_a_discovery_document_is_given_by_its_addresses(
    login: Callable[..., Any], imitation: Imitation
) -> None:
    url = imitation.url
    authenticator = login(
        authorize_url=f"{url}/authorize",
        token_url=f"{url}/token",
        userinfo_url=f"{url}/userinfo",
        jwks_url=f"{url}/keys",
    )
    imitation.answers[WELL_KNOWN] = 404
    assert (await token_info(authenticator, imitation))["claims"]["iss"] == url


async def test_a_key_of_somebody_else_convinces_nobody(
    login: Callable[..., Any], imitation: Imitation
) -> None:
    imitation.signing_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(UnavailableError):
        await token_info(login(), imitation)
