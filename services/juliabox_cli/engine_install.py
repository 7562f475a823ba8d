"""Making sure that a Docker engine answers: found, else installed from the distribution.

An engine that answers is used as it is and never reconfigured or restarted.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from juliabox_cli import compose, docker_engine
from juliabox_cli.atomic_files import ensure_folder, write_text
from juliabox_cli.engine_service import EngineService
from juliabox_ext.errors import UnavailableError

Progress = Callable[[str, float], None]

#: Settings of an engine that we install: containers outlive it, logs are bounded.
DAEMON_SETTINGS = {
    "live-restore": True,
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "3"},
}
DAEMON_FILE = Path("/etc/docker/daemon.json")
_POLICY_FILE = Path("/usr/sbin/policy-rc.d")
_POLICY = "#!/bin/sh\n# Written by juliabox up, for as long as it installs packages.\nexit 101\n"

#: Ubuntu's package of the present compose; its ``docker-compose`` is too old for its engines.
_NEWER = {"docker-compose": "docker-compose-v2"}

#: Seconds until a started engine must answer.
_PATIENCE = 60.0


def ensure_engine(progress: Progress) -> str:
    """Make an engine and compose available; return ``found``, ``started`` or ``installed``."""
    result = _ensure_daemon(progress)
    if compose.find_program() is None:
        progress("installing docker-compose", 0.9)
        install_packages(["docker-compose"])
    return result


def _ensure_daemon(progress: Progress) -> str:
    service = EngineService()
    try:
        docker_engine.connect()
    except UnavailableError as error:
        if error.code == "engine.no_access" or os.environ.get("DOCKER_HOST"):
            raise
    else:
        if service.installed and not _systemd():
            service.start()
        return "found"
    result = "started"
    if shutil.which("dockerd") is None:
        progress("installing docker.io", 0.1)
        install_engine()
        result = "installed"
    progress("starting", 0.8)
    start_engine(service)
    _await_engine()
    return result


def install_engine() -> None:
    """Install the distribution's engine, with our settings unless the host has its own."""
    if not DAEMON_FILE.exists():
        ensure_folder(DAEMON_FILE.parent, mode=0o755)
        write_text(DAEMON_FILE, json.dumps(DAEMON_SETTINGS, indent=2) + "\n", mode=0o644)
    # apparmor: on a kernel that has it, the engine starts no container without its program
    packages = ["docker.io", "ca-certificates", "iptables", "apparmor"]
    if compose.find_program() is None:
        packages.append("docker-compose")
    if _systemd():
        install_packages(packages)
        return
    with _no_service_start():
        install_packages([*packages, "runit"])


def start_engine(service: EngineService) -> None:
    """Start an installed engine under the host's supervisor, or under runit's."""
    if _systemd():
        _run(["systemctl", "enable", "--now", "docker"], "start the Docker engine")
        return
    if shutil.which("runsv") is None:
        with _no_service_start():
            install_packages(["runit"])
    service.install()
    service.start()


def install_packages(names: list[str]) -> None:
    """Install packages from the distribution, waiting for another apt to end."""
    if shutil.which("apt-get") is None:
        raise UnavailableError(
            f"{', '.join(names)} must be installed, and this is no Debian or Ubuntu: install "
            "Docker Engine 20.10 or newer and docker compose yourself, then repeat",
            code="packages.no_apt",
        )
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    _run([*apt, "update"], "read the package lists", needed=False)
    chosen = [_NEWER[name] if name in _NEWER and _offered(_NEWER[name]) else name for name in names]
    _run(
        [*apt, "install", "--yes", "--no-install-recommends", *chosen],
        f"install {', '.join(chosen)}",
    )


def _offered(package: str) -> bool:
    """Tell whether the distribution has a package."""
    done = subprocess.run(["apt-cache", "show", package], capture_output=True, check=False)
    return done.returncode == 0


def _run(command: list[str], what: str, *, needed: bool = True) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode and needed:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise UnavailableError(
            f"cannot {what}: `{' '.join(command)}` failed:\n{said}\nCheck the network and the "
            "package sources, then repeat",
            code="packages.failed",
        )


@contextlib.contextmanager
def _no_service_start() -> Iterator[None]:
    """Keep the packages' scripts from starting an engine that nobody would supervise."""
    if _POLICY_FILE.exists() and _POLICY_FILE.read_text() != _POLICY:
        yield
        return
    write_text(_POLICY_FILE, _POLICY, mode=0o755)
    try:
        yield
    finally:
        _POLICY_FILE.unlink(missing_ok=True)


def _systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def _await_engine() -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            docker_engine.connect()
        except UnavailableError as error:
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the Docker engine was started and does not answer: {error.message}. Its log "
                    "is in /var/log/juliabox-docker/current, or `journalctl -u docker`",
                    code="engine.not_started",
                ) from None
            time.sleep(0.3)
        else:
            return
