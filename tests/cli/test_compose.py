"""Both kinds of compose get the same arguments, and the file is one that they accept."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from juliabox_cli import compose
from juliabox_cli.addresses import Addresses
from juliabox_cli.compose import Compose
from juliabox_cli.compose_hostdir import overlay
from juliabox_cli.config import Config
from juliabox_cli.images import Images
from juliabox_cli.rendering import render
from juliabox_cli.source import source_folder
from juliabox_cli.state import State
from juliabox_ext.errors import ConfigurationError


def _compose(state: State, *program: str) -> Compose:
    file = source_folder() / "compose.yaml"
    return Compose(program, "lab", file, state.compose_env, "/var/run/docker.sock")


@pytest.mark.parametrize("program", [("docker", "compose"), ("docker-compose",)], ids="/".join)
def test_project_file_and_variables_stand_before_the_verb(
    state: State, program: tuple[str, ...]
) -> None:
    line = _compose(state, *program).command("up", "--detach")
    assert line[: len(program)] == list(program)
    assert line[len(program) :: 2][:4] == ["--project-name", "--file", "--env-file", "up"]
    assert line[-2:] == ["up", "--detach"]


def test_variables_from_outside_never_win_over_the_rendered_ones(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "JULIABOX_NAME",
        "JULIABOX_STATE",
        "COMPOSE_FILE",
        "COMPOSE_ENV_FILES",
        "DOCKER_CONTEXT",
        "DOCKER_TLS_VERIFY",
    ):
        monkeypatch.setenv(name, "wrong")
    environment = _compose(state, "docker-compose").environment()
    assert "wrong" not in environment.values()
    assert environment["DOCKER_HOST"] == "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("plugin", "program"), [(0, ("docker", "compose")), (1, ("docker-compose",))]
)
def test_the_plugin_is_taken_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: int, program: tuple[str, ...]
) -> None:
    for name, code in (("docker", plugin), ("docker-compose", 0)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compose.find_program() == program


def test_the_rendered_variables_fill_every_place_of_the_file(state: State) -> None:
    images = Images("juliabox/control:1", {"juliabox/julia": "sha256:" + "1" * 64})
    addresses = Addresses(IPv4Network("10.64.0.0/20"))
    render(
        Config(name="lab", log_level="warning"), state, addresses, images, "/var/run/docker.sock"
    )
    assert shutil.which("docker-compose"), "docker-compose must be installed"
    written = yaml.safe_load(_compose(state, "docker-compose").run("config"))
    services = written["services"]
    assert set(services) == set(compose.PARTS)
    sockets = {
        name: [mount for mount in one["volumes"] if "docker.sock" in mount["source"]]
        for name, one in services.items()
    }
    assert sockets["manager"]
    assert not sockets["hub"]
    assert not sockets["proxy"]
    assert not sockets["portal"]
    assert not sockets["api"]
    assert set(services["portal"]["networks"]) == {"edge", "control"}
    assert set(services["api"]["networks"]) == {"edge", "control", "sessions"}
    assert services["hub"]["user"] == services["proxy"]["user"] == "900:900"
    assert services["portal"]["user"] == services["api"]["user"] == "900:900"
    assert "$" not in yaml.safe_dump(written)
    levels = {one["environment"]["JULIABOX_LOG_LEVEL"] for one in services.values()}
    assert levels == {"warning"}
    # in the host's PID namespace it is not the first process, which reaps without being told
    assert services["manager"]["environment"]["TINI_SUBREAPER"] == "1"
    assert all(service["mem_limit"] for service in services.values())
    # each counts for many sessions, which have 1024, when the processors are not enough
    assert all(service["cpu_shares"] == 8192 for service in services.values())


def test_a_part_that_is_switched_off_is_not_made(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []
    monkeypatch.setattr(Compose, "run", lambda _, *arguments, **__: seen.append(arguments))
    one = _compose(state, "docker-compose")
    one.up(compose.parts_of(Config()))
    one.up(compose.parts_of(Config.model_validate({"apis": {"enabled": False}})))
    assert [[word for word in line if word.startswith("--scale")] for line in seen] == [
        [], ["--scale=api=0"]
    ]  # fmt: skip


def test_a_failing_compose_is_told_with_its_last_lines(state: State) -> None:
    with pytest.raises(compose.InternalError, match=r"config.*failed"):
        _compose(state, "docker-compose").run("config")


def test_logs_end_with_the_programs_own_exit_code(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)
    assert _compose(state, "docker", "compose").logs(["hub"], follow=True, tail="5") == 3
    assert seen[0][-5:] == ["logs", "--tail", "5", "--follow", "hub"]


def test_the_manager_gets_more_only_where_homes_are_folders_of_the_host(
    state: State, tmp_path: Path
) -> None:
    root = tmp_path / "home$s"
    settings = {"hostdir": {"root": str(root)}}
    off = Config.model_validate({"plugins": {"settings": settings}})
    on = Config.model_validate({"plugins": {"enable": ["hostdir"], "settings": settings}})
    assert overlay(off) == ""
    with pytest.raises(ConfigurationError, match="there is no folder"):
        overlay(on)
    root.mkdir()
    manager = yaml.safe_load(overlay(on))["services"]["manager"]
    assert manager["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
    assert manager["volumes"][0]["source"] == str(root).replace("$", "$$")
    within = Config.model_validate({"plugins": {"enable": ["hostdir"]}})
    assert "volumes" not in yaml.safe_load(overlay(within))["services"]["manager"]

    one = replace(_compose(state, "docker-compose"), more=state.compose_more)
    assert str(state.compose_more) not in one.command("up")
    state.compose_more.write_text(overlay(within))
    assert one.command("up").count("--file") == 2
