"""An installation or removal that fails at any step leaves file, wheels and environment alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from juliabox_cli import plugin_environment, plugin_install
from juliabox_cli.main import cli
from juliabox_cli.plugin_choice import Choice
from juliabox_cli.state import State
from juliabox_cli.up import Outcome
from juliabox_ext.errors import UnavailableError
from juliabox_ext.registry import PluginFault
from support.strangers import MAIL, MAIL_ENTRY, Site, site

CONFIG = "# mine\nname: box\nplugins:\n  enable: [smtp]  # mail\n"


class Machine:
    """Stands for pip and the service: notes what is asked of them, and fails where told."""

    def __init__(self, strangers: Site) -> None:
        self.strangers = strangers
        self.ups: list[str] = []
        self.gone: list[str] = []
        self.fault: PluginFault | None = None
        self.up_fails = 0

    def install(self, state: State, sources: list[Any]) -> None:
        for source in sources:
            self.strangers.add(source.distribution, MAIL, MAIL_ENTRY)

    def uninstall(self, names: list[str]) -> None:
        self.gone += names

    def choose(self, config: object) -> Choice:
        return Choice(faults=(self.fault,) if self.fault else ())

    def bring_up(self, console: object) -> Outcome:
        self.ups.append("up")
        if self.up_fails:
            self.up_fails -= 1
            raise UnavailableError("the portal did not come up", code="up.unhealthy")
        return Outcome("http://box/", "admin", "")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    folder = tmp_path / "site"
    folder.mkdir()
    with site(folder) as strangers:
        made = Machine(strangers)
        monkeypatch.setattr(plugin_environment, "install", made.install)
        monkeypatch.setattr(plugin_environment, "has", lambda source: True)
        monkeypatch.setattr(plugin_environment, "uninstall", made.uninstall)
        monkeypatch.setattr(plugin_install, "choose", made.choose)
        monkeypatch.setattr(plugin_install, "bring_up", made.bring_up)
        yield made


@pytest.fixture
def wheel(tmp_path: Path, state: State) -> Path:
    state.config.write_text(CONFIG)
    path = tmp_path / "stranger_mail-1.0-py3-none-any.whl"
    path.write_bytes(b"content")
    return path


def kept(state: State) -> list[str]:
    return sorted(path.name for path in state.plugins.iterdir())


def test_an_installation_is_noted_and_comments_survive(
    state: State, wheel: Path, machine: Machine
) -> None:
    done = CliRunner().invoke(cli, ["plugin", "install", str(wheel)])
    assert done.exit_code == 0, done.output
    assert "stranger: installed and enabled" in done.output
    text = state.config.read_text()
    assert "# mine" in text and "# mail" in text
    shown = CliRunner().invoke(cli, ["config", "show", "plugins"]).output
    assert "- stranger" in shown and f"{wheel.name}#sha256=" in shown
    assert kept(state) == [wheel.name]
    assert machine.ups == ["up"]
    gone = CliRunner().invoke(cli, ["plugin", "remove", "stranger"])
    assert gone.exit_code == 0, gone.output
    assert kept(state) == []
    assert machine.gone == ["stranger-mail"]
    assert "stranger" not in CliRunner().invoke(cli, ["config", "show", "plugins"]).output


@pytest.mark.parametrize("step", ["fault", "up", "wheel"])
def test_an_installation_that_fails_is_undone(
    step: str, state: State, wheel: Path, machine: Machine
) -> None:
    if step == "fault":
        machine.fault = PluginFault("stranger", "g", "d", "plugin.contract", "lacks a method")
    elif step == "up":
        machine.up_fails = 1
    else:
        wheel.unlink()
    done = CliRunner().invoke(cli, ["plugin", "install", str(wheel)])
    assert done.exit_code == 1
    assert state.config.read_text() == CONFIG
    assert kept(state) == []
    assert machine.gone == ([] if step == "wheel" else ["stranger-mail"])
    # what was touched is brought up once more, as it was
    assert machine.ups == (["up", "up"] if step == "up" else [])
    assert "Traceback" not in done.output


def test_a_service_that_cannot_be_brought_back_is_told(
    state: State, wheel: Path, machine: Machine
) -> None:
    machine.up_fails = 2
    done = CliRunner().invoke(cli, ["plugin", "install", str(wheel)])
    assert done.exit_code == 1
    assert "Bringing back what was there failed" in done.output
    assert state.config.read_text() == CONFIG


def test_what_another_plugin_requires_is_not_removed(
    state: State, wheel: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    CliRunner().invoke(cli, ["plugin", "install", str(wheel)])
    before = state.config.read_text()
    faults = iter([None, PluginFault("other", "g", "d", "plugin.absent", "other requires it")])
    monkeypatch.setattr(
        plugin_install, "choose", lambda _: Choice(faults=tuple(filter(None, [next(faults)])))
    )
    done = CliRunner().invoke(cli, ["plugin", "remove", "stranger"])
    assert done.exit_code == 1
    assert "cannot be removed: other requires it" in done.output
    assert state.config.read_text() == before
    assert kept(state) == [wheel.name]


def test_a_package_that_was_not_installed_cannot_be_removed(
    state: State, wheel: Path, machine: Machine
) -> None:
    done = CliRunner().invoke(cli, ["plugin", "remove", "rdbms"])
    assert done.exit_code == 1
    assert "rdbms" in done.output and "plugin.not_installed" in done.output


def test_packages_of_juliabox_itself_keep_their_versions(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    def pip(*arguments: str) -> None:
        given.append(Path(arguments[2]).read_text())

    monkeypatch.setattr(plugin_environment, "_pip", pip)
    source = plugin_install.plugin_sources.parse("stranger-mail")
    plugin_environment.install(state, [source])
    constraints = dict(line.split("==") for line in given[0].splitlines())
    installed = plugin_environment.versions()
    for name in ("tornado", "jupyterhub", "pydantic", "juliabox", "packaging"):
        assert constraints[name] == installed[name]
    assert json.dumps(constraints).count("stranger") == 0
