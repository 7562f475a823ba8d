"""The manager's program as a process: starts, answers, refuses a second one, ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from juliabox_manager import protocol
from juliabox_manager.main import EXIT_CONFIGURATION
from support.door import Door
from support.ports import free_port

pytestmark = pytest.mark.engine
_START = "from juliabox_manager.main import main; main()"


class Process:
    """A manager over a state folder."""

    def __init__(self, folder: Path) -> None:
        self.door = Door(folder)
        self.port, self.metrics = free_port(), free_port()
        self.door.settings()
        self.file = folder / "manager.json"
        self.change(listen=f"tcp://127.0.0.1:{self.port}", metrics_port=self.metrics)

    def change(self, **changes: object) -> None:
        document = json.loads(self.file.read_text())
        self.file.write_text(json.dumps({**document, **changes}))

    def run(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", _START, "--settings", str(self.file)]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-c", _START, "--settings", str(self.file)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            self._await_health(process)
            yield process
        finally:
            process.kill()
            process.wait()

    def _await_health(self, process: subprocess.Popen[str]) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self.metrics}/healthz").status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"no healthy manager: {process.communicate()[0]}")


@pytest.fixture
def manager(tmp_path: Path) -> Process:
    return Process(tmp_path)


async def test_it_serves_alone_and_ends_on_sigterm(manager: Process) -> None:
    with manager.running() as process:
        with manager.door.client(endpoint=f"tcp://127.0.0.1:{manager.port}") as client:
            assert await client.call(protocol.Ping()) == protocol.Pong(True, "one")
        second = manager.run()
        assert second.returncode == EXIT_CONFIGURATION
        assert "another manager uses" in second.stdout
        process.send_signal(signal.SIGTERM)
        lines = process.communicate(timeout=60)[0].splitlines()
        assert process.returncode == 0
    assert all(json.loads(line)["part"] == "manager" for line in lines)
    assert manager.door.keys.secret not in "".join(lines)


async def test_who_waits_for_news_is_answered_when_it_ends(manager: Process) -> None:
    with (
        manager.running() as process,
        manager.door.client(endpoint=f"tcp://127.0.0.1:{manager.port}") as client,
    ):
        (cursor,) = await client.call(protocol.Events(after=-1))
        waiting = protocol.Events(after=cursor.sequence, wait=30)
        reading = asyncio.create_task(client.call(waiting, timeout=60))
        await asyncio.sleep(0)  # sent now, so it is read before the next
        await client.call(protocol.Ping())
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(25):
            assert await reading == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"privileged": True}, "privileged"),
        ({"clients": {"hub": {"public_key": "x", "verbs": ["*"]}}}, "'hub'"),
        ({"clients": {"hub": {"public_key": "x" * 40, "verbs": ["fly"]}}}, "'fly'"),
        ({"secret_key": "/nowhere/curve.key"}, "/nowhere/curve.key"),
    ],
    ids=["unknown-setting", "client-key", "client-verb", "secret-key"],
)
def test_wrong_settings_are_told_without_a_traceback(
    manager: Process, change: dict[str, object], told: str
) -> None:
    manager.change(**change)
    ended = manager.run()
    assert ended.returncode == EXIT_CONFIGURATION
    assert told in ended.stdout
    assert '"ready"' not in ended.stdout, "it has begun to work"
    assert "Traceback" not in ended.stdout + ended.stderr
