"""Each check fails on the state that it is for, and says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from juliabox_cli import doctor, health, images, mounts
from juliabox_cli.config import Config
from juliabox_cli.docker_engine import SESSION_LABEL
from juliabox_cli.state import Install, State
from juliabox_ext.errors import UnavailableError
from juliabox_manager.protocol import ImageInfo, PoolInfo

SESSION = {
    "Name": "/juliabox-s-1",
    "Config": {"Labels": {SESSION_LABEL: "1"}},
    "State": {"Running": True, "Pid": 1},
}


@pytest.fixture
def stand(state: State) -> Any:
    """Return an installation whose outside is made of plain values."""
    socket = state.root / "docker.sock"
    socket.touch(mode=0o660)
    engine = SimpleNamespace(
        socket=str(socket),
        version=lambda: {"Version": "20.10.24", "ApiVersion": "1.41"},
        containers=lambda name: [],
    )
    return SimpleNamespace(state=state, config=Config(port=1), engine=engine, manager=None)


def _fails(check: doctor.Check, stand: Any) -> doctor.Broken:
    with pytest.raises(doctor.Broken) as caught:
        check(stand)
    assert caught.value.cure
    return caught.value


def test_missing_images_are_named(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "missing_images", lambda *_: ["julia"])
    assert "julia" in _fails(doctor.check_images, stand).message
    monkeypatch.setattr(images, "missing_images", lambda *_: [])
    assert doctor.check_images(stand) == "control, julia, julia-api are present"


def test_a_socket_open_to_all_is_a_finding(stand: Any) -> None:
    Path(stand.engine.socket).chmod(0o666)
    assert "chmod 660" in _fails(doctor.check_sockets, stand).cure


def test_a_silent_port_is_a_finding(stand: Any) -> None:
    assert "nothing listens on 127.0.0.1:1" in _fails(doctor.check_sockets, stand).message


def test_a_private_state_folder_is_a_finding(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "is_shared", lambda _: False)
    assert "not a shared mount" in _fails(doctor.check_mounts, stand).message


def test_a_home_without_session_and_a_leaked_loop_are_findings(
    stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = stand.state.root / "mounts" / "a"
    monkeypatch.setattr(mounts, "is_shared", lambda _: True)
    shown = stand.state.root / "slots" / "1" / "juser"
    monkeypatch.setattr(doctor, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(mounts, "left_mounts", lambda _: [shown, home])
    monkeypatch.setattr(mounts, "left_loops", lambda _: ["/dev/loop0", "/dev/loop1"])
    warm = SESSION | {"Config": {"Labels": {SESSION_LABEL: "2"}}}
    stand.engine.containers = lambda name: [warm]
    assert f"1 mounts without their session: {shown}" in _fails(doctor.check_mounts, stand).message
    monkeypatch.setattr(mounts, "left_mounts", lambda _: [home])
    assert f"1 mounts without their session: {home}" in _fails(doctor.check_mounts, stand).message
    monkeypatch.setattr(mounts, "left_mounts", lambda _: [shown, home])
    stand.engine.containers = lambda name: [warm, SESSION]
    assert "2 loop devices for 1" in _fails(doctor.check_mounts, stand).message
    monkeypatch.setattr(mounts, "left_loops", lambda _: ["/dev/loop0"])
    assert "1 homes mounted; 2 containers, warm ones among them" in doctor.check_mounts(stand)


def test_a_session_without_policy_is_named(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.engine.containers = lambda name: [SESSION]
    monkeypatch.setattr(mounts, "run_in_network", lambda *_: False)
    assert "juliabox-s-1 runs without" in _fails(doctor.check_policy, stand).message
    monkeypatch.setattr(mounts, "run_in_network", lambda *_: None)
    assert "nftables" in _fails(doctor.check_policy, stand).cure


def test_a_full_disk_is_a_finding(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(stand.state.root)._replace(free=1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert "no session can start" in _fails(doctor.check_disk, stand).message


def test_a_clock_behind_the_record_is_a_finding(stand: Any) -> None:
    stand.state.write_install(Install(name="juliabox", subnet="10.64.0.0/20", created=4e9))
    assert "behind" in _fails(doctor.check_clock, stand).message


def test_a_part_that_does_not_answer_is_told_with_its_reason(
    stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {"hub": health.Component("unhealthy", {"reason": "answers 503 through the proxy"})}
    monkeypatch.setattr(health, "probe", lambda *_: seen)
    broken = _fails(doctor.check_part("hub"), stand)
    assert "503" in broken.message
    assert "juliabox logs hub" in broken.cure


def test_an_allowed_image_that_is_gone_is_named(stand: Any) -> None:
    absent = [ImageInfo("juliabox/julia", "sha256:1", False)]
    stand.manager = SimpleNamespace(call=lambda verb, timeout: absent)
    assert "juliabox/julia" in _fails(doctor.check_allow_list, stand).message


def _pool(**changes: Any) -> PoolInfo:
    told = {"wanted": 3, "ready": 1, "loading": 2, "claimed": 7, "missed": 1, "failed": 0}
    return PoolInfo(**{"image": "juliabox/julia", **told, "memory": 2**28, **changes})


def test_a_pool_that_cannot_fill_is_told_with_its_reason(stand: Any) -> None:
    pools = [_pool(), _pool(image="lab/geo", reason="pool.memory admits no more")]
    stand.manager = SimpleNamespace(call=lambda verb, timeout: pools)
    assert "lab/geo: pool.memory admits no more" in _fails(doctor.check_pools, stand).message
    assert "pool.size" in _fails(doctor.check_pools, stand).cure
    pools.pop()
    assert doctor.check_pools(stand) == "1 of 3 are ready"


def test_one_failure_keeps_no_other_check_from_running(
    stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(_: Any) -> str:
        raise UnavailableError("no Docker engine", code="engine.missing")

    checks = {"engine": silent, "disk": doctor.check_disk}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    assert [(one.name, one.ok) for one in doctor.examine(stand)] == [
        ("engine", False),
        ("disk", True),
    ]


def test_every_subject_of_the_issue_has_its_check() -> None:
    subjects = {
        *("engine", "images", "sockets", "mounts", "network policy", "disk", "clock"),
        *("hub", "proxy", "manager", "portal", "api"),
    }
    assert subjects <= set(doctor.CHECKS)
