"""A real manager as a process of its own, over a state folder and a network of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors
import msgspec

from juliabox_manager.keys import make_key
from juliabox_manager.protocol import (
    ApiContainer,
    ApiCreate,
    ApiStart,
    Limits,
    Ping,
    SessionCreate,
    SessionInfo,
    SessionStart,
)
from juliabox_manager.reconcile import listens
from juliabox_spawner.client import ManagerClient
from support import tiny_image
from support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024**2
IMAGE = "juliabox/julia"
API_IMAGE = "juliabox/julia-api"
LIMITS = Limits(memory=128 * MIB, cpu=1.0, pids=64, disk=32 * MIB)
CEILINGS = Limits(memory=1024 * MIB, cpu=2.0, pids=512, disk=256 * MIB)
API_LIMITS = Limits(memory=128 * MIB, cpu=1.0, pids=64, disk=0)
API_CEILINGS = Limits(memory=256 * MIB, cpu=1.0, pids=128, disk=0)

#: Refuses what the real profile refuses, as far as tests try it.
SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {
            "names": [
                "mount",
                "umount2",
                "unshare",
                "setns",
                "bpf",
                "keyctl",
                "add_key",
                "request_key",
                "io_uring_setup",
                "io_uring_enter",
                "perf_event_open",
                "kexec_load",
            ],
            "action": "SCMP_ACT_ERRNO",
        }
    ],
}

_START = "from juliabox_manager.main import main; main()"


@dataclass
class ManagerProcess:
    """One installation without hub: state folder, network, settings, and a manager to kill."""

    name: str
    state: Path
    image_id: str
    subnet: str
    engine: str = "unix:///var/run/docker.sock"
    changes: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    #: Command before ``_START``; runs the manager in another network namespace, say.
    inside: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        """Make state folder, keys, network and settings."""
        for folder in ("secrets", "slots", "manager"):
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        self.server_key = make_key(self.state / "secrets" / "curve.key").public
        self.client_keys = make_key(self.state / "secrets" / "client.key")
        self.operator_keys = make_key(self.state / "secrets" / "operator.key")
        (self.state / "seccomp.json").write_text(json.dumps(SECCOMP))
        self.write_settings()

    def write_settings(self) -> None:
        """Write the settings with :attr:`changes`, for the next start."""
        (self.state / "manager.json").write_text(json.dumps(self._settings()))

    def _settings(self) -> dict[str, Any]:
        first = ipaddress.ip_network(self.subnet).network_address
        settings: dict[str, Any] = {
            "installation": self.name,
            "instance": "tests",
            "state": str(self.state),
            "listen": f"ipc://{self.state}/manager.sock",
            "metrics_address": "127.0.0.1",
            "metrics_port": 0,
            "secret_key": str(self.state / "secrets" / "curve.key"),
            "clients": {
                "hub": {"public_key": self.client_keys.public, "verbs": ["*"]},
                "operator": {"public_key": self.operator_keys.public, "verbs": ["*"]},
            },
            "images": {IMAGE: self.image_id},
            "ceilings": msgspec.to_builtins(CEILINGS),
            "network": {
                "name": f"{self.name}-sessions",
                "gateway": str(first + 1),
                "trusted": [str(first + 2)],
                "hub": str(first + 3),
                "hub_port": 8081,
            },
            "capacity": {"sessions": 50, "sessions_per_owner": 3, "disk_reserve": MIB},
            "seccomp": str(self.state / "seccomp.json"),
            "tmp_size": 16 * MIB,
            "reconcile_interval": 2.0,
            "engine": self.engine,
        }
        if "api" in self.changes:
            settings["api"] = {
                "image": API_IMAGE,
                "trusted": [str(first + 4)],
                "ceilings": msgspec.to_builtins(API_CEILINGS),
                "pool": 0,
            }
        for key, value in self.changes.items():
            merged = isinstance(value, dict) and key in settings
            settings[key] = {**settings[key], **value} if merged else value
        return settings

    # -- the process ----------------------------------------------------------------------------

    def start(self, *, kill_at: str = "", program: str = _START) -> None:
        """Start the manager; with ``kill_at``, it kills itself at that step (tests/faults)."""
        command = [*self.inside, sys.executable, "-c", program]
        if kill_at:
            command = [*self.inside, sys.executable, str(ROOT / "tests/faults/kill_at.py"), kill_at]
        log = (self.state / "manager.log").open("ab")
        self.process = subprocess.Popen(
            [*command, "--settings", str(self.state / "manager.json")],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        )
        log.close()

    def wait(self, limit: float = 60.0) -> int:
        """Wait until the manager has ended; one that does not tells where each thread is."""
        assert self.process is not None
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(10)
            raise AssertionError(f"not ended within {limit:g} s\n{self.log()}") from None

    def kill(self) -> None:
        """Kill the manager with SIGKILL, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(60)

    def stop(self) -> None:
        """Stop the manager in order."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.wait() == 0, self.log()

    def log(self) -> str:
        """Return the end of the manager's log."""
        return (self.state / "manager.log").read_text()[-6000:]

    # -- its client -----------------------------------------------------------------------------

    def client(self, *, operator: bool = False) -> ManagerClient:
        """Return a client with every right: the hub's, or the operator's."""
        keys = self.operator_keys if operator else self.client_keys
        return ManagerClient(f"ipc://{self.state}/manager.sock", self.server_key, keys.secret)

    async def ready(self, client: ManagerClient, limit: float = 60.0) -> None:
        """Wait until the manager has reconciled."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            with contextlib.suppress(Exception):
                if (await client.call(Ping(), 2.0)).ready:
                    return
        raise AssertionError(f"manager not ready:\n{self.log()}")

    # -- what there is --------------------------------------------------------------------------

    def containers(self) -> list[dict[str, Any]]:
        """Return docker inspect of all containers of this installation."""
        client = docker.APIClient(self.engine, version="auto")
        try:
            found = client.containers(
                all=True, filters={"label": f"juliabox.installation={self.name}"}
            )
            inspected = []
            for item in found:
                with contextlib.suppress(docker.errors.NotFound):  # it goes just now
                    inspected.append(client.inspect_container(item["Id"]))
            return inspected
        finally:
            client.close()

    def mounts(self) -> list[str]:
        """Return mount points below the state folder, apart from itself."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        points = [line.split()[4] for line in lines]
        return [point for point in points if point.startswith(f"{self.state}/")]

    def loops(self) -> list[str]:
        """Return loop devices over images of the state folder."""
        found = []
        for path in Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):  # another's device is freed just now
                if path.read_text().startswith(f"{self.state}/"):
                    found.append(str(path))
        return found

    async def nothing_left(self) -> None:
        """Demand that nothing of any session is there; devices alone may be held for a moment."""
        assert self.containers() == self.mounts() == self.slots() == []
        await self.homes_closed()

    async def homes_closed(self) -> None:
        """Wait until no home is mounted or bound to a device.

        A container of anybody's that is just being made has copies of all mounts for a moment.
        """
        await until(lambda: not self.mounts() and not self.loops())

    def slots(self) -> list[str]:
        """Return the slot folders."""
        return sorted(path.name for path in (self.state / "slots").iterdir())


def inside(container: str, code: str) -> tuple[int, str]:
    """Run Python code in a session's container, as its user; return exit code and output."""
    done = subprocess.run(
        ["docker", "exec", container, f"/usr/bin/{tiny_image._PREFIX}", "-I", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


async def api_started(
    client: ManagerClient,
    publisher: str = "ada",
    api: str = "fib",
    version: int = 1,
    limits: Limits = API_LIMITS,
    **environment: str,
) -> ApiContainer:
    """Create and start an API container."""
    made = await client.call(ApiCreate(publisher, api, version, limits), 60.0)
    return await client.call(ApiStart(made.container, environment), 60.0)  # type: ignore[no-any-return]


async def started(
    client: ManagerClient, owner: str = "ada", *, server: str = "", **environment: str
) -> SessionInfo:
    """Create and start a session, and wait until its server listens."""
    made = await client.call(SessionCreate(owner, server, IMAGE, LIMITS), 60.0)
    info: SessionInfo = await client.call(SessionStart(made.session, environment), 60.0)
    pid = int(docker_cli("inspect", "-f", "{{.State.Pid}}", info.container))
    end = time.monotonic() + 60
    while not listens(pid, info.port):
        assert time.monotonic() < end, docker_cli("logs", info.container)
        await asyncio.sleep(0.02)
    return info


@contextlib.contextmanager
def installation(
    number: int, image_id: str, *, prefix: int = 24, **changes: Any
) -> Iterator[ManagerProcess]:
    """Yield an installation with no manager running; take away all of it afterwards.

    Its network has the length ``prefix``, and sessions have the upper half of it.
    """
    state = Path(tempfile.mkdtemp(prefix="jbt-s-", dir="/tmp"))
    name = f"jbt-sessions-{os.getpid()}-{number}"
    made = ManagerProcess(
        name, state, image_id, make_network(f"{name}-sessions", prefix), changes=changes
    )
    subprocess.run(["mount", "--bind", str(state), str(state)], check=True)
    subprocess.run(["mount", "--make-rshared", str(state)], check=True)
    try:
        made.prepare()
        yield made
    finally:
        made.kill()
        _remove_containers(made)
        for point in reversed(made.mounts()):
            subprocess.run(["umount", "-l", point], check=False)
        subprocess.run(["umount", "-l", str(state)], check=True)
        docker_cli("network", "rm", f"{name}-sessions")
        shutil.rmtree(state)


def _remove_containers(made: ManagerProcess, limit: float = 60.0) -> None:
    """Remove what a killed manager left; the engine may still be at what it was told last."""
    end = time.monotonic() + limit
    while left := made.containers():
        assert time.monotonic() < end, [one["Id"] for one in left]
        for container in left:
            # one whose removal is under way is none to be removed again
            with contextlib.suppress(AssertionError):
                docker_cli("rm", "-f", container["Id"])
        time.sleep(0.05)


def make_network(name: str, prefix: int) -> str:
    """Make a Docker network on a subnet that no other run of the tests has; return the subnet."""
    blocks = list(ipaddress.ip_network("10.203.128.0/17").subnets(new_prefix=prefix))
    for subnet in random.sample(blocks, len(blocks)):
        upper = list(subnet.subnets())[1]
        with contextlib.suppress(AssertionError):
            docker_cli("network", "create", "--subnet", str(subnet), "--ip-range", str(upper), name)
            return str(subnet)
    raise AssertionError("no subnet is free")


def docker_cli(*arguments: str) -> str:
    """Run the docker command; fail with what it says."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
