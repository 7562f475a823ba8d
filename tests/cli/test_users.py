"""People by the command line, through a real hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from juliabox_cli import commands_users, hub_api
from juliabox_cli.addresses import Addresses
from juliabox_cli.config import Config
from juliabox_cli.main import cli
from support.hub_stand import HubStand


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    with HubStand(tmp_path, idle_timeout=0) as stand:
        secrets = tmp_path / "command-line"
        (secrets / "operator").mkdir(parents=True)
        (secrets / "operator/hub_token").write_text(stand.tokens["operator_token"])
        monkeypatch.setattr(hub_api, "HUB_PORT", stand.hub_port)
        monkeypatch.setattr(Addresses, "hub_edge", "127.0.0.1")
        addresses = Addresses(IPv4Network("10.64.0.0/20"))
        hub = hub_api.HubApi(Config(), SimpleNamespace(secrets=secrets), addresses)  # type: ignore[arg-type]  # only its secrets are looked at
        installation = SimpleNamespace(config=Config(), hub=hub)
        monkeypatch.setattr(commands_users, "open_installation", lambda: installation)

        def run(*words: str) -> Result:
            done = CliRunner().invoke(cli, ["user", *words])
            assert done.exit_code == 0, (done.output, done.exception)
            return done

        yield run


def test_who_exists_is_told_as_such_and_stays_an_admin(run: Callable[..., Result]) -> None:
    assert run("add", "ada").output.startswith("ada is added\nPassword: ")
    assert run("add", "emmy", "--admin").output.startswith("emmy is added as an admin\n")
    again = run("add", "emmy").output
    assert again.startswith("emmy exists as an admin\nPassword: ")
    assert "on the page Password" in again
    assert json.loads(run("add", "emmy", "--json").output)["admin"] is True
    assert json.loads(run("add", "ada", "--json").output)["admin"] is False
