"""The portal's frame around a session, and its admin pages, on a whole installation."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from support.browsing import visit as open_address
from support.installation import Installation
from support.person import START_TIMEOUT_MS, Person

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

PORTAL = "/services/portal/"
Visit = Callable[[str], Person]


def enter(person: Person, password: str) -> None:
    """Ask for the portal, log in on the way, and arrive there."""
    person.go(PORTAL)
    person.page.get_by_label("Username").fill(person.name)
    person.page.get_by_label("Password", exact=True).fill(password)
    person.page.get_by_role("button", name="Sign in").click()
    person.page.wait_for_url(f"**{PORTAL}")


def open_portal(person: Person, path: str = "") -> Page:
    person.go(PORTAL + path)
    person.page.wait_for_selector("html[data-ready]", state="attached")
    return person.page


def test_a_session_opens_in_the_portals_frame_and_its_files_can_be_taken_away(
    visit: Visit, installation: Installation, tmp_path: Path
) -> None:
    hopper = visit("hopper")
    enter(hopper, installation.add_user("hopper"))
    page = open_portal(hopper)
    page.get_by_role("button", name=re.compile("^Start ")).first.click()
    framed = page.get_by_role("link", name="With its gauges")
    expect(framed).to_be_visible(timeout=START_TIMEOUT_MS)
    expect(page.locator(".jb-clock").first).to_contain_text("unless you use it")
    framed.click()
    lab = page.frame_locator("#session-frame")
    expect(lab.locator("#jp-main-dock-panel")).to_be_visible(timeout=START_TIMEOUT_MS)
    expect(page.locator(".jb-sh-state")).to_have_text("running")
    expect(page.get_by_role("meter", name="Disk")).to_be_visible()
    lab.locator("#jupyterlab-splash").wait_for(state="detached", timeout=START_TIMEOUT_MS)
    hopper.screenshot("portal-session")

    open_portal(hopper, "files")
    with page.expect_download() as kept:
        page.get_by_role("link", name="Download Home").click()
    kept.value.save_as(tmp_path / "home")
    assert (tmp_path / "home").stat().st_size > 0
    installation.juliabox("session", "stop", "hopper")


def test_an_admin_opens_every_page(visit: Visit, installation: Installation) -> None:
    admin = visit("admin")
    enter(admin, installation.admin_password)
    complaints: list[str] = []
    admin.page.on("pageerror", lambda error: complaints.append(str(error)))
    page = open_portal(admin, "admin/")
    menu = page.get_by_role("navigation", name="Admin").get_by_role("link")
    for address in menu.evaluate_all("all => all.map(one => one.href)"):
        open_address(page, address)
        page.wait_for_selector("html[data-ready]", state="attached")
    assert complaints == []
    open_portal(admin, "admin/plugins")
    expect(page.get_by_role("row").filter(has_text="session-head")).to_contain_text("enabled")
    open_portal(admin, "admin/configuration")
    assert installation.admin_password not in page.content()
