"""Faults of the engine, on a second engine in a network namespace of its own.

The host's engine and its other users are never touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from juliabox_ext.errors import JuliaBoxError, UnavailableError
from juliabox_manager.protocol import (
    SessionCreate,
    SessionInfo,
    SessionInspect,
    SessionList,
    SessionRemove,
    SessionStart,
)
from juliabox_spawner.client import ManagerClient
from support import tiny_image
from support.manager_process import IMAGE, LIMITS, ManagerProcess

pytestmark = pytest.mark.engine


class SecondEngine:
    """A dockerd that tests may kill."""

    def __init__(self, folder: Path, namespace: str, *, live_restore: bool) -> None:
        self.folder = folder
        self.namespace = namespace
        self.live_restore = live_restore
        self.url = f"unix://{folder}/docker.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def enter(self) -> list[str]:
        return ["nsenter", f"--net=/var/run/netns/{self.namespace}"]

    def start(self) -> None:
        """Start it, again and again while something of the one before is in the way."""
        command = [
            *self.enter, "dockerd", "--data-root", f"{self.folder}/data",
            "--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid",
            "-H", self.url, "--config-file", f"{self.folder}/daemon.json",
        ]  # fmt: skip
        settings = {"live-restore": self.live_restore}
        (self.folder / "daemon.json").write_text(json.dumps(settings))
        end = time.monotonic() + 120
        while time.monotonic() < end:
            (self.folder / "pid").unlink(missing_ok=True)
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=log)
            # one that is slow is waited for: a second would start beside it
            while self.process.poll() is None and time.monotonic() < end:
                if self.docker("version").returncode == 0:
                    return
                time.sleep(0.1)
            time.sleep(0.5)
        raise AssertionError((self.folder / "log").read_text()[-3000:])

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)

    def stop(self) -> None:
        """Stop the engine and what it started."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        for name in ("data", "exec"):
            _end_processes_of(self.folder / name)

    def docker(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "-H", self.url, *arguments],
            capture_output=True, text=True, check=False, **options,  # type: ignore[call-overload]
        )  # fmt: skip


def _end_processes_of(folder: Path) -> None:
    """End the processes that this engine left: containerd and shims name its folders."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[tuple[SecondEngine, ManagerProcess]]:
    """A second engine with an installation on it."""
    folder = Path(tempfile.mkdtemp(prefix="jbt-s-engine-", dir="/tmp"))
    state = folder / "state"
    state.mkdir()
    namespace = f"jbt-sessions-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    engine = SecondEngine(folder, namespace, live_restore=request.param)
    subprocess.run([*engine.enter, "ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "--bind", str(state), str(state)], check=True)
    subprocess.run(["mount", "--make-rshared", str(state)], check=True)
    made = None
    try:
        engine.start()
        tiny_image.make()
        with subprocess.Popen(["docker", "save", tiny_image.TAG], stdout=subprocess.PIPE) as saved:
            loaded = engine.docker("load", stdin=saved.stdout)
        assert loaded.returncode == 0, loaded.stderr
        name = f"jbt-sessions-{os.getpid()}-second"
        engine.docker("network", "create", "--subnet", "10.203.50.0/24", f"{name}-sessions")
        made = ManagerProcess(
            name, state, tiny_image.make(), "10.203.50.0/24", engine=engine.url, inside=engine.enter
        )
        made.prepare()
        yield engine, made
    finally:
        if made is not None:
            made.kill()
            print(made.log())
            for container in engine.docker("ps", "-aq").stdout.split():
                engine.docker("rm", "-f", container)
            for point in reversed(made.mounts()):
                subprocess.run(["umount", "-l", point], check=False)
        engine.stop()
        subprocess.run(["ip", "netns", "del", namespace], check=True)
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if line.split()[4].startswith(str(folder)):
                subprocess.run(["umount", "-l", line.split()[4]], check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def hub(place: tuple[SecondEngine, ManagerProcess]) -> AsyncIterator[ManagerClient]:
    _, made = place
    client = made.client()
    yield client
    client.close()
    made.kill()


async def _started(hub: ManagerClient) -> SessionInfo:
    made = await hub.call(SessionCreate("ada", "", IMAGE, LIMITS), 60.0)
    return await hub.call(SessionStart(made.session, {}), 60.0)  # type: ignore[no-any-return]


@pytest.mark.parametrize("place", [False, True], ids=["restart", "live-restore"], indirect=True)
async def test_an_engine_that_is_killed_costs_a_typed_error_and_comes_back(
    place: tuple[SecondEngine, ManagerProcess], hub: ManagerClient
) -> None:
    engine, made = place
    made.start()
    await made.ready(hub)
    info = await _started(hub)
    engine.kill()
    with pytest.raises(UnavailableError) as refused:
        await hub.call(SessionCreate("eve", "", IMAGE, LIMITS), 30.0)
    assert refused.value.code.startswith("engine.")
    assert (await hub.call(SessionInspect(info.session))).session == info.session
    if not engine.live_restore:
        # a host that went down with it, as far as the containers are concerned
        _end_processes_of(engine.folder / "exec")
    await asyncio.to_thread(engine.start)
    expected = "running" if engine.live_restore else "ended"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        seen = await hub.call(SessionInspect(info.session))
        if seen.state == expected:
            break
        await asyncio.sleep(0.2)
    assert seen.state == expected
    # everybody can start again, and nothing is left afterwards
    other = await hub.call(SessionCreate("eve", "", IMAGE, LIMITS), 60.0)
    assert (await hub.call(SessionStart(other.session, {}), 60.0)).state == "running"
    for left in await hub.call(SessionList()):
        await hub.call(SessionRemove(left.session), 60.0)
    await _nothing_left(made)


@pytest.mark.parametrize("place", [True], ids=["live-restore"], indirect=True)
async def test_an_engine_that_is_away_when_the_manager_starts_is_awaited(
    place: tuple[SecondEngine, ManagerProcess], hub: ManagerClient
) -> None:
    engine, made = place
    engine.kill()
    made.start()
    asking = asyncio.create_task(hub.call(SessionCreate("ada", "", IMAGE, LIMITS), 60.0))
    await asyncio.sleep(1.5)
    assert not asking.done()
    await asyncio.to_thread(engine.start)
    with contextlib.suppress(JuliaBoxError):
        await asking
    await made.ready(hub)
    info = await _started(hub)
    assert info.state == "running"
    await hub.call(SessionRemove(info.session), 60.0)
    await _nothing_left(made)


async def _nothing_left(made: ManagerProcess) -> None:
    for _ in range(600):
        left = (made.containers(), made.mounts(), made.loops(), made.slots())
        if left == ([], [], [], []):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"left over: {left}\n{made.log()}")
