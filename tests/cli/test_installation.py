"""A real installation from its operator's side: up again, an edit, down, and up with the data."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from juliabox_cli.image_build import image_tags
from support.installation import Installation
from support.rest_user import RestUser, wait_for

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("manager", "hub", "portal", "api", "proxy")


def _status(installation: Installation) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(installation.juliabox("status", "--json"))
    return found


def _containers(installation: Installation) -> dict[str, str]:
    components = _status(installation)["components"]
    return {part: components[part]["container"] for part in PARTS}


def _names(installation: Installation, *command: str) -> list[str]:
    done = subprocess.run(
        ["docker", *command, "--format", "{{json .}}"], capture_output=True, text=True, check=True
    )
    return [line for line in done.stdout.splitlines() if installation.name in line]


def _make_older(installation: Installation) -> None:
    """Leave what an older JuliaBox leaves: a part that there is no more, and fewer settings."""
    name, settings = installation.name, installation.state / "run/compose.env"
    lines = settings.read_text().splitlines()
    image = dict(line.split("=", 1) for line in lines)["JULIABOX_HUB_IMAGE"]
    part = [
        "--detach",
        "--restart=unless-stopped",
        f"--name={name}-older",
        f"--label=juliabox.installation={name}",
        f"--network={name}-edge",
        f"--volume={installation.state}/run:/etc/juliabox:ro",
    ]
    subprocess.run(["docker", "run", *part, image, "sleep", "600"], check=True)
    older = [line for line in lines if "PORTAL" not in line and "_IMAGE" not in line]
    settings.write_text("\n".join(older))


def test_a_running_service_is_healthy_and_the_doctor_finds_nothing(
    installation: Installation,
) -> None:
    status = _status(installation)
    assert status["healthy"] is True
    assert status["url"] == f"{installation.url}/"
    assert {status["components"][part]["state"] for part in PARTS} == {"running"}
    checks = json.loads(installation.juliabox("doctor", "--json"))["checks"]
    assert [one for one in checks if not one["ok"]] == []
    sessions = installation.sessions()
    assert sessions == [] or sessions[0]["container"]


def test_a_second_up_changes_nothing_and_an_edit_replaces_only_its_part(
    installation: Installation,
) -> None:
    before = _containers(installation)
    installation.juliabox("up")
    assert _containers(installation) == before
    installation.juliabox("config", "set", "announcement", "Back at noon")
    installation.juliabox("up")
    after = _containers(installation)
    assert {part for part in PARTS if after[part] != before[part]} == {"hub", "portal"}
    installation.juliabox("config", "unset", "announcement")


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Take a copy of the checkout for `juliabox up`; remove the control image of it in the end."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(lambda name: (ROOT / name).is_file(), done.stdout.splitlines()):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    yield tmp_path
    image = image_tags(tmp_path)["control"]
    subprocess.run(["docker", "rmi", image], check=False, capture_output=True)


def test_a_new_control_image_leaves_the_proxy_in_peace(
    installation: Installation, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = newer / "spawner/juliabox_spawner/hub/people.py"
    edited.write_text(edited.read_text() + "\nEDITED = True\n")
    before = _containers(installation)
    monkeypatch.setenv("JULIABOX_SOURCE", str(newer))
    installation.juliabox("up")
    after = _containers(installation)
    assert {part for part in PARTS if after[part] != before[part]} == set(PARTS) - {"proxy"}
    monkeypatch.delenv("JULIABOX_SOURCE")
    installation.juliabox("up")
    assert _containers(installation)["proxy"] == before["proxy"]


def test_down_leaves_nothing_running_and_up_finds_people_and_passwords_again(
    installation: Installation,
) -> None:
    installation.add_user("ada")
    password = installation.admin_password
    _make_older(installation)
    installation.juliabox("down")
    assert _names(installation, "ps", "--all") == []
    assert _names(installation, "network", "ls") == []
    assert str(installation.state) not in Path("/proc/self/mountinfo").read_text()
    printed = installation.juliabox("up")
    assert "password" not in printed
    assert installation.admin_password == password
    people = json.loads(installation.juliabox("user", "list", "--json"))
    assert {"admin", "ada"} <= {one["name"] for one in people}
    installation.juliabox("user", "remove", "ada", "--yes")


def test_a_token_stands_alone_on_standard_output(installation: Installation) -> None:
    printed = installation.juliabox("token", "admin")
    assert len(printed.split()) == 1
    with installation.api() as api:
        assert api.get("/user").json()["name"] == "admin"


def test_a_home_is_put_aside_and_brought_back(installation: Installation) -> None:
    person = RestUser(installation, "vera").started()
    person.write("notes.txt", "kept")
    refused = installation.juliabox("volume", "remove", "vera", "--yes", check=False)
    assert "put aside" not in refused
    person.stopped()

    def states() -> list[str]:
        listed = json.loads(installation.juliabox("volume", "list", "vera", "--json"))
        return [one["state"] for one in listed]

    wait_for(lambda: states() == ["idle"], 60, "the home is still in use")
    removed = installation.juliabox("volume", "remove", "vera", "--yes")
    assert "juliabox volume restore vera" in removed
    assert states() == ["removed"]
    assert "has no home" in installation.juliabox("volume", "remove", "vera", "--yes")
    assert installation.juliabox("volume", "restore", "vera") == "restored\n"
    assert "vera" in installation.juliabox("volume", "list")
    person.started()
    assert person.read("notes.txt") == "kept"
    person.stopped()
