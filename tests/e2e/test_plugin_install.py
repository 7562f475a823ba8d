"""A stranger's package comes into a running installation and goes again; sessions run on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from support.installation import Installation
from support.person import Person
from support.rest_user import RestUser
from support.wheels import EXAMPLE, build, small

pytestmark = pytest.mark.e2e

PARTS = ("manager", "hub", "portal", "api", "proxy")
ASKED = "import json, juliabox_ext; print(json.dumps(juliabox_ext.get_pluggedin_features()))"


def docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def containers(installation: Installation) -> dict[str, str]:
    """Return part -> its container's id and start."""
    form = "{{.Id}} {{.State.StartedAt}}"
    return {p: docker("inspect", "-f", form, f"{installation.name}-{p}") for p in PARTS}


def features(installation: Installation, part: str) -> dict[str, list[str]]:
    """Ask Python in a running part."""
    found: dict[str, list[str]] = json.loads(
        docker("exec", f"{installation.name}-{part}", "python", "-c", ASKED)
    )
    return found


def installed() -> dict[str, str]:
    """Return what the environment of the command line has."""
    code = (
        "import importlib.metadata as m, json; "
        "print(json.dumps({d.name: d.version for d in m.distributions()}))"
    )
    found: dict[str, str] = json.loads(
        subprocess.run(
            [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
        ).stdout
    )
    return found


def refused(installation: Installation, *arguments: str) -> str:
    """Run a command that must fail; return what it said."""
    with pytest.raises(AssertionError) as caught:
        installation.juliabox(*arguments)
    return str(caught.value)


@pytest.fixture(scope="module")
def session(installation: Installation) -> RestUser:
    """Return a person whose session runs."""
    return RestUser(installation, "frieda").started()


@pytest.fixture(scope="module")
def greeting(
    installation: Installation, session: RestUser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Install the example; yield how the parts were before. Afterwards all is as it was."""
    wheel = build(EXAMPLE, tmp_path_factory.mktemp("greeting"))
    config = installation.state / "config.yaml"
    before = {
        "parts": containers(installation),
        "config": config.read_text(),
        "sessions": installation.sessions(),
        "environment": installed(),
    }
    installation.juliabox("plugin", "install", str(wheel))
    try:
        yield before
    finally:
        installation.juliabox("plugin", "remove", "greeting")
        config.write_text(before["config"])


def test_only_the_parts_that_load_it_are_replaced_and_a_session_runs_on(
    installation: Installation, greeting: dict[str, Any], session: RestUser
) -> None:
    after = containers(installation)
    replaced = {part for part in PARTS if after[part] != greeting["parts"][part]}
    assert replaced == {"manager", "portal"}
    assert installation.sessions() == greeting["sessions"]
    assert session.answers()


@pytest.mark.parametrize("part", ["hub", "portal", "manager"])
def test_every_part_knows_its_features_in_python(
    part: str, installation: Installation, greeting: dict[str, Any]
) -> None:
    found = features(installation, part)
    assert "greeting" in found["handler"]
    assert "greeting" in found["handler.js.top"]
    assert "greeting" in found["ui.config.section"]
    assert "greeting" in found["task.cmd.async"]


def test_its_features_page_script_section_and_picture_are_in_the_browser(
    installation: Installation, greeting: dict[str, Any], visit: Callable[[str], Person]
) -> None:
    admin = visit("admin")
    admin.log_in(installation.admin_password)
    admin.go("/services/portal/settings")
    page = admin.page
    link = page.get_by_role("link", name="Be greeted, admin")
    expect(link).to_be_visible()
    in_python = features(installation, "portal")
    assert page.evaluate("JuliaBox.get_pluggedin_features()") == in_python
    assert page.evaluate("JuliaBox.has_plugin_feature('handler')") is True
    assert page.evaluate("JuliaBox.has_plugin_feature('vol.data')") is False
    expect(page.locator("html")).to_have_attribute("data-greeting", "true")
    picture = page.locator("img[src*=wave]")
    expect(picture).to_have_js_property("naturalWidth", 64)
    admin.screenshot("plugin-section")
    link.click()
    expect(page.locator("body")).to_have_text("Hello, admin!")


def test_its_command_runs_in_the_manager(
    installation: Installation, greeting: dict[str, Any]
) -> None:
    data = json.dumps({"name": "Ada"})
    command = ("task", "run", "greeting", "--wait", "--data", data)
    said = installation.juliabox(*command, check=False)
    deadline = time.monotonic() + 60
    while not said and time.monotonic() < deadline:  # a new manager reads its tasks first
        time.sleep(1)
        said = installation.juliabox(*command, check=False)
    assert "Hello, Ada!" in said


def test_its_wheel_is_kept_for_root_alone_and_named_with_its_digest(
    installation: Installation, greeting: dict[str, Any]
) -> None:
    (kept,) = (installation.state / "plugins").glob("*.whl")
    assert (kept.stat().st_uid, kept.stat().st_mode & 0o777) == (0, 0o600)
    shown = installation.juliabox("config", "show", "plugins.install")
    assert f"{kept.name}#sha256=" in shown


def test_the_layer_has_neither_the_hosts_authority_nor_an_address_of_an_index(
    installation: Installation, greeting: dict[str, Any]
) -> None:
    image = docker("inspect", "-f", "{{.Config.Image}}", f"{installation.name}-portal")
    assert image.startswith("juliabox/plugins:")
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert "PIP_INDEX_URL" not in history
    left = "\\( -name pip.conf -o -name direct_url.json -o -name '*-9999.dist-info' \\)"
    script = f"test ! -e /build && find / -xdev {left} -print"
    found = docker("run", "--rm", "--user", "0", "--entrypoint", "sh", image, "-c", script)
    assert found == ""
    control = docker("inspect", "-f", "{{.Config.Image}}", f"{installation.name}-hub")
    listed = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    names = [
        set(docker("run", "--rm", "--entrypoint", "python", one, "-c", listed).split())
        for one in (image, control)
    ]
    assert names[0] - names[1] == {"juliabox-greeting"}


BROKEN = {
    "does-not-import": ("import no_such_module_", "", "No module named 'no_such_module_'"),
    "downgrades": ("class Page: pass", "tornado<6", "tornado"),
    "brings-no-plugin": ("", "", "brings no plugin"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_installation_that_fails_leaves_everything_as_it_was(
    case: str, installation: Installation, session: RestUser, tmp_path: Path
) -> None:
    code, requires, said = BROKEN[case]
    entry = "" if case == "brings-no-plugin" else "juliabox.handler: broken = Page"
    wheel = small(tmp_path, "jb-broken", code, entry, requires)
    config = (installation.state / "config.yaml").read_text()
    before = (containers(installation), installed(), installation.sessions())
    message = refused(installation, "plugin", "install", str(wheel))
    assert said in message
    assert "Traceback" not in message
    assert (containers(installation), installed(), installation.sessions()) == before
    assert (installation.state / "config.yaml").read_text() == config
    assert not list((installation.state / "plugins").glob("jb_broken*"))
