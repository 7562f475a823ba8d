"""A state folder on a small disk that fills up, and a hub database that is locked or damaged."""

from __future__ import annotations

import re
import secrets
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from juliabox_cli import image_build
from support import machine
from support.installation import Installation
from support.ports import free_port
from support.rest_user import RestUser, wait_for

pytestmark = [pytest.mark.engine, pytest.mark.soak, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024**2


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """Bring up an installation whose state folder has a disk of its own, of 2 GiB."""
    image_build.ensure_images(ROOT)  # there is no room to build them in
    name = f"jbtest-{secrets.token_hex(3)}"
    disk, folder = Path("/var/tmp") / f"{name}.img", Path("/var/lib") / f"{name}-disk"
    folder.mkdir()
    with disk.open("wb") as file:
        file.truncate(2048 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(disk)], check=True)
    subprocess.run(["mount", "-o", "loop", str(disk), str(folder)], check=True)
    made = Installation(ROOT, name, folder / "state", free_port())
    try:
        made.state.mkdir(mode=0o700)
        sessions = {"disk": "256M"}
        made.configure(
            name=name, port=made.port, sessions=sessions, capacity={"disk_reserve": "200M"}
        )
        made.juliabox("up")
        yield made
    finally:
        print(machine.logs(made, 200))
        made.juliabox("destroy", "--yes", check=False)
        shutil.rmtree(made.state, ignore_errors=True)
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
        disk.unlink()


@pytest.fixture(scope="module")
def ada(installation: Installation) -> RestUser:
    """Somebody with a server that runs."""
    return RestUser(installation, "ada").started()


@pytest.fixture(scope="module")
def emmy(installation: Installation) -> RestUser:
    """Somebody whose server does not run."""
    return RestUser(installation, "emmy")


def free(installation: Installation) -> int:
    """Return the free bytes of the state folder's disk."""
    return shutil.disk_usage(installation.state).free


@pytest.mark.parametrize("left", [100 * MIB, 0], ids=["below-the-reserve", "nothing-left"])
def test_a_start_on_a_full_disk_is_refused_and_works_when_there_is_room(
    ada: RestUser, emmy: RestUser, installation: Installation, left: int
) -> None:
    filler = installation.state.parent / "filler"
    fill = ["dd", "if=/dev/zero", f"of={filler}", "bs=1M", "status=none"]
    if left:
        fill = ["fallocate", "-l", str(free(installation) - left), str(filler)]
    subprocess.run(fill, check=left > 0, capture_output=True)
    try:
        refused = emmy.start()
        print(refused.status_code, refused.text)
        assert refused.status_code in {503, 507}, refused.text
        assert "Traceback" not in refused.text
        assert re.search("disk|room", refused.text)
        assert ada.answers()
        assert ada.hub("GET").status_code == 200
    finally:
        filler.unlink()
    wait_for(lambda: emmy.server() is None, 30, "it still starts")
    emmy.started().write("note.txt", "there is room again")
    emmy.stopped()
    _sound(installation)


def test_a_full_disk_does_not_keep_sessions_from_ending(
    emmy: RestUser, installation: Installation
) -> None:
    emmy.started()
    filler = installation.state.parent / "filler"
    before = set(machine.look(installation).slots)
    fill = ["dd", "if=/dev/zero", f"of={filler}", "bs=1M", "status=none"]
    subprocess.run(fill, check=False, capture_output=True)
    try:
        emmy.stop()
        wait_for(
            lambda: len(set(machine.look(installation).slots) & before) < len(before),
            40, "the session does not end",
        )  # fmt: skip
    finally:
        filler.unlink()
    wait_for(lambda: emmy.server() is None, 40, "the hub does not notice")
    emmy.started().stopped()
    _sound(installation)
    # the manager keeps its own to itself while it runs
    subprocess.run(["docker", "stop", f"{installation.name}-manager"], check=True)
    _sound(installation, "manager/manager.sqlite")
    subprocess.run(["docker", "start", f"{installation.name}-manager"], check=True)


def _sound(installation: Installation, part: str = "hub/jupyterhub.sqlite") -> None:
    """Check a database that no part has locked for itself."""
    database = installation.state / part
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as link:
        assert link.execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_locked_database_is_waited_for_or_told_and_sessions_go_on(
    ada: RestUser, emmy: RestUser, installation: Installation
) -> None:
    marker = time.strftime("%H:%M:%S")
    database = installation.state / "hub/jupyterhub.sqlite"
    link = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    with closing(link):
        link.execute("begin exclusive")
        answers = []
        end = time.monotonic() + 12
        while time.monotonic() < end:
            answers.append(emmy.hub("POST", "/tokens", json={"note": "while it is locked"}))
            assert ada.jupyter("GET", "static/favicons/favicon.ico").status_code < 500
        link.execute("rollback")
    print(marker, [(one.status_code, one.text) for one in answers])
    assert {one.status_code for one in answers} <= {201, 503}, [one.text for one in answers]
    assert all("Traceback" not in one.text and "sqlite" not in one.text for one in answers)
    assert {one.headers.get("Retry-After") for one in answers if one.status_code == 503} <= {"5"}
    wait_for(lambda: emmy.hub("GET").status_code == 200, 15, "the hub does not recover")
    assert emmy.hub("POST", "/tokens", json={"note": "after"}).status_code == 201
    assert ada.answers()


def test_a_damaged_database_is_told_and_its_backup_brings_people_back(
    ada: RestUser, installation: Installation
) -> None:
    hub = installation.state / "hub"
    database = hub / "jupyterhub.sqlite"
    subprocess.run(["docker", "stop", f"{installation.name}-hub"], check=True, capture_output=True)
    for old in (hub / "backups").glob("*.sqlite"):
        old.unlink()
    subprocess.run(["docker", "start", f"{installation.name}-hub"], check=True, capture_output=True)
    wait_for(lambda: ada.hub("GET").status_code == 200, 40, "no hub")
    subprocess.run(["docker", "stop", f"{installation.name}-hub"], check=True, capture_output=True)
    content = bytearray(database.read_bytes())
    content[4096 : 4096 * 8] = b"\xff" * (4096 * 7)
    database.write_bytes(content)
    subprocess.run(["docker", "start", f"{installation.name}-hub"], check=True, capture_output=True)
    told: list[str] = []

    def says() -> bool:
        done = subprocess.run(
            ["docker", "logs", "--tail", "40", f"{installation.name}-hub"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        told.append(done.stdout + done.stderr)
        return "is damaged" in told[-1]

    wait_for(says, 30, "nothing is said of the damage")
    advice = told[-1].partition("is damaged")[2]
    assert "Traceback" not in advice
    command = re.search(r"^.*?(mv .* && cp .*)$", advice, re.M)
    assert command, advice
    subprocess.run(["sh", "-c", command[1]], check=True)
    installation.juliabox("up")
    assert ada.answers()
    assert ada.hub("GET").json()["servers"][""]["ready"] is True
