"""What is installed on a machine without an engine; apt is a script that writes down its calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from juliabox_cli import engine_install


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an apt in place that knows the packages of a file, and return where it writes."""
    programs, record = tmp_path / "bin", tmp_path / "called"
    programs.mkdir()
    (tmp_path / "known").write_text("docker-compose\n")
    scripts = {
        "apt-get": f'#!/bin/sh\necho "$@" >>{record}\n',
        "apt-cache": f'#!/bin/sh\nexec /bin/grep -qx "$2" {tmp_path}/known\n',
    }
    for name, text in scripts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(engine_install, "DAEMON_FILE", tmp_path / "docker" / "daemon.json")
    monkeypatch.setattr(engine_install, "_POLICY_FILE", tmp_path / "policy-rc.d")
    monkeypatch.setattr(engine_install, "_systemd", lambda: True)
    return record


def test_a_bare_machine_gets_engine_compose_and_what_the_engine_needs(
    called: Path, tmp_path: Path
) -> None:
    engine_install.install_engine()
    update, install = called.read_text().splitlines()
    assert update.endswith("update")
    # without apparmor, an engine on a kernel that has it starts no container
    assert {"docker.io", "docker-compose", "iptables", "apparmor"} <= set(install.split())
    assert json.loads((tmp_path / "docker" / "daemon.json").read_text())["live-restore"] is True


def test_ubuntu_gets_its_second_compose_since_the_first_cannot_talk_to_its_engine(
    called: Path, tmp_path: Path
) -> None:
    (tmp_path / "known").write_text("docker-compose\ndocker-compose-v2\n")
    engine_install.install_engine()
    installed = called.read_text().splitlines()[-1].split()
    assert "docker-compose-v2" in installed and "docker-compose" not in installed


def test_a_rule_against_starting_services_does_not_outlive_a_run_that_was_cut_off(
    called: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy-rc.d"
    with pytest.raises(SystemExit), engine_install._no_service_start():
        left = policy.read_text()
        raise SystemExit
    policy.write_text(left)  # as after kill -9
    with engine_install._no_service_start():
        assert policy.exists()
    assert not policy.exists()
    policy.write_text("#!/bin/sh\nexit 0\n")  # the operator's own
    with engine_install._no_service_start():
        pass
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
