"""Hub, manager, proxy and engine killed at random times while people start their servers.

The whole installation runs on a second engine in a network namespace, with the project's own
supervisor. Invariants are read from the engine, the mount table and the loop devices.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import pytest
import requests
from docker.errors import DockerException

from juliabox_cli import image_build
from support import machine
from support.installation import Installation
from support.rest_user import RestUser, wait_for
from support.second_engine import SecondEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("hub", "manager", "proxy", "engine")
PEOPLE = ("ada", "emmy")

#: Seconds in which everybody must be able to start again, and in which nothing may be left over:
#: longest takes what the manager meets only when it looks at everything, which it does each minute.
RECOVERY = 30.0
SETTLED = 90.0

#: On a machine that is busy with something else a start without any kill takes longer, too: whoever
#: is late may take this many times as long as one right afterwards, and never longer than PATIENCE.
BUSY = 3.0
PATIENCE = 120.0

#: Kills of a whole soak, and the file in which it goes on where it was cut off.
KILLS = int(os.environ.get("JULIABOX_SOAK_INSTALLATION_KILLS", "50"))
TALLY = Path(os.environ.get("JULIABOX_SOAK_TALLY", ROOT / ".pytest_cache/installation_kills.json"))


@dataclass
class Place:
    """An installation on its second engine, and its people."""

    engine: SecondEngine
    installation: Installation
    people: list[RestUser]
    pool: ThreadPoolExecutor
    #: Seconds until everybody's server ran when nothing was killed.
    undisturbed: float = 0.0
    #: Number of the last round, which everybody has in a file; 0 before the first.
    round: int = 0

    def kill(self, part: str, *, whole: bool) -> None:
        """Kill a part, and wait until it is dead."""
        if part == "engine":
            before = self.engine.pid
            self.engine.kill()
            wait_for(lambda: not Path(f"/proc/{before}").exists(), 60, "the engine does not die")
        else:
            machine.kill_part(self.installation, part, whole=whole)

    def story(self) -> str:
        """Return what everybody logged."""
        return f"{machine.logs(self.installation)}\n--- engine\n{self.engine.log()}"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Bring up the second engine and the installation."""
    with SecondEngine.fresh() as engine:
        engine.bring_images(ROOT)
        off = {"size": 0}  # kills during claims of warm containers have a soak of their own
        with engine.entered(), Installation.fresh(ROOT, pool=off) as installation:
            pool = ThreadPoolExecutor(2 * len(PEOPLE))  # its threads begin in the same network
            people = [RestUser(installation, name) for name in PEOPLE]
            made = Place(engine, installation, people, pool)
            try:
                made.undisturbed = _undisturbed(made)
                print(f"undisturbed start: {made.undisturbed} s")
                yield made
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


@dataclass
class Round:
    """What one kill showed."""

    part: str
    whole: bool
    after: float
    #: Whether anybody's server was still starting.
    during: bool = False
    recovered: float = 0.0
    settled: float = 0.0


def a_round(place: Place, part: str, chance: random.Random) -> Round:
    """Let everybody start, kill a part meanwhile, and see everybody running with their files."""
    # while somebody's server starts, as far as can be told before
    done = Round(part, chance.random() < 0.5, round(chance.uniform(0.0, place.undisturbed), 2))
    starts = _start_all(place)
    time.sleep(done.after)
    done.during = not all(start.done() for start in starts.values())
    place.kill(part, whole=done.whole)
    done.recovered = _await_all(place, starts)
    for person in place.people:
        if place.round:
            assert person.read("round.txt") == str(place.round), "a saved file is lost"
        person.write("round.txt", str(place.round + 1))
    place.round += 1
    done.settled = _await_right(place, len(place.people))
    _stop_all(place)
    if done.recovered > RECOVERY:
        undisturbed = _undisturbed(place)
        assert done.recovered < BUSY * undisturbed, f"{done}; undisturbed: {undisturbed} s"
    return done


def _undisturbed(place: Place) -> float:
    """Let everybody start and stop; return the seconds until all servers answered."""
    took = _await_all(place, _start_all(place))
    _stop_all(place)
    return took


def _start_all(place: Place) -> dict[RestUser, Future[str]]:
    return {person: place.pool.submit(_start, person) for person in place.people}


def _stop_all(place: Place) -> None:
    for person in place.people:
        person.stopped()
    _await_right(place, 0)


def _start(person: RestUser) -> str:
    """Ask for a start; return what was answered, for the story of a failure."""
    try:
        answer = person.start()
    except httpx.HTTPError as error:
        return f"{type(error).__name__}"
    return f"{answer.status_code} {answer.text[:300]}"


def _await_all(place: Place, starts: dict[RestUser, Future[str]]) -> float:
    """Wait until everybody's server answers; who has none asks again, as a person would."""
    began = time.monotonic()
    answers: list[str] = []
    waiting = list(place.people)
    while waiting:
        assert time.monotonic() - began < PATIENCE, f"no server; {answers}"
        assert not _look(place).doubles()
        for person in list(waiting):
            with contextlib.suppress(httpx.HTTPError):
                found = person.server()
                if found and found["ready"] and person.answers():
                    waiting.remove(person)
                elif found is None and starts[person].done():
                    answers.append(f"{person.name}: {starts[person].result()}")
                    starts[person] = place.pool.submit(_start, person)
        time.sleep(0.2)
    return round(time.monotonic() - began, 2)


def _await_right(place: Place, people: int) -> float:
    """Wait until there is what so many running sessions need and nothing else."""
    began = time.monotonic()
    while True:
        wrong = _look(place).wrong(people)
        if not wrong:
            return round(time.monotonic() - began, 2)
        assert time.monotonic() - began < SETTLED, wrong
        time.sleep(0.3)


def _look(place: Place) -> machine.Seen:
    """Look at the machine once the engine answers: it may just have been killed."""
    place.engine.await_answer(RECOVERY)
    try:
        return machine.look(place.installation)
    except (DockerException, requests.RequestException):
        place.engine.await_answer(RECOVERY)
        return machine.look(place.installation)


def _tell(place: Place, part: str, chance: random.Random) -> Round:
    state = chance.getstate()
    try:
        done = a_round(place, part, chance)
    except (AssertionError, httpx.HTTPError) as error:
        chance.setstate(state)
        whole, after = chance.random() < 0.5, chance.uniform(0.0, place.undisturbed)
        pytest.fail(f"{part} killed (init: {whole}) after {after:.2f} s: {error}\n{place.story()}")
    print(done, flush=True)
    return done


def test_a_kill_of_each_part_leaves_nothing_and_everybody_starts_again(
    place: Place, chance: random.Random
) -> None:
    for part in chance.sample(PARTS, len(PARTS)):
        _tell(place, part, chance)


@dataclass
class Tally:
    """Rounds that passed on these very images, kept over runs that are cut off."""

    images: dict[str, str]
    #: Seconds of a start without a kill, in each run.
    undisturbed: list[float] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)

    @classmethod
    def read(cls) -> Tally:
        """Return the tally of a run that was cut off, or a new one."""
        images = image_build.image_tags(ROOT)
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            kept = json.loads(TALLY.read_text())
            if kept["images"] == images and len(kept["rounds"]) < KILLS:
                rounds = [Round(**one) for one in kept["rounds"]]
                return cls(images, kept["undisturbed"], rounds)
        return cls(images)

    def add(self, done: Round) -> None:
        """Count a round whose kill came during a start."""
        if not done.during:
            return  # everybody had started before
        self.rounds.append(done)
        TALLY.parent.mkdir(parents=True, exist_ok=True)
        new = TALLY.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1))
        new.rename(TALLY)

    def figures(self) -> str:
        """Return the figures, a line for each part."""
        late = sum(one.recovered > RECOVERY for one in self.rounds)
        lines = [
            f"{len(self.rounds)} kills, {late} after which it took longer than {RECOVERY:g} s; "
            f"starts without a kill took {self.undisturbed} s"
        ]
        for part in PARTS:
            times = sorted(one.recovered for one in self.rounds if one.part == part)
            if times:
                middle = times[len(times) // 2]
                settled = max(one.settled for one in self.rounds if one.part == part)
                lines.append(
                    f"{part}: {len(times)} kills; everybody running after {middle:.1f} s (median), "
                    f"{times[-1]:.1f} s (slowest); nothing left over after {settled:.1f} s"
                )
        return "\n".join(lines)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_random_kills_leave_nothing_and_everybody_starts_again(place: Place) -> None:
    """``JULIABOX_SOAK_INSTALLATION_KILLS`` sets the number; a run that was cut off goes on."""
    tally = Tally.read()
    tally.undisturbed.append(place.undisturbed)
    while len(tally.rounds) < KILLS:
        seed = random.randrange(2**32)
        print(f"kill {len(tally.rounds) + 1} of {KILLS}, seed {seed}")
        # each part gets its share, in an order that is random within every four
        turn = random.Random(str(tally.images) + str(len(tally.rounds) // len(PARTS)))
        part = turn.sample(PARTS, len(PARTS))[len(tally.rounds) % len(PARTS)]
        tally.add(_tell(place, part, random.Random(seed)))
    print(tally.figures())
