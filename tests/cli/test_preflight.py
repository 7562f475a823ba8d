"""What ``up`` refuses before it changes anything, and the words that it uses."""

from __future__ import annotations

import os
import shutil
import socket
from typing import Any

import pytest

from juliabox_cli import docker_engine, preflight
from juliabox_cli.config import Config
from juliabox_cli.state import Install, State, find_state
from juliabox_ext.errors import ConfigurationError, ConflictError, NoRoomError, UnavailableError


class FakeEngine:
    """Knows containers by name."""

    def __init__(self, **containers: dict[str, Any]) -> None:
        self._containers = containers

    def container(self, name: str) -> dict[str, Any] | None:
        return self._containers.get(name.replace("-", "_"))

    def containers(self, installation: str) -> list[dict[str, Any]]:
        return list(self._containers.values())


@pytest.fixture
def taken_port() -> Any:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_on_which_somebody_listens_is_refused(taken_port: int) -> None:
    with pytest.raises(ConflictError, match=f":{taken_port}: Address already in use") as caught:
        preflight.check_port(Config(port=taken_port), FakeEngine())  # type: ignore[arg-type]
    assert caught.value.code == "port.taken"
    assert "config set port" in caught.value.message


def test_the_port_of_our_own_proxy_is_no_conflict(taken_port: int) -> None:
    bound = [{"HostIp": "127.0.0.1", "HostPort": str(taken_port)}]
    own = {"NetworkSettings": {"Ports": {"8000/tcp": bound}}}
    engine: Any = FakeEngine(juliabox_proxy=own)
    preflight.check_port(Config(port=taken_port), engine)


@pytest.mark.parametrize("name", ["juliabox-manager", "juliabox-s-0123"], ids=["part", "session"])
def test_a_name_of_another_installation_is_refused(state: State, name: str) -> None:
    engine: Any = FakeEngine(other={"Name": f"/{name}", "Mounts": [{"Source": "/elsewhere/hub"}]})
    with pytest.raises(ConflictError, match=f"another installation .container {name}"):
        preflight.check_name(Config(), state, engine)
    mounts = [{"Source": "/dev"}, {"Source": f"{state.root}/slots/0123"}]
    own: Any = FakeEngine(own={"Name": f"/{name}", "Mounts": mounts})
    preflight.check_name(Config(), state, own)


def test_a_name_changed_after_the_first_start_is_refused(state: State) -> None:
    state.write_install(Install(name="old", subnet="10.64.0.0/20", created=0))
    engine: Any = FakeEngine()
    with pytest.raises(ConfigurationError, match="config set name old"):
        preflight.check_name(Config(name="new"), state, engine)


def test_a_disk_that_is_too_small_is_refused(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(state.root)._replace(free=2 * 1024**3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    preflight.check_disk(state, building=False)
    with pytest.raises(NoRoomError, match=r"only 2G free.*6G are needed to build"):
        preflight.check_disk(state, building=True)


def test_memory_is_read_as_the_kernel_writes_it() -> None:
    text = "MemTotal: 1000 kB\nMemAvailable:     512 kB\n"
    assert preflight.available_memory(text) == 512 * 1024


@pytest.mark.parametrize("api", ["1.24", "1.40", "0"])
def test_an_engine_that_is_too_old_is_refused(api: str) -> None:
    with pytest.raises(ConfigurationError, match=r"too old: JuliaBox needs 20\.10") as caught:
        docker_engine.check_version({"Version": "18.09", "ApiVersion": api})
    assert caught.value.code == "engine.too_old"


@pytest.mark.parametrize("api", ["1.41", "1.50", "2.0"])
def test_an_engine_that_is_new_enough_passes(api: str) -> None:
    docker_engine.check_version({"Version": "x", "ApiVersion": api})


def test_without_root_the_message_says_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnavailableError, match="sudo make up"):
        preflight.require_root()


def test_no_engine_is_told_by_its_socket(tmp_path: Any) -> None:
    with pytest.raises(UnavailableError, match="does not exist") as caught:
        docker_engine.connect(str(tmp_path / "docker.sock"))
    assert caught.value.code == "engine.missing"


def test_an_engine_of_another_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(ConfigurationError, match="this machine's engine"):
        docker_engine.socket_path()


@pytest.mark.parametrize(
    "path", ["/a b", "/a:b", "/" + "x" * 90, "/" + "ü" * 40, "/a$b", "/a#b", "/a?b", "/a%20"]
)
def test_a_state_folder_that_would_break_later_is_refused(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JULIABOX_STATE", path)
    with pytest.raises(ConfigurationError, match="JULIABOX_STATE"):
        find_state()
