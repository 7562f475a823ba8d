"""A Docker engine of the test's own, in a network namespace, under the project's own supervisor.

The host's engine and its other users are never touched. Inside :meth:`SecondEngine.entered` this
process is in the engine's network and talks to it by ``DOCKER_HOST``, and so does all it starts.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import docker

from juliabox_cli import docker_engine, engine_install, image_build, mounts
from juliabox_cli.engine_service import EngineService
from juliabox_ext.errors import UnavailableError

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class SecondEngine:
    """A dockerd with live-restore that tests may kill; its supervisor starts it again."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder = folder
        self.namespace = Path("/var/run/netns") / namespace
        self.socket = folder / "docker.sock"
        # not the machine's own settings, which may say the same
        settings = folder / "daemon.json"
        settings.write_text('{"live-restore": true}')
        self.service = EngineService(
            folder=folder / "sv",
            command=(
                "nsenter",
                f"--net={self.namespace}",
                "dockerd",
                *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
                *("--pidfile", str(folder / "pid"), "--host", f"unix://{self.socket}"),
                *("--config-file", str(settings)),
            ),
            pidfile=folder / "pid",
            exec_root=folder / "exec",
            log=folder / "log",
        )

    @classmethod
    @contextlib.contextmanager
    def fresh(cls) -> Iterator[SecondEngine]:
        """Start an engine without images; take away all of it afterwards."""
        if shutil.which("runsv") is None:
            engine_install.install_packages(["runit"])
        folder = Path(tempfile.mkdtemp(prefix="jbt-faults-", dir="/var/tmp"))
        made = cls(folder, folder.name)
        subprocess.run(["ip", "netns", "add", folder.name], check=True)
        try:
            subprocess.run(["ip", "-n", folder.name, "link", "set", "lo", "up"], check=True)
            made.service.install()
            made.service.start()
            made.await_answer(180)
            yield made
        finally:
            made._take_away()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put this thread, and what it starts, into the engine's network, with its address."""
        before = os.environ.get("DOCKER_HOST")
        with Path("/proc/thread-self/ns/net").open() as own, self.namespace.open() as other:
            _enter(other.fileno())
            os.environ["DOCKER_HOST"] = f"unix://{self.socket}"
            try:
                yield
            finally:
                _enter(own.fileno())
                os.environ.pop("DOCKER_HOST")
                if before is not None:
                    os.environ["DOCKER_HOST"] = before

    def bring_images(self, root: Path) -> None:
        """Copy the installation's images from the host's engine, which makes what it lacks."""
        client = docker.DockerClient(f"unix://{docker_engine.socket_path()}", timeout=1800)
        image_build.ensure_images(root, engine=client)
        client.close()
        tags = image_build.image_tags(root)
        self.bring(tags["control"], tags["julia"], tags["julia-api"])

    def bring(self, *tags: str) -> None:
        """Copy images from the host's engine."""
        save = ["docker", "-H", f"unix://{docker_engine.socket_path()}", "save", *tags]
        load = ["docker", "-H", f"unix://{self.socket}", "load"]
        with subprocess.Popen(save, stdout=subprocess.PIPE) as saved:
            loaded = subprocess.run(
                load, stdin=saved.stdout, check=False, capture_output=True, text=True
            )
        said = f"{loaded.stdout[-500:]} {loaded.stderr[-500:]}"
        assert saved.returncode == loaded.returncode == 0, f"{said}\n{self.log()}"

    @property
    def pid(self) -> int:
        """The engine's process."""
        return int(self.service.pidfile.read_text())

    def kill(self) -> None:
        """Kill the engine with SIGKILL; the supervisor starts it again."""
        os.kill(self.pid, signal.SIGKILL)

    def await_answer(self, seconds: float) -> None:
        """Wait until the engine answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                docker_engine.connect(str(self.socket), timeout=10)
            except UnavailableError as error:
                assert time.monotonic() < end, f"{error.message}\n{self.log()}"
                time.sleep(0.1)
            else:
                return

    def log(self) -> str:
        """Return the end of the engine's log."""
        path = self.folder / "log" / "current"
        return path.read_text(errors="replace")[-6000:] if path.exists() else "no log"

    def _take_away(self) -> None:
        with contextlib.suppress(Exception):
            client = docker.DockerClient(f"unix://{self.socket}", timeout=60)
            for container in client.containers.list(all=True):
                container.remove(force=True)
            client.close()
        stop = ["sv", "-w", "20", "force-shutdown", str(self.service.folder)]
        subprocess.run(stop, check=False, capture_output=True)
        for name in ("exec", "data"):
            _end_processes_that_name(self.folder / name)
        subprocess.run(["ip", "netns", "delete", self.folder.name], check=False)
        for _ in range(20):
            if not mounts.undo_all(self.folder):
                break
            time.sleep(0.2)
        shutil.rmtree(self.folder, ignore_errors=True)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _end_processes_that_name(folder: Path) -> None:
    """End what the engine left: containerd and its shims have this folder in their command."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"{folder}/".encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)
