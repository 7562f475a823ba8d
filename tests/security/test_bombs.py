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

from support.inside import HOME, Inside, inspect
from support.installation import Installation
from support.machine import PARTS
from support.rest_user import RestUser, wait_for
from support.warm import Pools, started_as

pytestmark = pytest.mark.engine

BOMBS = Path(__file__).parent / "inside" / "bombs.py"

#: What a bomb may do to others: a neighbour's start, and the hub's answers (seconds).
SLOWER, ANSWER = 1.5, 0.25

#: What the ordinary run takes for harm. On two processors of which a bomb may have one, two starts
#: are too few to tell 1.5 from the machine's other work; a log bomb without a bound made it 5.
#: The soak has enough samples for the targets themselves.
HARM, LATE = 2.5, 0.5

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
def bomber(installation: Installation, pools: Pools) -> Iterator[Inside]:
    """Whose session, which was warm, explodes; nothing of it stays."""
    yield from _exploding(RestUser(installation, "bomber"), pools, warm=True)


@pytest.fixture(scope="module")
def cold_bomber(installation: Installation, pools: Pools) -> Iterator[Inside]:
    """Another, whose session was started cold."""
    yield from _exploding(RestUser(installation, "cold-bomber"), pools, warm=False)


def _exploding(person: RestUser, pools: Pools, *, warm: bool) -> Iterator[Inside]:
    yield started_as(person, pools, warm=warm)
    person.stopped()
    person.hub("DELETE")


@pytest.fixture(scope="module")
def late(installation: Installation) -> Iterator[RestUser]:
    """The neighbour who starts meanwhile."""
    person = RestUser(installation, "late")
    yield person
    person.stopped()


def _start(person: RestUser, pools: Pools) -> float:
    """Start and stop; return the seconds from the click to JupyterLab's answer.

    Like is compared with like: a cold start takes several times as long as a warm one, and one
    beside which a warm container is made is slower, too.
    """
    pools.await_full()
    began = time.monotonic()
    person.started()
    seconds = time.monotonic() - began
    person.stopped()
    return seconds


def _least(person: RestUser, pools: Pools, times: int, enough: float = 0.0) -> float:
    """Start a few times, until one is quick enough; return the seconds of the quickest."""
    took = [_start(person, pools)]
    while len(took) < times and took[-1] > enough:
        took.append(_start(person, pools))
    return min(took)


def _explode(victim: Inside, seconds: float, *bombs: str) -> None:
    """Let bombs go off as the person could, with no pipe of the engine's own in their hands."""
    victim.person.write("bombs.py", BOMBS.read_text())
    command = f"/opt/venv/bin/python {HOME}/bombs.py {seconds} {' '.join(bombs)}"
    victim.person.run(victim.kernel, f"run(detach(`{command}`), wait=false);")


def _end(victim: Inside) -> None:
    """End what exploded, from outside: a full container may admit no further process."""

    def ended() -> bool:
        # what was made meanwhile is met by another look
        bombs = [one[1] for one in _processes(victim) if f"{HOME}/bombs.py" in one[-1]]
        if bombs:
            subprocess.run(["kill", "-9", *bombs], check=False, capture_output=True)
        return not bombs

    wait_for(ended, 60, "bombs go on")


def _processes(victim: Inside) -> list[list[str]]:
    """Return the processes of a session as ps tells them, threads left out."""
    client = docker.from_env()
    try:
        found: list[list[str]] = client.containers.get(victim.container).top()["Processes"]
        return found
    finally:
        client.close()


def _others(installation: Installation, neighbour: Inside) -> dict[str, tuple[str, int]]:
    """Return when each part, and a neighbour's container, was started, and how often again."""
    names = [*(f"{installation.name}-{part}" for part in PARTS), neighbour.container]
    told = {name: inspect(name) for name in names}
    return {name: (one["State"]["StartedAt"], one["RestartCount"]) for name, one in told.items()}


def _log_bytes(victim: Inside) -> int:
    path = Path(victim.inspected["LogPath"])
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))


#: Bombs that go off together. Those that write keep kernel threads busy, which no limit of a
#: session counts, so they are a stage of their own: with one processor of two gone as well, a start
#: takes twice as long.
STAGES = (("cpu", "fork", "log"), ("files", "write"))


def test_bombs_of_one_session_hurt_nobody_else(
    installation: Installation, bomber: Inside, victor: Inside, late: RestUser, pools: Pools
) -> None:
    assert bomber.kernel
    idle = _least(late, pools, 2)
    before = _others(installation, victor)
    engine = _engine_seconds()
    hurt, processes, began = {}, 0, time.monotonic()
    with Health(installation.url) as health:
        for stage in STAGES:
            pools.await_full()
            _explode(bomber, 240, *stage)
            time.sleep(1.5)
            hurt[stage] = _least(late, pools, 8, idle * HARM)
            processes = max(processes, len(_processes(bomber)))
            _end(bomber)
        busy = _more(engine, _engine_seconds()) / (time.monotonic() - began)
        _clear(bomber)
        _explode(bomber, 60, "memory")
        killed = _await_kill(bomber)
    print(
        f"idle {idle:.2f} s, hurt {hurt}, health p99 {health.p99 * 1000:.0f} ms of "
        f"{len(health.times)}, processes {processes}, log {_log_bytes(bomber)}, engine {busy:.2f}"
    )
    assert 64 < processes <= installation.limits.pids
    assert _log_bytes(bomber) < 2.2e6
    assert busy < 0.3, "what a session prints keeps the engine busy"
    assert killed
    assert max(hurt.values()) <= idle * HARM
    assert health.p99 <= LATE
    assert _others(installation, victor) == before
    assert victor.person.answers()


def test_bombs_of_a_session_that_was_never_warm_end_at_the_same_limits(
    installation: Installation, cold_bomber: Inside
) -> None:
    """What they do to others follows from the limits, and takes long to see."""
    assert cold_bomber.kernel
    _explode(cold_bomber, 60, "fork", "log")
    wait_for(lambda: len(_processes(cold_bomber)) > 64, 50, "it has not gone off")
    time.sleep(3)
    assert len(_processes(cold_bomber)) <= installation.limits.pids
    _end(cold_bomber)
    assert _log_bytes(cold_bomber) < 2.2e6
    _explode(cold_bomber, 60, "memory")
    assert _await_kill(cold_bomber)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("stage", STAGES, ids="+".join)
def test_each_kind_of_bomb_slows_starts_by_half_at_most(
    installation: Installation,
    bomber: Inside,
    late: RestUser,
    pools: Pools,
    stage: tuple[str, ...],
) -> None:
    """``JULIABOX_SOAK_BOMB_STARTS`` sets the number of pairs, each of a start without and with."""
    idle, hurt = [], []
    with Health(installation.url) as health:
        for _ in range(SAMPLES):
            idle.append(_start(late, pools))
            pools.await_full()
            _explode(bomber, 120, *stage)
            time.sleep(1.5)
            hurt.append(_start(late, pools))
            _end(bomber)
            _clear(bomber)
    slow = [statistics.quantiles(times, n=20, method="inclusive")[18] for times in (idle, hurt)]
    print(f"{stage}: p95 {slow[0]:.2f} -> {slow[1]:.2f} s, health p99 {health.p99 * 1000:.0f} ms")
    assert slow[1] <= slow[0] * SLOWER
    assert health.p99 <= ANSWER


def _clear(victim: Inside) -> None:
    """Clear away what bombs left in the home and in the tmpfs folders."""
    left = [f"{folder}/{name}" for folder in (HOME, "/tmp", "/dev/shm")
            for name in ("bomb", "many", "dirty")]  # fmt: skip
    subprocess.run(["docker", "exec", victim.container, "rm", "-rf", *left], check=True)


def _engine_seconds() -> dict[str, float]:
    """Return the processor time that each engine of this machine has taken, by its process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name == "dockerd":
            ticks = sum(map(int, rest.split()[11:13]))
            found[path.parent.name] = ticks / os.sysconf("SC_CLK_TCK")
    return found


def _more(before: dict[str, float], after: dict[str, float]) -> float:
    """Return the seconds that came on; other tests' engines come and go."""
    return sum(after[pid] - before[pid] for pid in before.keys() & after.keys())


def _await_kill(victim: Inside, seconds: float = 60) -> bool:
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
