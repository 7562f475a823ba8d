"""Workers, the API service and the manager are killed while programs call published functions.

Every call gets exactly one right answer or one that says that there is none, and none is carried
out twice unless its publisher said that it may be. What was carried out is read from outside the
containers, so that it counts though they were killed.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import machine
from support.api_load import FUNCTIONS, IDEMPOTENT, SORTS, SOURCE, Load
from support.apis import Apis, api_containers
from support.executions import Executions
from support.installation import Installation
from support.rest_user import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.timeout(420)]

KINDS = ("worker", "api", "manager")
ADDRESS = "ada/mixed"

#: Seconds of a whole soak, and between two kills of it and of the ordinary run's sample.
SOAK = float(os.environ.get("JULIABOX_SOAK_API_SECONDS", "600"))
BETWEEN, SOON = 20.0, 8.0

#: Seconds in which everything must answer again after the last kill.
RECOVERY = 60.0


@pytest.fixture(scope="module")
def apis(installation: Installation) -> Iterator[Apis]:
    """A publisher's API with every sort of function that the load calls."""
    made = Apis(installation)
    choices = {"idempotent": IDEMPOTENT, "minimum": 1, "maximum": 3, "timeout": 10}
    with made.published("ada", "mixed", SOURCE, FUNCTIONS, **choices):
        made.await_answer(f"{ADDRESS}/quick/first", 120)
        yield made


def _kill(
    installation: Installation, executions: Executions, kind: str, chance: random.Random
) -> str:
    """Kill one of a kind; return what was killed."""
    if kind != "worker":
        machine.kill_part(installation, kind, whole=chance.random() < 0.5)
        return kind
    serving = [
        one for one in api_containers(installation)
        # what it carried out can be read afterwards only once its folder is held
        if executions.holds(one["Id"]) and _has_served(one["State"]["Pid"])
    ]  # fmt: skip
    chance.shuffle(serving)
    for victim in serving:
        # one that has just ended by itself is no victim
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            machine.kill_program(victim["State"]["Pid"])
            return f"worker {victim['Id'][:12]}"
    return "nobody: no worker has served yet"


def _has_served(pid: int) -> bool:
    return Path(f"/proc/{pid}/root/tmp/ran").exists()


def _under_kills(
    apis: Apis, seconds: float, between: float, chance: random.Random
) -> tuple[Load, Executions, list[str]]:
    """Call all the time, kill one kind after the other, and wait until everything answers."""
    installation = apis.installation
    killed: list[str] = []
    with Executions(installation) as executions:
        with Load(installation.url, ADDRESS, seed=chance.randrange(2**32)) as load:
            end = time.monotonic() + seconds
            time.sleep(min(3.0, between))
            # one of each kind at least: a busy machine takes its time for the kills, too
            while time.monotonic() < end or len(killed) < len(KINDS):
                kind = KINDS[len(killed) % len(KINDS)]
                killed.append(_kill(installation, executions, kind, chance))
                print(f"killed {killed[-1]}; {load.summary()}", flush=True)
                time.sleep(between + chance.uniform(-0.2, 0.2) * between)
            _await_all(apis)
        counts, containers = executions.counts, executions.containers
        wrong = [
            f"{one.name} ({one.sort.function}, began {one.began:.1f}): {text}"
            for one in load.outcomes
            if (text := one.wrong(counts[one.name]))
        ]
    print(f"{load.summary()}; {len(killed)} kills; {containers} containers")
    assert not wrong, f"{len(wrong)}: {wrong[:10]}\n{machine.logs(installation)}"
    return load, executions, killed


def _await_all(apis: Apis) -> None:
    """Wait until each sort of call is answered well."""
    for sort in SORTS:
        if sort.function == "wrong":
            continue
        path = f"{ADDRESS}/{sort.function}/after-{time.monotonic():.3f}".replace(".", "-")

        def answers(path: str = path, body: object = sort.body and sort.body("")) -> bool:
            method, options = ("POST", {"json": body}) if body else ("GET", {})
            return apis.call(path, method, **options).status_code == 200

        wait_for(answers, RECOVERY, f"{sort.function} is not answered again")


def test_a_kill_of_each_kind_loses_no_call_and_doubles_none(
    apis: Apis, chance: random.Random
) -> None:
    load, _, killed = _under_kills(apis, len(KINDS) * SOON, SOON, chance)
    assert len(killed) >= len(KINDS)
    # how many depends on how fast the machine starts a container
    assert sum(one.right for one in load.outcomes) > len(SORTS), load.summary()


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_minutes_of_kills_lose_no_call_and_double_none(
    apis: Apis, chance: random.Random
) -> None:
    """``JULIABOX_SOAK_API_SECONDS`` sets how long; every 20 s something is killed."""
    load, _, killed = _under_kills(apis, SOAK, BETWEEN, chance)
    assert len(killed) >= SOAK / BETWEEN * 0.75
    assert sum(one.right for one in load.outcomes) > len(load.outcomes) / 2, load.summary()


def test_what_is_published_outlives_kills_of_every_part(apis: Apis) -> None:
    """A restart loses no registration; meanwhile there is an answer that says to come again."""
    installation = apis.installation
    before = apis.manage("GET", "apis/ada/mixed").json()
    for part in ("api", "hub", "manager"):
        started = machine.part_started(installation, part)
        machine.kill_part(installation, part, whole=True)
        statuses = set()
        end = time.monotonic() + RECOVERY
        while time.monotonic() < end:
            answer = apis.call(f"{ADDRESS}/quick/{part}")
            statuses.add(answer.status_code)
            if answer.status_code == 200 and machine.part_started(installation, part) != started:
                break
            if answer.status_code == 503 and part == "api":
                assert answer.headers.get("Retry-After"), answer.text[:300]
            time.sleep(0.1)
        print(f"{part}: {sorted(statuses)}")
        assert statuses <= {200, 502, 503, 504}, (part, statuses)
        assert 200 in statuses, part
    wait_for(
        lambda: apis.manage("GET", "apis/ada/mixed").status_code == 200, RECOVERY, "no interface"
    )
    after = apis.manage("GET", "apis/ada/mixed").json()
    assert after["version"] == before["version"]
    assert [one["version"] for one in after["versions"]] == [
        one["version"] for one in before["versions"]
    ]
