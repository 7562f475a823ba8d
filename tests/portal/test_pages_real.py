"""The pages on a real portal, behind the real hub and proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from juliabox_ext.selection import PluginSelection
from juliabox_services.portal.models import PAGES
from support.browsing import visit
from support.hub_stand import PASSWORD
from support.portal_browsing import Watched, watched
from support.portal_stand import PREFIX, PortalStand

pytestmark = pytest.mark.browser

PLUGINS = ["rdbms", "usage", "singlenode", "session-head", "configuration"]
FEATURES = {"db": ["rdbms"], "ui.config.section": ["configuration"]}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalStand]:
    plugins = PluginSelection(enabled=PLUGINS, features=FEATURES)
    with PortalStand(tmp_path_factory.mktemp("pages"), portal={"plugins": plugins}) as running:
        yield running


@pytest.fixture(scope="module")
def admin(real: PortalStand, browser: Browser) -> Iterator[Watched]:
    context = browser.new_context(reduced_motion="reduce")
    with watched(context) as window:
        window.base = f"{real.url}{PREFIX}"
        page = window.page
        visit(page, f"{real.url}/hub/login?next=%2Fhub%2Fhome")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/hub/home")
        yield window
    context.close()


@pytest.mark.parametrize("name", [name for name in PAGES if name != "api"])
def test_a_page_is_whole_on_the_real_portal(name: str, admin: Watched) -> None:
    page = admin.open(admin.base + PAGES[name].route)
    assert admin.complaints == []
    expect(page.locator("[aria-busy]")).to_have_count(0)


def test_a_session_is_started_and_stopped_on_its_card(admin: Watched) -> None:
    page = admin.open(admin.base)
    page.get_by_role("button", name="Start ").first.click()
    expect(page.get_by_role("link", name="JupyterLab")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("meter", name="Memory").first).to_have_attribute("aria-valuenow", "50")
    page.get_by_role("button", name="Stop ").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.get_by_role("link", name="JupyterLab")).to_be_hidden(timeout=60_000)


def test_defaults_can_be_chosen_once_the_kept_ones_are_there(admin: Watched) -> None:
    asked: list[Route] = []
    admin.page.route("**/plugins/configuration/defaults", lambda route: asked.append(route))  # noqa: PLW0108 the driver marks it
    page = admin.open(f"{admin.base}settings")
    opens, save = page.get_by_label("A session opens with"), page.get_by_role("button", name="Save")
    expect(opens).to_be_disabled()
    expect(save).to_be_disabled()
    while not asked:
        page.wait_for_timeout(20)
    asked[0].continue_()
    expect(opens).to_be_enabled()
    expect(save).to_be_enabled()
    page.unroute("**/plugins/configuration/defaults")


def test_defaults_are_kept_in_the_database(admin: Watched, real: PortalStand) -> None:
    page = admin.open(f"{admin.base}settings")
    page.get_by_label("A session opens with").select_option("frame")
    page.get_by_label("Ask before a session is stopped").uncheck()
    with page.expect_response("**/plugins/configuration/defaults") as heard:
        page.get_by_role("button", name="Save").click()
    assert heard.value.status == 200
    real.restart_portal()
    admin.open(f"{admin.base}settings")
    expect(page.get_by_label("A session opens with")).to_have_value("frame")
    expect(page.get_by_label("Ask before a session is stopped")).not_to_be_checked()


def test_a_token_is_made_and_revoked(admin: Watched) -> None:
    page = admin.open(f"{admin.base}tokens")
    page.get_by_label("What it is for").fill("from the pages")
    page.get_by_role("button", name="Make a token").click()
    expect(page.get_by_label("The new token")).not_to_have_value("")
    page.get_by_role("button", name="Revoke from the pages").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("button", name="Revoke from the pages")).to_have_count(0)


def test_a_message_is_published_and_shown(admin: Watched) -> None:
    page = admin.open(f"{admin.base}admin/message")
    page.get_by_label("Message", exact=True).fill("Upgrade at noon")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("status").filter(has_text="Everybody sees")).to_be_visible()
    admin.open(admin.base)
    expect(page.get_by_role("complementary", name="Message of the day")).to_contain_text("noon")
    admin.open(f"{admin.base}admin/message")
    page.get_by_role("button", name="Take away").click()
    page.get_by_role("dialog").get_by_role("button", name="Take away").click()
    expect(page.get_by_role("button", name="Take away")).to_be_hidden()


def test_files_that_carry_no_digest_are_asked_for_each_time(admin: Watched) -> None:
    found: dict[str, str] = {}
    admin.page.on(
        "response", lambda one: found.__setitem__(one.url, one.headers.get("cache-control", ""))
    )
    admin.open(admin.base)
    modules = [kept for url, kept in found.items() if Path(url).name == "dom.js"]
    assert modules == ["no-cache"]
    styles = [kept for url, kept in found.items() if "portal.css?v=" in url]
    assert all("max-age=" in kept for kept in styles)
