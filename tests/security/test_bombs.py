"""One session explodes in every way; its neighbour starts, and the hub answers (S14 to S18)."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import docker
import httpx
import pytest

from support.inside import Inside
from support.installation import Installation
from support.rest_user import RestUser

pytestmark = pytest.mark.engine

BOMBS = Path(__file__).parent / "inside" / "bombs.py"

#: What a bomb may do to others: a neighbour's start, and the hub's answers (seconds).
SLOWER, ANSWER = 1.5, 0.25

#: On a shared machine a single start drifts by a quarter, and one answer in a hundred is late; the
#: ordinary run has too few samples to take that out, the soak has enough.
DRIFT, LATE = 1.3, 0.25

SAMPLES = int(os.environ.get("JULIABOX_SOAK_BOMB_STARTS", "20"))


@dataclass
class Health:
    """Seconds that the hub took to answer, asked again and again by a thread."""

    url: str
    times: list[float] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Health:
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(timeout=10) as http:
            while not self._end.wait(0.03):
                began = time.monotonic()
                assert http.get(f"{self.url}/hub/health").status_code == 200
                self.times.append(time.monotonic() - began)

    @property
    def p99(self) -> float:
        """The 99th percentile."""
        return statistics.quantiles(self.times, n=100)[98]


@pytest.fixture(scope="module")
def bomber(installation: Installation) -> Iterator[Inside]:
    """Whose session explodes."""
    person = RestUser(installation, "bomber").started()
    yield Inside(person)
    person.stopped()


@pytest.fixture(scope="module")
def late(installation: Installation) -> Iterator[RestUser]:
    """The neighbour who starts meanwhile."""
    person = RestUser(installation, "late")
    yield person
    person.stopped()


def _start(person: RestUser) -> float:
    """Start and stop; return the seconds from the click to JupyterLab's answer."""
    began = time.monotonic()
    person.started()
    seconds = time.monotonic() - began
    person.stopped()
    return seconds


def _explode(victim: Inside, seconds: float, *bombs: str) -> None:
    subprocess.run(
        ["docker", "exec", "-d", "-u", "1000", victim.container, "/opt/venv/bin/python", "-c",
         BOMBS.read_text(), str(seconds), *bombs],
        check=True,
    )  # fmt: skip


def _end(victim: Inside) -> None:
    """End what exploded, from outside: a full container may admit no further process."""
    for process in _processes(victim):
        if "Bombs of one session" in process[-1]:
            subprocess.run(["kill", "-9", process[1]], check=False)


def _processes(victim: Inside) -> list[list[str]]:
    """Return the processes of a session as ps tells them, threads left out."""
    client = docker.from_env()
    try:
        found: list[list[str]] = client.containers.get(victim.container).top()["Processes"]
        return found
    finally:
        client.close()


def _others(installation: Installation, victim: Inside) -> dict[str, tuple[str, int]]:
    """Return when each container but one was started, and how often again."""
    client = docker.from_env().api
    try:
        labels = {"label": f"juliabox.installation={installation.name}"}
        found = {}
        for item in client.containers(all=True, filters=labels):
            told = client.inspect_container(item["Id"])
            found[told["Id"]] = (told["State"]["StartedAt"], told["RestartCount"])
    finally:
        client.close()
    found.pop(victim.container)
    return found


def _log_bytes(victim: Inside) -> int:
    path = Path(victim.inspected["LogPath"])
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))


def test_bombs_of_one_session_hurt_nobody_else(
    installation: Installation, bomber: Inside, victor: Inside, late: RestUser
) -> None:
    idle = min(_start(late) for _ in range(2))
    before = _others(installation, bomber)
    with Health(installation.url) as health:
        _explode(bomber, 40, "cpu", "files", "log", "write", "fork")
        time.sleep(1.5)
        processes = len(_processes(bomber))
        hurt = min(_start(late) for _ in range(2))
        _end(bomber)
        _explode(bomber, 20, "memory")
        killed = _await_kill(bomber)
    print(
        f"idle {idle:.2f} s, hurt {hurt:.2f} s, health p99 {health.p99 * 1000:.0f} ms of "
        f"{len(health.times)}, processes {processes}, log {_log_bytes(bomber)}, killed {killed}"
    )
    assert 64 < processes <= installation.limits.pids
    assert _log_bytes(bomber) < 2.2e6
    assert killed
    assert hurt <= idle * SLOWER * DRIFT
    assert health.p99 <= ANSWER + LATE
    assert _others(installation, bomber) == before
    assert victor.person.answers()


def _await_kill(victim: Inside, seconds: float = 20) -> bool:
    """Whether the kernel killed something of a session for its memory."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if _out_of_memory(victim):
            return True
        time.sleep(0.2)
    return False


def _out_of_memory(victim: Inside) -> bool:
    pid = victim.pid
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers == "memory":
            path = Path(f"/sys/fs/cgroup/memory{place}/memory.oom_control")
        elif controllers == "":
            path = Path(f"/sys/fs/cgroup{place}/memory.events")
        else:
            continue
        if path.exists():
            told = dict(row.split() for row in path.read_text().splitlines())
            return int(told["oom_kill"]) > 0
    return False
