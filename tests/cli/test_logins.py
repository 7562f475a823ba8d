"""What `juliabox up` makes of the log-ins that the file names."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from juliabox_cli import doctor
from juliabox_cli.config import Config
from juliabox_cli.plugin_choice import choose
from juliabox_cli.state import CONTROL_UID, State
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


def check(state: State, login: Any, **settings: Any) -> str:
    """Run the doctor's check and return what is wrong, or an empty text."""
    installation: Any = SimpleNamespace(state=state, config=config(login, **settings))
    try:
        doctor.check_logins(installation)
    except doctor.Broken as broken:
        return broken.message
    return ""


def test_doctor_finds_nothing_wrong_with_the_default(state: State) -> None:
    assert check(state, "native") == ""


def test_doctor_names_the_log_in_and_the_key(state: State) -> None:
    message = check(state, ["native", "github"], github={"client_id": "box"})
    for text in ("plugins.settings.github", "client_secret or client_secret_file"):
        assert text in message


def test_doctor_finds_a_secret_that_the_hub_cannot_read(state: State, tmp_path: Path) -> None:
    file = state.secrets / "hub" / "oidc_secret"
    settings = {key: value for key, value in OIDC.items() if key != "client_secret"}
    given = {**settings, "client_secret_file": str(file)}
    assert "No such file" in check(state, "oidc", oidc=given)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("canary")
    os.chown(file, CONTROL_UID, CONTROL_UID)
    file.chmod(0o644)
    assert "read by others" in check(state, "oidc", oidc=given)
    file.chmod(0o600)
    assert check(state, "oidc", oidc=given) == ""
    os.chown(file, 0, 0)
    assert "cannot be read by the hub" in check(state, "oidc", oidc=given)
    elsewhere = {**settings, "client_secret_file": str(tmp_path / "secret")}
    assert "the only folder of secrets that the hub sees" in check(state, "oidc", oidc=elsewhere)
