"""The command line as a person meets it: texts, exit codes, no traceback."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from juliabox_cli.main import cli
from juliabox_cli.state import State


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_every_command_has_help() -> None:
    listed = _run("--help").output
    for name, command in cli.commands.items():
        assert name in listed
        assert command.help, name
        assert _run(name, "--help").exit_code == 0


def test_config_is_shown_set_and_unset(state: State) -> None:
    assert _run("config", "show", "sessions.memory").output == "1073741824\n"
    assert _run("config", "set", "sessions.memory", "2G").exit_code == 0
    assert _run("config", "show", "sessions.memory").output == "2147483648\n"
    assert _run("config", "unset", "sessions.memory").exit_code == 0
    assert _run("config", "show", "network.internet").output == "true\n"
    assert "named_servers: 3" in _run("config", "show").output
    assert "valid" in _run("config", "validate").output


def test_a_mistake_in_the_file_is_one_readable_text_with_its_code(state: State) -> None:
    state.config.write_text("prt: 1\n")
    for arguments in (["config", "validate"], ["status"], ["doctor"], ["token", "a"]):
        result = _run(*arguments)
        assert result.exit_code == 1
        assert "config.yaml, line 1: prt: no such key; did you mean port?" in result.output
        assert "[configuration.invalid]" in result.output
        assert "Traceback" not in result.output


def test_debug_lets_the_traceback_through(state: State) -> None:
    state.config.write_text("prt: 1\n")
    assert type(_run("--debug", "config", "validate").exception).__name__ == "ConfigurationError"


@pytest.mark.parametrize(
    "arguments",
    [["user", "list"], ["user", "add", "a"], ["token", "a"], ["session", "list"]],
    ids=" ".join,
)
def test_before_the_first_start_a_command_says_so(state: State, arguments: list[str]) -> None:
    result = _run(*arguments)
    assert result.exit_code == 1
    assert "there is no installation in" in result.output
    assert "juliabox up" in result.output


def test_status_before_the_first_start_is_unhealthy_and_still_json(state: State) -> None:
    result = _run("status", "--json")
    document = json.loads(result.output)
    assert result.exit_code == 1
    assert document["healthy"] is False
    assert document["url"] == "http://127.0.0.1:8000/"
    assert {one["state"] for one in document["components"].values()} == {"missing"}


def test_down_without_an_installation_does_nothing(state: State) -> None:
    result = _run("down")
    assert result.exit_code == 0, result.output


def test_deleting_asks_first(state: State) -> None:
    result = CliRunner().invoke(cli, ["destroy"], input="n\n")
    assert result.exit_code == 1
    assert state.config_folder.exists()


def test_somebody_without_access_is_told_to_use_sudo(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    for command in (["config", "show"], ["config", "validate"], ["config", "set", "port", "1"]):
        result = _run(*command)
        assert result.exit_code == 1
        assert "Repeat with sudo" in result.output


def test_several_keys_are_set_at_once(state: State) -> None:
    result = _run("config", "set", "https.certificate", "/a", "https.key", "/b")
    assert result.exit_code == 0, result.output
    assert _run("config", "set", "port").exit_code == 2
