"""The supervised engine, tried on a second engine in a network namespace of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from juliabox_cli import docker_engine, engine_install, mounts
from juliabox_cli.engine_service import EngineService
from juliabox_ext.errors import UnavailableError

pytestmark = pytest.mark.engine

NAMESPACE = f"jbt-cli-{os.getpid()}"


@pytest.fixture
def service() -> Iterator[EngineService]:
    if shutil.which("runsv") is None:
        with engine_install._no_service_start():
            engine_install.install_packages(["runit"])
    root = Path(tempfile.mkdtemp(prefix="jbt-cli-", dir="/tmp"))
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    subprocess.run(["ip", "-n", NAMESPACE, "link", "set", "lo", "up"], check=True)
    settings = root / "daemon.json"
    settings.write_text('{"live-restore": true}')
    made = EngineService(
        folder=root / "sv",
        command=(
            "nsenter",
            f"--net=/var/run/netns/{NAMESPACE}",
            "dockerd",
            *("--data-root", str(root / "data"), "--exec-root", str(root / "exec")),
            *("--pidfile", str(root / "pid"), "--host", f"unix://{root}/docker.sock"),
            # not the machine's own, which may say the same
            *("--config-file", str(settings)),
        ),
        pidfile=root / "pid",
        exec_root=root / "exec",
        log=root / "log",
    )
    made.install()
    yield made
    subprocess.run(["sv", "-w", "20", "force-shutdown", str(made.folder)], check=False)
    subprocess.run(["ip", "netns", "delete", NAMESPACE], check=False)
    mounts.undo_all(root)
    shutil.rmtree(root, ignore_errors=True)


def _await(service: EngineService, seconds: float) -> float:
    began = time.monotonic()
    while True:
        try:
            docker_engine.connect(str(service.pidfile.parent / "docker.sock"), timeout=5)
        except UnavailableError:
            if time.monotonic() - began > seconds:
                log = service.log / "current"
                raise AssertionError(
                    log.read_text()[-3000:] if log.exists() else "no log"
                ) from None
            time.sleep(0.05)
        else:
            return time.monotonic() - began


def _await_end(process: int) -> None:
    """Wait until a process that was killed runs no more, whether or not anybody has reaped it."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)


def test_an_engine_starts_over_a_stale_pid_file_and_is_back_after_a_kill(
    service: EngineService,
) -> None:
    service.pidfile.write_text(str(os.getpid()))  # names a process that is no engine
    service.start()
    _await(service, 60)
    for _ in range(3):
        killed = int(service.pidfile.read_text())
        os.kill(killed, signal.SIGKILL)
        _await_end(killed)
        # 1 s by itself; a loaded machine takes longer
        print(f"back after {_await(service, 60):.2f} s")
        assert int(service.pidfile.read_text()) != killed
    service.start()
    assert service.supervised()


def test_an_engine_that_outlived_its_supervisor_is_taken_up_and_not_doubled(
    service: EngineService,
) -> None:
    service.start()
    _await(service, 60)
    engine = int(service.pidfile.read_text())
    status = (service.folder / "supervise" / "pid").read_text().strip()
    assert int(status) == engine
    supervisor = int(Path(f"/proc/{engine}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while service.supervised() and time.monotonic() < deadline:
        time.sleep(0.05)
    service.start()
    time.sleep(2)
    assert int(service.pidfile.read_text()) == engine
    os.kill(engine, signal.SIGKILL)
    _await_end(engine)
    _await(service, 60)
    assert int(service.pidfile.read_text()) != engine
