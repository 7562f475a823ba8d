"""Secrets are made once, closed to others, and consistent between their holders."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from juliabox_cli.config import Config, Https
from juliabox_cli.secret_files import ensure_secrets, install_certificate, public_key
from juliabox_cli.state import State, make_folders
from juliabox_ext.errors import ConfigurationError

LAYOUT = {
    "manager/curve.key": 0,
    "operator/manager.key": 0,
    "operator/hub_token": 0,
    "hub/cookie_secret": 900,
    "hub/proxy_token": 900,
    "hub/manager.key": 900,
    "hub/admin_password": 900,
    "hub/operator_token": 900,
    "hub/routes_token": 900,
    "hub/portal_token": 900,
    "hub/api_token": 900,
    "api/api_token": 900,
    "api/cookie_secret": 900,
    "api/manager.key": 900,
    "portal/api_token": 900,
    "portal/cookie_secret": 900,
    "portal/manager.key": 900,
    "proxy/proxy_token": 900,
    "proxy/routes_token": 900,
}


def _all(state: State) -> dict[str, bytes]:
    files = (path for path in state.secrets.rglob("*") if path.is_file())
    return {str(path.relative_to(state.secrets)): path.read_bytes() for path in files}


def test_each_holder_gets_its_files_and_nobody_else_can_read_them(state: State) -> None:
    assert set(_all(state)) == set(LAYOUT)
    for name, owner in LAYOUT.items():
        status = (state.secrets / name).stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (owner, owner, 0o600)
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700


def test_what_two_parts_share_is_equal_and_all_else_differs(state: State) -> None:
    found = _all(state)
    for name in ("proxy_token", "routes_token"):
        assert found[f"hub/{name}"] == found[f"proxy/{name}"]
    assert found["hub/operator_token"] == found["operator/hub_token"]
    assert found["hub/portal_token"] == found["portal/api_token"]
    assert found["hub/api_token"] == found["api/api_token"]
    assert len(set(found.values())) == len(found) - 5
    assert all(len(content.strip()) >= 20 for content in found.values())


def test_a_second_run_keeps_every_secret_and_mends_modes_and_owners(state: State) -> None:
    before = _all(state)
    (state.secrets / "hub" / "cookie_secret").chmod(0o644)
    (state.secrets / "hub").chmod(0o755)
    make_folders(state)
    ensure_secrets(state)
    assert _all(state) == before
    assert stat.S_IMODE((state.secrets / "hub" / "cookie_secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((state.secrets / "hub").stat().st_mode) == 0o700


def test_a_lost_secret_is_made_anew_and_the_others_stay(state: State) -> None:
    before = _all(state)
    (state.secrets / "hub" / "routes_token").unlink()
    (state.secrets / "manager" / "curve.key").write_bytes(b"")
    ensure_secrets(state)
    after = _all(state)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"hub/routes_token", "proxy/routes_token", "manager/curve.key"}
    assert len(public_key(state.secrets / "manager" / "curve.key")) == 40


def test_the_certificate_is_copied_for_the_proxy_alone_and_removed_again(
    state: State, tmp_path: Path
) -> None:
    for name in ("a.crt", "a.key"):
        (tmp_path / name).write_text("-----BEGIN SOMETHING-----\n")
    own = Https(certificate=str(tmp_path / "a.crt"), key=str(tmp_path / "a.key"))
    install_certificate(state, Config(https=own))
    key = state.secrets / "proxy" / "tls.key"
    assert (key.stat().st_uid, stat.S_IMODE(key.stat().st_mode)) == (900, 0o600)
    known = state.secrets / "portal"
    assert (known / "tls.crt").exists() and not (known / "tls.key").exists()
    install_certificate(state, Config())
    assert not key.exists()
    assert not (known / "tls.crt").exists()


def test_a_certificate_that_is_absent_or_none_is_refused_by_key(
    state: State, tmp_path: Path
) -> None:
    wrong = tmp_path / "a.crt"
    with pytest.raises(ConfigurationError, match=r"https\.certificate: .*No such file"):
        install_certificate(state, Config(https=Https(certificate=str(wrong), key="/b")))
    wrong.write_text("hello")
    with pytest.raises(ConfigurationError, match=r"https\.certificate: .*not a PEM"):
        install_certificate(state, Config(https=Https(certificate=str(wrong), key="/b")))
