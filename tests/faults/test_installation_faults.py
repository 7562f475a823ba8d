"""Faults of a whole installation, as its people meet them; each leaves the service usable."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from juliabox_cli.compose import PARTS
from support import machine
from support.inside import inspect
from support.installation import Installation
from support.rest_user import RestUser, wait_for
from support.visitor import Visitor
from support.warm import Pools

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def ada(installation: Installation) -> Iterator[RestUser]:
    """Somebody whose server the tests share; each may find it running or stopped."""
    yield from _person(installation, "faulty-ada")


@pytest.fixture(scope="module")
def emmy(installation: Installation) -> Iterator[RestUser]:
    """Somebody else."""
    yield from _person(installation, "faulty-emmy")


def _person(installation: Installation, name: str) -> Iterator[RestUser]:
    made = RestUser(installation, name)
    yield made
    made.stopped()
    made.hub("DELETE")


@pytest.fixture(autouse=True)
def _told_with_a_failure(installation: Installation) -> Iterator[None]:
    began = time.strftime("%Y-%m-%dT%H:%M:%S")
    yield
    print(f"since {began}:{machine.logs(installation)}")


def container_of(person: RestUser) -> dict[str, Any]:
    """Return the inspection of the one container of a person's server."""
    rows = [one for one in person.installation.sessions() if one["user"] == person.name]
    assert len(rows) == 1, rows
    return inspect(rows[0]["container"])


def running(person: RestUser) -> RestUser:
    """Return a person whose server answers."""
    return person if person.answers() else person.started()


def inside(person: RestUser, command: str) -> str:
    """Run a shell command in a person's session and return what it printed."""
    done = subprocess.run(
        ["docker", "exec", container_of(person)["Id"], "sh", "-c", command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def page_of(person: RestUser) -> str:
    """Return what a person sees in place of a server that does not run."""
    password = person.hub("POST", "/password", json={}).json()["password"]
    visitor = Visitor(person.installation)  # type: ignore[arg-type]  # only the URL is used
    visitor.log_in(person.name, password)
    page = visitor.get(f"/hub/user/{person.name}/lab")
    assert page.status_code == 424, page.status_code
    return page.text


def at_rest(installation: Installation) -> machine.Seen:
    """Look at the machine once nothing comes or goes any more: what was stopped ends behind."""
    Pools(installation).await_full()
    seen = machine.look(installation)
    for _ in range(60):
        time.sleep(1)
        before, seen = seen, machine.look(installation)
        if (set(before.containers), before.mounts, before.slots) == (
            set(seen.containers), seen.mounts, seen.slots
        ):  # fmt: skip
            break
    return seen


def test_two_clicks_on_start_at_once_make_one_container(ada: RestUser) -> None:
    before = set(machine.look(ada.installation).containers)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: ada.start(), range(2)))
    assert {answer.status_code for answer in answers} <= {201, 202, 400}
    ada.await_answer()
    await_one_more(ada.installation, before)


def await_one_more(installation: Installation, before: set[str]) -> None:
    """See that there is one session more; a claimed container has its weight a moment later."""

    def more() -> int:
        return len(set(machine.look(installation).containers) - before)

    wait_for(lambda: more() > 0, 60, "no container has a session's weight")
    assert more() == 1


def test_a_start_that_is_stopped_halfway_leaves_nothing(emmy: RestUser) -> None:
    before = at_rest(emmy.installation)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(emmy.start)
        wait_for(
            lambda: set(machine.look(emmy.installation).running) - before.running, 60, "no start"
        )
        assert emmy.stop().status_code in {202, 204}
    wait_for(lambda: emmy.server() is None, 60, "it is not stopped")

    def as_before() -> bool:
        now = machine.look(emmy.installation)
        return (set(now.containers), now.mounts, sorted(now.loops), now.slots) == (
            set(before.containers), before.mounts, sorted(before.loops), before.slots
        )  # fmt: skip

    wait_for(as_before, 60, f"not as before: {before.slots}, {before.mounts}, {before.loops}")


def test_a_killed_proxy_leads_to_jupyterlab_again_within_five_seconds(ada: RestUser) -> None:
    """One time of a few: a machine that stands still for a second is no fault of the proxy."""
    running(ada)
    took = [answers_after_a_kill_of_the_proxy(ada)]
    while took[-1] > 5 and len(took) < 4:
        took.append(answers_after_a_kill_of_the_proxy(ada))
    print(f"JupyterLab answers {took} s after the new proxy's start")
    assert took[-1] <= 5


def answers_after_a_kill_of_the_proxy(ada: RestUser) -> float:
    """Kill the proxy; return the seconds from the new one's start to JupyterLab's answer."""
    started = machine.part_started(ada.installation, "proxy")
    machine.kill_part(ada.installation, "proxy")
    wait_for(lambda: machine.part_started(ada.installation, "proxy") != started, 60, "no new proxy")
    return ada.await_answer(60)


def test_sessions_outlive_a_killed_manager_which_closes_their_networks_again(
    ada: RestUser, installation: Installation
) -> None:
    running(ada)
    kernel = ada.new_kernel()
    ada.run(kernel, "x = 41")
    before = installation.sessions()
    container = container_of(ada)
    flush = ["nsenter", "-t", str(container["State"]["Pid"]), "-n", "nft", "delete", "table"]

    def flushed() -> bool:
        subprocess.run([*flush, "inet", "juliabox"], check=False)
        # the manager may just look at it, as it does now and then
        return not machine.policy_in_place(container)

    wait_for(flushed, 10, "its network stays closed")
    machine.kill_part(installation, "manager")
    assert ada.answers()
    wait_for(lambda: machine.policy_in_place(container), 60, "its network stays open")
    assert installation.sessions() == before
    assert ada.run(kernel, "x + 1") == "42"


def test_a_hub_killed_during_a_start_is_back_and_the_person_can_start(
    emmy: RestUser, ada: RestUser, installation: Installation
) -> None:
    # what a server knows of a token it asks the hub anew after five minutes: this one is young
    visiting = running(RestUser(installation, ada.name))
    before = set(machine.look(installation).containers)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(emmy.start)
        wait_for(lambda: set(machine.look(installation).containers) - before, 60, "no start")
        machine.kill_part(installation, "hub")
        killed = time.monotonic()
        assert visiting.jupyter("GET", "api/status").status_code == 200
        starting.exception()
    keeps_trying(emmy, 90)
    print(f"everything works {time.monotonic() - killed:.1f} s after the kill")
    await_one_more(installation, before)


def keeps_trying(person: RestUser, seconds: float) -> None:
    """Start as a person would who tries again until the server answers."""

    def attempt() -> bool:
        found = person.server()
        if found is None:
            person.start()
        return bool(found and found["ready"] and person.answers())

    wait_for(attempt, seconds, f"{person.name} has no server")


def test_who_loses_a_session_is_told_why(ada: RestUser, emmy: RestUser) -> None:
    running(ada)
    running(emmy)
    subprocess.run(["docker", "kill", container_of(emmy)["Id"]], check=True, capture_output=True)
    exhaust_memory(ada)
    for person in (ada, emmy):
        wait_for(lambda person=person: person.server() is None, 90, "the hub does not notice")
    page = page_of(ada)
    assert "ran out of memory" in page and "1024 MiB" in page
    assert "killed from outside" in page_of(emmy)


def exhaust_memory(person: RestUser) -> None:
    """Fill a session's memory from within, so that the kernel kills its server."""
    # many small ones: the kernel would take a large one before the server, and the session lives
    bomb = "import os; [os.fork() for _ in range(5)]; kept = [bytearray(2**22) for _ in range(500)]"
    container = container_of(person)["Id"]
    command = ["docker", "exec", container, "/opt/venv/bin/python", "-c", bomb]
    server = wait_for_process("juliabox_entry.py", container)
    Path(f"/proc/{server}/oom_score_adj").write_text("1000")
    subprocess.run(command, capture_output=True, timeout=180, check=False)


def wait_for_process(argument: str, container: str) -> int:
    """Return the host's number of the last process in a container that has an argument.

    Those before it are the programs that started it, with its command line in their own.
    """
    found: list[int] = []

    def look() -> bool:
        told = subprocess.run(
            ["docker", "top", container, "-eo", "pid"], capture_output=True, text=True, check=True
        ).stdout.split()[1:]
        for pid in map(int, told):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                if argument.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return bool(found)

    wait_for(look, 60, f"{argument} does not run")
    return found[-1]


def test_a_full_home_still_opens_with_its_files(ada: RestUser) -> None:
    running(ada)
    ada.write("note.txt", "as it was")
    said = inside(ada, "cd /home/juser; fallocate -l 100G full.img; dd if=/dev/zero of=full bs=1M; "
                       "echo x > /home/juser/more")  # fmt: skip
    assert "No space left on device" in said
    ada.stopped()
    ada.started()
    assert ada.read("note.txt") == "as it was"
    assert ada.hub("GET").status_code == 200
    inside(ada, "cd /home/juser; rm -f full full.img")
    ada.write("note.txt", "as it is")
    assert ada.read("note.txt") == "as it is"


# -- the long ones ---------------------------------------------------------------------------


@pytest.mark.soak
def test_a_flushed_network_policy_is_back_within_the_reconcile_interval(ada: RestUser) -> None:
    running(ada)
    container = container_of(ada)
    flush = ["nsenter", "-t", str(container["State"]["Pid"]), "-n", "nft", "delete", "table"]
    subprocess.run([*flush, "inet", "juliabox"], check=True)
    took = wait_for(lambda: machine.policy_in_place(container), 65, "its network stays open")
    print(f"policy back after {took:.1f} s")


def parts_of(installation: Installation) -> list[str]:
    """Return the names of the parts that run."""
    parts = "|".join(PARTS)
    listing = ["docker", "ps", "--format", "{{.Names}}", "--filter"]
    named = f"name=^/?{installation.name}-({parts})$"
    return subprocess.run(
        [*listing, named], check=True, capture_output=True, text=True
    ).stdout.split()


@pytest.mark.soak
def test_a_session_that_is_kept_over_down_and_up_has_its_kernel(
    ada: RestUser, installation: Installation
) -> None:
    running(ada)
    kernel = ada.new_kernel()
    ada.run(kernel, "x = 41")
    container = container_of(ada)["Id"]
    installation.juliabox("down", "--keep-sessions")
    assert container in {one["Id"] for one in machine.look(installation).containers.values()}
    assert not parts_of(installation)
    installation.juliabox("up")
    ada.await_answer(15)
    assert container_of(ada)["Id"] == container
    assert ada.run(kernel, "x + 1") == "42"
    assert machine.policy_in_place(container_of(ada))


@pytest.mark.soak
def test_files_are_there_after_down_and_up(ada: RestUser, installation: Installation) -> None:
    running(ada)
    ada.write("kept.txt", "over down and up")
    installation.juliabox("down")
    assert machine.loops_of(installation) == []
    installation.juliabox("up")
    assert ada.server() is None
    assert ada.started().read("kept.txt") == "over down and up"


OTHER, GONE = f"jbtest-other:{os.getpid()}", f"jbtest-gone:{os.getpid()}"


@pytest.fixture
def own_images(installation: Installation) -> Iterator[None]:
    """Two profiles with images of their own; one image is lost after `juliabox up`."""
    manager = installation.state / "run/manager.json"
    julia = next(
        part.split('"')[0] for part in manager.read_text().split('"sha256:')[1:]
    )  # the session image's id
    for tag, label in ((OTHER, "other"), (GONE, "gone")):
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", tag, "-"], check=True, capture_output=True,
            text=True, input=f"FROM sha256:{julia}\nLABEL made={label}-{os.getpid()}\n",
        )  # fmt: skip
    profiles = [
        {"slug": "standard", "name": "Standard", "default": True},
        {"slug": "other", "name": "Other", "image": OTHER},
        {"slug": "gone", "name": "Gone", "image": GONE},
    ]
    installation.configure(profiles=profiles)
    installation.juliabox("up")
    subprocess.run(["docker", "rmi", GONE], check=True, capture_output=True)
    yield
    installation.configure(profiles=[])
    installation.juliabox("up")
    subprocess.run(["docker", "rmi", OTHER], check=False, capture_output=True)


@pytest.mark.soak
@pytest.mark.usefixtures("own_images")
def test_a_lost_image_is_told_and_a_changed_image_has_the_files(ada: RestUser) -> None:
    running(ada).write("kept.txt", "over a changed image")
    ada.stopped()
    refused = ada.start(profile="gone")
    wait_for(lambda: ada.server() is None, 30, "it still starts")
    told = refused.text
    assert refused.status_code >= 400, told
    assert "image" in told and "juliabox up" in told and "Traceback" not in told
    print(told)
    ada.started(profile="other")
    assert ada.read("kept.txt") == "over a changed image"
    ada.stopped()
