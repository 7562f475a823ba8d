"""What `juliabox up` makes of the log-ins that the file names."""

from __future__ import annotations

from typing import Any

import pytest

from juliabox_cli.config import Config
from juliabox_cli.plugin_choice import choose
from juliabox_ext.errors import ConfigurationError

OIDC = {
    "issuer": "https://login.example.org",
    "client_id": "box",
    "client_secret": "canary",
    "allow_all": True,
}


def config(login: Any, **settings: Any) -> Config:
    return Config.model_validate(
        {"authentication": {"login": login}, "plugins": {"settings": settings}}
    )


def test_naming_a_log_in_enables_its_plugin_and_hands_its_settings_to_the_hub_alone() -> None:
    chosen = choose(config(["native", "oidc"], oidc=OIDC))
    assert chosen.faults == ()
    hub = chosen.selection("hub", {"oidc": OIDC})
    assert {"native", "oidc"} <= set(hub.enabled) and hub.settings["oidc"] == OIDC
    for part in ("portal", "manager"):
        told = chosen.selection(part, {"oidc": OIDC})
        assert "oidc" not in told.enabled and told.settings == {}


def test_one_that_is_configured_wrongly_is_left_out_by_name_and_key() -> None:
    chosen = choose(config(["native", "oidc"], oidc={**OIDC, "client_id": ""}))
    assert chosen.working_logins(["native", "oidc"]) == ["native"]
    (fault,) = chosen.faults
    assert fault.plugin == "oidc" and "client_id" in fault.message
    assert "canary" not in fault.message
    chosen.refuse_without_login(["native", "oidc"])


def test_nothing_is_started_if_nobody_could_log_in() -> None:
    chosen = choose(config("oidc"))
    with pytest.raises(ConfigurationError, match="nobody could log in") as caught:
        chosen.refuse_without_login(["oidc"])
    assert caught.value.code == "login.none"
    for key in ("plugins.settings.oidc", "client_id", "issuer"):
        assert key in caught.value.message
