"""Manager, containers and engine killed at random while people claim sessions.

A real manager on a second engine, with a pool: some claims meet a warm container, others start
cold. Everybody claims all the time; after each score of kills everything comes to rest and is
looked at as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import DockerException

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.protocol import PoolList, SessionList, SessionRemove
from juliabox_spawner.client import ManagerClient
from support import tiny_image
from support.claims import LEFT, Claimant, Ledger, look, memory_limit
from support.machine import policy_in_place
from support.manager_process import LIMITS, MIB, ManagerProcess
from support.second_engine import SecondEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]

#: What is killed, and how often of a hundred times.
KINDS = {"manager": 45, "container": 40, "engine": 15}

#: Everybody's servers: two persons have two each, which share a home.
PEOPLE = (("ada", ""), ("ada", "second"), ("emmy", ""), ("grace", ""), ("grace", "second"))

#: Fewer than people, so that claims are warm and cold.
POOL: dict[str, Any] = {
    "rule": "fixed",
    "size": 3,
    "maximum": 3,
    "warm_memory": 64 * MIB,
    "kernel": False,
}

#: Seconds of a flood of claims, and longest wait in the ebb after it, in which pools are filled.
FLOOD = (0.3, 2.0)
EBB = 15.0

#: Kills between two looks at everything; seconds until everything must have come to rest: pauses
#: between tries to make a warm container double for as long as an engine is away.
STRETCH = 20
REST = 120.0

SAMPLE = int(os.environ.get("JULIABOX_CLAIM_KILLS_SAMPLE", "25"))
KILLS = int(os.environ.get("JULIABOX_SOAK_CLAIM_KILLS", "500"))
TALLY = Path(os.environ.get("JULIABOX_SOAK_CLAIM_TALLY", ROOT / ".pytest_cache/claim_kills.json"))


@dataclass
class Place:
    """An installation without hub on its second engine."""

    engine: SecondEngine
    manager: ManagerProcess

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return what the engine tells of each container; wait for an engine that is away."""
        end = time.monotonic() + REST
        while True:
            try:
                found = self.manager.containers()
            except (DockerException, requests.RequestException):
                assert time.monotonic() < end, self.engine.log()
                time.sleep(0.2)
            else:
                return {one["Config"]["Labels"]["juliabox.session"]: one for one in found}

    def story(self) -> str:
        """Return what everybody logged."""
        return f"--- manager\n{self.manager.log()}\n--- engine\n{self.engine.log()}"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Bring up the second engine and the installation; take away all of it afterwards."""
    state = Path(tempfile.mkdtemp(prefix="jbt-c-", dir="/tmp"))
    subprocess.run(["mount", "--bind", str(state), str(state)], check=True)
    subprocess.run(["mount", "--make-rshared", str(state)], check=True)
    try:
        image = tiny_image.make()
        with SecondEngine.fresh() as engine:
            engine.bring(tiny_image.TAG)
            made = Place(engine, _manager(engine, state, image))
            try:
                yield made
            finally:
                made.manager.kill()
                print(made.story())
                for one in made.containers().values():
                    _docker(engine, "rm", "-f", one["Id"])
                for point in reversed(made.manager.mounts()):
                    subprocess.run(["umount", "-l", point], check=False)
    finally:
        subprocess.run(["umount", "-l", str(state)], check=False)
        shutil.rmtree(state, ignore_errors=True)


def _manager(engine: SecondEngine, state: Path, image: str) -> ManagerProcess:
    name, subnet = f"jbt-claims-{os.getpid()}", "10.203.60.0/24"
    _docker(engine, "network", "create", "--subnet", subnet, f"{name}-sessions")
    made = ManagerProcess(
        name,
        state,
        image,
        subnet,
        engine=f"unix://{engine.socket}",
        inside=["nsenter", f"--net={engine.namespace}"],
        changes={"pool": POOL},
    )
    made.prepare()
    return made


def _docker(engine: SecondEngine, *arguments: str) -> None:
    command = ["docker", "-H", f"unix://{engine.socket}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def hub(place: Place) -> AsyncIterator[ManagerClient]:
    """A running manager's client, which outlives managers."""
    place.manager.start()
    client = place.manager.client()
    await place.manager.ready(client, 60.0)
    yield client
    client.close()
    place.manager.kill()


# -- kills ---------------------------------------------------------------------------------------


@dataclass
class Kills:
    """One run's load and its kills."""

    place: Place
    hub: ManagerClient
    chance: random.Random
    #: Who had which container before, and what is in the homes: the place lives on.
    owners: dict[str, str] = field(default_factory=dict)
    kept: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    rests: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.allowed = asyncio.Event()
        self.ledger = Ledger(self.owners)
        self.people = [
            Claimant(*name, self.hub, self.ledger, self.kept.setdefault(name, set()))
            for name in PEOPLE
        ]

    async def stretch(self, kills: int) -> None:
        """Let everybody claim while so many kills come; then let everything come to rest."""
        lives = [asyncio.create_task(one.live(self.allowed)) for one in self.people]
        killer = asyncio.create_task(self._kill_often(kills))
        tide = asyncio.create_task(self._tide())
        try:
            tasks = [*lives, killer, tide]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
            tide.cancel()
            self.allowed.clear()
            await self._finish(lives)
        finally:
            for task in (*lives, killer, tide):
                task.cancel()
            await asyncio.gather(*lives, killer, tide, return_exceptions=True)
        await self._rest()

    async def _tide(self) -> None:
        """Let people come in floods: pools are filled while nobody starts."""
        while True:
            self.allowed.set()
            await asyncio.sleep(self.chance.uniform(*FLOOD))
            self.allowed.clear()
            await _until(lambda: not any(one.busy for one in self.people))
            with contextlib.suppress(TimeoutError):
                wanted = self.chance.choice([0, 1, POOL["size"], POOL["size"]])
                await asyncio.wait_for(self._await_ready(wanted), EBB)

    async def _await_ready(self, wanted: int) -> None:
        ready = 0
        while ready < wanted:
            await asyncio.sleep(0.05)
            with contextlib.suppress(JuliaBoxError):
                (pool,) = await self.hub.call(PoolList(), 5.0)
                ready = pool.ready

    async def _finish(self, lives: list[asyncio.Task[None]]) -> None:
        """Let claims under way come to their end: in a session, after whatever errors."""
        end = time.monotonic() + 2 * REST
        while any(one.busy for one in self.people):
            for life in lives:
                if life.done():
                    life.result()
            assert time.monotonic() < end, "claims do not end"
            await asyncio.sleep(0.05)

    async def _kill_often(self, kills: int) -> None:
        for _ in range(kills):
            # now and then at once: while a manager looks at what the one before it left
            done = sum(one.done for one in self.people)
            if self.chance.random() < 0.7:
                await _until(lambda before=done: sum(one.done for one in self.people) > before)
            await asyncio.sleep(self.chance.uniform(0.0, 0.4))
            await _until(lambda: any(one.under_way for one in self.people))
            kind = self.chance.choices(list(KINDS), list(KINDS.values()))[0]
            self.kinds[kind if await asyncio.to_thread(self._kill, kind) else "missed"] += 1

    def _kill(self, kind: str) -> bool:
        """Kill something; False if it was dead already."""
        if kind == "engine":
            try:
                self.place.engine.kill()
            except (FileNotFoundError, ProcessLookupError, ValueError):
                return False
        elif kind == "manager":
            self.place.manager.kill()
            self.place.manager.start()
        else:
            return self._kill_container()
        return True

    def _kill_container(self) -> bool:
        """Kill a container, warm, on its way or in use; False if it was faster."""
        found = self.place.containers()
        pids = [one["State"]["Pid"] for one in found.values() if one["State"]["Pid"]]
        if not pids:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.chance.choice(pids), signal.SIGKILL)
            return True
        return False

    # -- what is left --------------------------------------------------------------------------

    async def _rest(self) -> None:
        """End all sessions; see that nothing is left but warm containers that hold nothing."""
        began = time.monotonic()
        await self.place.manager.ready(self.hub, REST)
        await self._remove_all()
        wrong = [""]
        while wrong:
            wrong = await asyncio.to_thread(self._wrong)
            assert time.monotonic() < began + REST, f"{wrong}\n{self.place.story()}"
            await asyncio.sleep(0.2 if wrong else 0)
        self.rests.append(round(time.monotonic() - began, 1))

    async def _remove_all(self) -> None:
        end = time.monotonic() + REST
        while True:
            try:
                for one in await self.hub.call(SessionList(), 30.0):
                    await self.hub.call(SessionRemove(one.session), 30.0)
            except JuliaBoxError:
                assert time.monotonic() < end, self.place.story()
                await asyncio.sleep(0.2)
            else:
                return

    def _wrong(self) -> list[str]:
        """Return what does not fit a place where nobody is."""
        manager, found = self.place.manager, self.place.containers()
        wrong = [f"left mounted: {manager.mounts()}"] if manager.mounts() else []
        wrong += [f"left loops: {manager.loops()}"] if manager.loops() else []
        if set(manager.slots()) != set(found):
            wrong.append(f"slots {manager.slots()} for containers {sorted(found)}")
        if len(found) != POOL["size"]:
            wrong.append(f"{len(found)} warm containers")
        for one in found.values():
            wrong += self._wrong_in(one)
        return wrong

    def _wrong_in(self, container: dict[str, Any]) -> list[str]:
        """Return what does not fit a warm container."""
        name, seen = container["Id"], look(container["Id"])
        if seen is None:
            return [f"{name} does not run"]
        wrong = [] if seen.clean else [f"{name} holds {seen}"]
        limit = memory_limit(name)
        wrong += [] if 0 < limit < LIMITS.memory else [f"{name} may take {limit} bytes"]
        wrong += [] if policy_in_place(container) else [f"{name} has no network policy"]
        wrong += [f"told by the engine: {word}" for word in LEFT.findall(json.dumps(container))]
        wrong += [f"{name} had an owner"] if name in self.ledger.owners else []
        return wrong

    def figures(self) -> str:
        """Return the figures of this run."""
        ledger = self.ledger
        return figures(self.kinds, ledger.claims, ledger.errors, ledger.seconds, self.rests)


def figures(
    kinds: Counter[str],
    claims: Counter[str],
    errors: Counter[str],
    seconds: list[float],
    rests: list[float],
) -> str:
    """Return figures as a sentence."""
    waits = sorted(seconds) or [0.0]
    return (
        f"{sum(kinds[kind] for kind in KINDS)} kills, {dict(kinds)}; claims {dict(claims)}; "
        f"a session after {waits[len(waits) // 2]:.2f} s (median), {waits[-1]:.1f} s (slowest); "
        f"at rest after {max(rests, default=0.0)} s at most; told meanwhile: {dict(errors)}"
    )


async def _until(true: Callable[[], bool], limit: float = 2 * REST) -> None:
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, "nobody gets a session"
        await asyncio.sleep(0.01)


async def test_kills_during_claims_leave_nobody_with_anothers_container(
    place: Place, hub: ManagerClient, chance: random.Random
) -> None:
    run = Kills(place, hub, chance)
    await run.stretch(SAMPLE)
    print(run.figures())


# -- the soak ------------------------------------------------------------------------------------


@dataclass
class Tally:
    """Stretches that passed with this very manager, kept over runs that are cut off."""

    sources: str
    kinds: Counter[str] = field(default_factory=Counter)
    claims: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    rests: list[float] = field(default_factory=list)

    @classmethod
    def read(cls) -> Tally:
        """Return the tally of a run that was cut off, or a new one."""
        sources = _sources()
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            kept = json.loads(TALLY.read_text())
            if kept["sources"] == sources:
                counted = {key: Counter(kept.pop(key)) for key in ("kinds", "claims", "errors")}
                found = cls(**kept, **counted)
                if found.kills < KILLS:
                    return found
        return cls(sources)

    @property
    def kills(self) -> int:
        """Kills that hit."""
        return sum(self.kinds[kind] for kind in KINDS)

    def add(self, run: Kills) -> None:
        """Count a stretch after which everything was right."""
        self.kinds += run.kinds
        self.claims += run.ledger.claims
        self.errors += run.ledger.errors
        self.seconds += [round(one, 2) for one in run.ledger.seconds]
        self.rests += run.rests
        TALLY.parent.mkdir(parents=True, exist_ok=True)
        new = TALLY.with_suffix(".new")
        new.write_text(json.dumps(vars(self)))
        new.rename(TALLY)

    def figures(self) -> str:
        """Return the figures of all runs."""
        return figures(self.kinds, self.claims, self.errors, self.seconds, self.rests)


def _sources() -> str:
    """Return a digest of what is tried."""
    files = [*(ROOT / "spawner/juliabox_manager").rglob("*.py"), *ROOT.glob("images/julia/*.py")]
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_many_kills_during_claims_leave_nobody_with_anothers_container(
    place: Place, hub: ManagerClient
) -> None:
    """``JULIABOX_SOAK_CLAIM_KILLS`` sets the number; a run that was cut off goes on."""
    tally = Tally.read()
    owners: dict[str, str] = {}
    kept: dict[tuple[str, str], set[str]] = {}
    try:
        while tally.kills < KILLS:
            seed = random.randrange(2**32)
            print(f"{tally.kills} of {KILLS} kills, seed {seed}", flush=True)
            run = Kills(place, hub, random.Random(seed), owners, kept)
            await run.stretch(min(STRETCH, KILLS - tally.kills))
            tally.add(run)
    finally:
        print(tally.figures(), flush=True)
