"""Somebody logs in at a real OpenID provider, next to an account with a password, in Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from juliabox_ext.selection import PluginSelection
from support.browsing import visit
from support.hub_stand import PASSWORD, HubStand
from support.login_providers import openid_provider
from support.login_steps import tell_openid

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CLIENT = {"client_id": "box", "client_secret": "canary-client-secret", "allow_all": True}


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """A real OpenID provider."""
    with openid_provider() as url:
        yield url


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory, provider: str) -> Iterator[HubStand]:
    """A hub with accounts of its own and three log-ins at providers."""
    oidc = {**CLIENT, "issuer": provider, "button": "Example University"}
    selection = PluginSelection(
        enabled=[], settings={"oidc": oidc, "github": CLIENT, "google": CLIENT}
    )
    login = {"logins": ["native", "oidc", "github", "google"]}
    with HubStand(tmp_path_factory.mktemp("stand"), login=login, plugins=selection) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh browser profile."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()


def log_in_at_the_university(page: Page, stand: HubStand, subject: str) -> None:
    visit(page, f"{stand.url}/hub/login?next=%2Fhub%2Ftoken")
    page.get_by_role("link", name="Sign in with Example University").click()
    page.get_by_placeholder("sub").fill(subject)
    page.get_by_role("button", name="Authorize").click()


def test_both_kinds_of_people_log_in_on_one_page(
    page: Page, stand: HubStand, provider: str, browser: Browser
) -> None:
    tell_openid(provider, "subject-1", preferred_username="Ada", name="Ada Lovelace")
    log_in_at_the_university(page, stand, "subject-1")
    expect(page).to_have_url(f"{stand.url}/hub/token")
    expect(page.locator(".jb-name")).to_have_text("oidc:ada")
    expect(page.get_by_role("link", name="Password")).to_have_count(0)

    context = browser.new_context()
    other = context.new_page()
    visit(other, f"{stand.url}/hub/login?next=%2Fhub%2Fhome")
    other.get_by_label("Username").fill("admin")
    other.get_by_label("Password", exact=True).fill(PASSWORD)
    other.get_by_role("button", name="Sign in", exact=True).click()
    expect(other.locator(".jb-name")).to_have_text("admin")
    expect(other.get_by_role("link", name="Password")).to_be_visible()
    context.close()

    # the first is still who they were, and out when they log out
    visit(page, f"{stand.url}/hub/home")
    expect(page.locator(".jb-name")).to_have_text("oidc:ada")
    page.locator("#logout").click()
    expect(page.get_by_role("heading", name="Sign in to JuliaBox")).to_be_visible()


def test_who_says_no_at_the_provider_is_back_on_the_page_with_the_reason(
    page: Page, stand: HubStand
) -> None:
    visit(page, f"{stand.url}/hub/login")
    page.get_by_role("link", name="Sign in with Example University").click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("alert")).to_contain_text("did not let you in")
    expect(page.get_by_role("alert")).to_contain_text("login.refused")
    page.get_by_role("link", name="Sign in with Example University").click()
    expect(page.get_by_placeholder("sub")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_the_page_is_whole_and_accessible(
    browser: Browser, stand: HubStand, scheme: Any, device: str, request: pytest.FixtureRequest
) -> None:
    size = {"width": 390, "height": 844} if device == "phone" else {"width": 1280, "height": 860}
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    visit(page, f"{stand.url}/hub/google/oauth_callback")
    expect(page.get_by_role("alert")).to_contain_text(re.compile("Begin again"))
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    folder: Path | None = request.config.getoption("--screenshots")
    if folder is not None:
        visit(page, f"{stand.url}/hub/login")
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"logins-{device}-{scheme}.png", full_page=True)
    context.close()


def test_the_page_is_used_by_keyboard(page: Page, stand: HubStand) -> None:
    visit(page, f"{stand.url}/hub/login")
    expect(page.get_by_label("Username")).to_be_focused()
    names = []
    for _ in range(8):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
    wanted = [f"Sign in with {name}" for name in ("Example University", "GitHub", "Google")]
    assert [name for name in names if name in wanted] == wanted
