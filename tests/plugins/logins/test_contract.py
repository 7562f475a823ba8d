"""The built-in log-ins and their buttons, and the fakes, keep the contracts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from juliabox_ext.handler import Handler, Login, PostLogin, TopScript
from juliabox_ext.testing.handler_fake import FakeHandler, FakeLogin, FakeRule, FakeTopScript
from juliabox_ext.testing.handler_suite import (
    HandlerSuite,
    LoginSuite,
    PostLoginSuite,
    TopScriptSuite,
)
from juliabox_ext.testing.ui_fake import FakeWidget
from juliabox_ext.testing.ui_suite import WidgetSuite
from juliabox_ext.ui import Widget
from juliabox_plugins.login_github import GithubButton, GithubLogin
from juliabox_plugins.login_google import GoogleButton, GoogleLogin
from juliabox_plugins.login_linkedin import LinkedinButton, LinkedinLogin
from juliabox_plugins.login_native import NativeButton, NativeLogin
from juliabox_plugins.login_oidc import OidcButton, OidcLogin
from juliabox_plugins.login_zero import ZeroButton, ZeroLogin
from support.plugin_maker import make

CLIENT = {"client_id": "box", "client_secret": "s", "allow": ["Ada"], "admins": ["emmy"]}
LOGINS: dict[str, tuple[type[Login], dict[str, Any]]] = {
    "native": (NativeLogin, {}),
    "zero": (ZeroLogin, {}),
    "google": (GoogleLogin, CLIENT),
    "github": (GithubLogin, CLIENT),
    "linkedin": (LinkedinLogin, CLIENT),
    "oidc": (OidcLogin, {**CLIENT, "issuer": "https://login.example.org"}),
    "fake": (FakeLogin, {}),
}
BUTTONS: dict[str, type[Widget]] = {
    "native": NativeButton,
    "zero": ZeroButton,
    "google": GoogleButton,
    "github": GithubButton,
    "linkedin": LinkedinButton,
    "oidc": OidcButton,
    "fake": FakeWidget,
}


class TestLogins(LoginSuite):
    @pytest.fixture(params=LOGINS)
    def plugin(self, request: pytest.FixtureRequest, tmp_path: Path) -> Login:
        kind, settings = LOGINS[request.param]
        return make(kind, tmp_path, request.param, "https://julia.example.org/", **settings)


class TestButtons(WidgetSuite):
    @pytest.fixture(params=BUTTONS)
    def plugin(self, request: pytest.FixtureRequest, tmp_path: Path) -> Widget:
        return make(BUTTONS[request.param], tmp_path, request.param)


class TestFakeRule(PostLoginSuite):
    @pytest.fixture
    def plugin(self, tmp_path: Path) -> PostLogin:
        return make(FakeRule, tmp_path)

    @pytest.fixture
    def admitted(self) -> tuple[str, dict[str, Any]]:
        return "oidc:ada", {"login": "oidc", "email": "ada@example.org"}

    @pytest.fixture
    def refused(self) -> tuple[str, dict[str, Any]]:
        return "oidc:eve", {"login": "oidc", "email": "eve@evil.example"}


class TestFakeHandler(HandlerSuite):
    @pytest.fixture
    def plugin(self, tmp_path: Path) -> Handler:
        return make(FakeHandler, tmp_path)


class TestFakeTopScript(TopScriptSuite):
    @pytest.fixture
    def plugin(self, tmp_path: Path) -> TopScript:
        return make(FakeTopScript, tmp_path)


def test_the_address_that_a_provider_must_know_is_the_public_one(tmp_path: Path) -> None:
    login = make(GithubLogin, tmp_path, "github", "https://julia.example.org/box/", **CLIENT)
    expected = "https://julia.example.org/box/hub/github/oauth_callback"
    assert login.traits()["oauth_callback_url"] == expected


def test_a_secret_is_read_from_its_file_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("canary\n")
    settings = {"client_id": "box", "client_secret_file": file, "allow_all": True}
    login = make(GithubLogin, tmp_path, "github", **settings)
    assert login.traits()["client_secret"] == "canary"
    shown = make(GithubLogin, tmp_path, "github", **{**CLIENT, "client_secret": "canary"})
    assert "canary" not in repr(shown.context)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no-client": ({"client_id": None}, "client_id"),
    "no-secret": ({"client_secret": None}, "client_secret or client_secret_file"),
    "two-secrets": ({"client_secret_file": "/x"}, "client_secret or client_secret_file"),
    "nobody": ({"allow": [], "admins": []}, "nobody could come in"),
    "no-issuer": ({"issuer": None}, "issuer"),
    "plain-http": ({"issuer": "http://login.example.org"}, "issuer must start with https://"),
    "plain-token": ({"token_url": "http://a.example/t"}, "token_url must start with https://"),
    "no-address": ({"authorize_url": "login.example.org"}, "https://"),
    "script-address": ({"authorize_url": "javascript:alert(1)"}, "https://"),
    "no-domain": ({"mail_domains": ["@example.org"]}, "domain alone"),
    "all-domains": ({"mail_domains": ["*.example.org"]}, "domain alone"),
    "no-openid": ({"scopes": ["profile"]}, "openid"),
    "name-with-plugin": ({"allow": ["oidc:ada"]}, "name at the provider"),
    "misspelt": ({"clientid": "x"}, "clientid"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_settings_that_cannot_work_are_refused_with_their_key(
    changes: dict[str, Any], message: str
) -> None:
    settings = {**CLIENT, "issuer": "https://login.example.org", **changes}
    given = {key: value for key, value in settings.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        OidcLogin.Settings.model_validate(given)


def test_http_on_this_machine_or_when_told_is_admitted() -> None:
    for changes in (
        {"issuer": "http://127.0.0.1:1"},
        {"issuer": "http://login.example.org", "insecure_http": True},
    ):
        OidcLogin.Settings.model_validate({**CLIENT, **changes})
