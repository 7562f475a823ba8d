"""What a person does on the portal's pages, in Chromium on the preview."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from juliabox_services.portal.models import Home
from support import portal_preview, portal_samples
from support.portal_browsing import Watched, seen, watched
from support.portal_preview import XSRF, State

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Watched]:
    context = browser.new_context(reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    with watched(context) as opened:
        yield opened
    context.close()


def change_of(state: State, path: str) -> tuple[str, object]:
    """Return method and body of the one change that was sent to a path, with the XSRF header."""
    found = [one for one in state.changes if one[1] == path]
    assert len(found) == 1, state.changes
    assert found[0][3] == XSRF
    return found[0][0], found[0][2]


def with_first(home: Home, **changes: object) -> Home:
    """Return a home whose first session is changed."""
    first = msgspec.structs.replace(home.sessions[0], **changes)
    return msgspec.structs.replace(home, sessions=[first, *home.sessions[1:]])


def wake(page: Page) -> None:
    """Let a page look at once, as it does when somebody comes back to it."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_gauges_follow_what_the_session_uses(portal: Watched, state: State) -> None:
    page = portal.open(portal.base)
    memory = page.get_by_role("meter", name="Memory")
    expect(memory).to_have_attribute("aria-valuenow", "46")
    state.home = with_first(state.home, gauges=portal_samples.gauges(memory=0.97))
    wake(page)
    expect(memory).to_have_attribute("aria-valuenow", "97")
    expect(memory).to_have_attribute("aria-valuetext", "1.9 GiB of 2 GiB")
    expect(page.locator(".jb-gauge-memory").first).to_have_attribute("data-level", "full")


@pytest.fixture
def unshared() -> Iterator[tuple[str, State]]:
    """A preview that no window of another test asks."""
    with portal_preview.running() as running:
        yield running


def test_a_page_that_nobody_sees_asks_for_nothing(
    unshared: tuple[str, State], browser: Browser
) -> None:
    address, state = unshared
    page = browser.new_page()
    # of this window alone: its time stands still from now on
    now = time.time()
    page.clock.install(time=now)
    page.clock.pause_at(now + 600)
    Watched(page).open(address)
    page.wait_for_load_state("networkidle")
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    wake(page)
    before = dict(state.fetched)
    page.clock.run_for(60_000)
    assert state.fetched == before
    page.evaluate("delete document.hidden")
    with page.expect_response("**/api/home"):
        wake(page)
        page.clock.run_for(1_000)
    page.close()


def test_a_session_tells_when_it_stops_and_why(portal: Watched, state: State) -> None:
    page = portal.open(portal.base)
    clock = page.locator(".jb-clock").first
    expect(clock).to_contain_text("unless you use it: an idle session ends after 1 h.")
    state.home = with_first(state.home, time_left=300, time_left_why="age", time_limit=28800)
    wake(page)
    expect(clock).to_contain_text("a session may last 8 h.")
    state.home = with_first(state.home, time_left=None, time_left_why="none", time_limit=None)
    wake(page)
    expect(clock).to_contain_text("Nothing stops it but you.")


def test_starting_asks_for_a_profile_and_begins_with_the_persons_own(
    portal: Watched, state: State
) -> None:
    page = portal.open(portal.base)
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Start experiments").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("radio", name="Large")).to_be_checked()
    dialog.get_by_text("Small", exact=True).click()
    with page.expect_response("**/api/servers/start"):
        dialog.get_by_role("button", name="Start").click()
    assert change_of(state, "api/servers/start") == (
        "POST",
        {"server": "experiments", "profile": "small"},
    )


@pytest.mark.parametrize(
    ("button", "action", "server"),
    [("Stop My session", "stop", ""), ("Remove experiments", "remove", "experiments")],
    ids=["stop", "remove"],
)
def test_what_cannot_be_undone_asks_first(
    button: str, action: str, server: str, portal: Watched, state: State
) -> None:
    page = portal.open(portal.base)
    page.get_by_role("button", name=button).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert state.changes == []
    page.get_by_role("button", name=button).click()
    with page.expect_response(f"**/api/servers/{action}"):
        page.get_by_role("dialog").get_by_role("button", name=action.capitalize()).click()
    assert change_of(state, f"api/servers/{action}") == ("POST", {"server": server})


def test_a_new_session_gets_a_name_that_the_hub_takes(portal: Watched, state: State) -> None:
    page = portal.open(portal.base)
    name = page.get_by_label("Name of a new session")
    for wrong in ("Übung", "two--hyphens", "9lives"):
        name.fill(wrong)
        assert name.evaluate("field => field.checkValidity()") is False
    name.fill("second-try")
    page.get_by_role("button", name="Add session").click()
    with page.expect_response("**/api/servers/start"):
        page.get_by_role("dialog").get_by_role("button", name="Start").click()
    body = change_of(state, "api/servers/start")[1]
    assert isinstance(body, dict) and body["server"] == "second-try"


def test_a_refusal_is_told_with_its_message_and_code(portal: Watched, state: State) -> None:
    page = portal.open(portal.base)
    state.fault = (503, "no_room.sessions", "No room: 40 of 40 sessions run.")
    page.get_by_role("button", name="Start experiments").click()
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    toast = page.get_by_role("alert").filter(has_text="No room: 40 of 40 sessions run.")
    expect(toast).to_contain_text("no_room.sessions")
    expect(page.locator("#degraded")).to_contain_text("What you see may be old.")
    state.fault = None
    wake(page)
    expect(page.locator("#degraded")).to_be_hidden()


def test_a_page_that_did_not_load_whole_says_so(portal: Watched) -> None:
    page = portal.page
    page.route("**/static/dom.js*", lambda route: route.abort())
    try:
        portal.open(portal.base, ready=False)
        notice = page.get_by_role("alert")
        expect(notice).to_contain_text("did not load")
    finally:
        page.unroute("**/static/dom.js*")
    notice.get_by_role("link", name="Load it again").click()
    page.wait_for_selector("html[data-ready]", state="attached")
    expect(page.get_by_text("did not load")).to_be_hidden()
    portal.complaints.clear()


@pytest.mark.parametrize(
    ("path", "label"), [("", "Name of a new session"), ("apis", "Name of a new API")]
)
def test_a_name_that_will_not_do_is_told_with_the_rule(
    portal: Watched, path: str, label: str
) -> None:
    name = portal.open(portal.base + path).get_by_label(label)
    expect(name).to_have_attribute("title", "Letters a to z, digits and hyphens")


def test_somebody_new_sees_what_to_do(portal: Watched, state: State) -> None:
    state.home = portal_samples.empty_home()
    page = portal.open(portal.base)
    expect(page.get_by_role("button", name="Start My session")).to_be_visible()
    expect(page.get_by_text("Your home is made when your first session starts.")).to_be_visible()
    with page.expect_response("**/api/servers/start"):
        page.get_by_role("button", name="Start My session").click()
    assert change_of(state, "api/servers/start")[1] == {"server": "", "profile": ""}


def test_a_token_is_shown_once_and_can_be_copied(portal: Watched, state: State) -> None:
    page = portal.open(f"{portal.base}tokens")
    page.get_by_label("What it is for").fill("nightly")
    page.get_by_label("Ends after").select_option("1 day")
    page.get_by_role("button", name="Make a token").click()
    shown = page.get_by_label("The new token")
    expect(shown).to_have_value("jbx-4f0c9d21ab77e0c1")
    assert change_of(state, "api/tokens") == ("POST", {"note": "nightly", "expires_in": 86400})
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status").filter(has_text="Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "jbx-4f0c9d21ab77e0c1"
    page.reload()
    expect(page.get_by_label("The new token")).to_have_count(0)
    assert "jbx-" not in page.content()


def test_no_token_may_outlive_the_longest_life(portal: Watched) -> None:
    page = portal.open(f"{portal.base}tokens")
    never = page.locator("#expires option", has_text="never")
    assert never.evaluate("option => option.disabled")


def test_a_token_is_revoked_after_a_question(portal: Watched, state: State) -> None:
    page = portal.open(f"{portal.base}tokens")
    page.get_by_role("button", name="Revoke nightly run on the laptop").click()
    with page.expect_response("**/api/tokens/a12"):
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    assert change_of(state, "api/tokens/a12")[0] == "DELETE"


def test_defaults_are_loaded_saved_and_heeded(portal: Watched, state: State) -> None:
    page = portal.open(f"{portal.base}settings")
    expect(page.get_by_label("Profile that is chosen beforehand")).to_have_value("large")
    page.get_by_label("A session opens with").select_option("frame")
    page.get_by_label("Ask before a session is stopped").uncheck()
    with page.expect_response("**/plugins/configuration/defaults"):
        page.get_by_role("button", name="Save").click()
    chosen = {"profile": "large", "open": "frame", "confirm": False}
    assert change_of(state, "plugins/configuration/defaults") == ("PUT", chosen)
    portal.open(portal.base)
    page.wait_for_load_state("networkidle")
    expect(page.locator(".jb-links a").first).to_have_text("With its gauges")
    with page.expect_response("**/api/servers/stop"):
        page.get_by_role("button", name="Stop My session").click()


def test_the_theme_is_switched_and_kept_under_the_hubs_own_key(portal: Watched) -> None:
    page = portal.open(portal.base)
    root = page.locator("html")
    assert root.get_attribute("data-bs-theme") == "light"
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(root).to_have_attribute("data-bs-theme", "dark")
    portal.open(f"{portal.base}settings")
    expect(root).to_have_attribute("data-bs-theme", "dark")
    assert page.evaluate("localStorage.getItem('jupyterhub-bs-theme')") == "dark"
    page.get_by_label("As the system").check()
    expect(root).to_have_attribute("data-bs-theme", "light")
    assert page.evaluate("localStorage.getItem('jupyterhub-bs-theme')") is None


def test_features_of_plugins_are_known_in_the_browser(portal: Watched) -> None:
    page = portal.open(portal.base)
    assert page.evaluate("JuliaBox.get_pluggedin_features()") == portal_samples.FEATURES
    for feature in portal_samples.FEATURES:
        assert page.evaluate("name => JuliaBox.has_plugin_feature(name)", feature) is True
    for absent in ("cloud.bucketstore.s3", "toString", "__proto__", ""):
        assert page.evaluate("name => JuliaBox.has_plugin_feature(name)", absent) is False


def test_a_session_opens_in_a_frame_below_its_head(portal: Watched, state: State) -> None:
    page = portal.open(f"{portal.base}session/")
    inside = page.frame_locator("#session-frame").get_by_role("heading", name="JupyterLab")
    expect(inside).to_be_visible()
    expect(page.locator(".jb-sh-name")).to_have_text("My session")
    expect(page.locator(".jb-sh-clock")).to_contain_text("if idle")
    expect(page.get_by_role("meter", name="Disk")).to_have_attribute("aria-valuenow", "82")
    page.get_by_role("button", name="Stop").click()
    with page.expect_response("**/api/servers/stop"):
        page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    assert change_of(state, "api/servers/stop") == ("POST", {"server": ""})
    state.home = with_first(state.home, state="stopped", can_stop=False, ending="You stopped it.")
    wake(page)
    expect(page.locator("#session-state")).to_contain_text("You stopped it.")
    expect(page.locator("#session-frame")).to_be_hidden()


def test_everything_can_be_reached_and_seen_by_keyboard(portal: Watched) -> None:
    page = portal.open(portal.base)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    seen(page, lambda: page.evaluate("document.activeElement.id") == "main")
    page.keyboard.press("Tab")
    reached = []
    for _ in range(60):
        told = page.evaluate(
            """() => {
              const one = document.activeElement;
              const style = getComputedStyle(one);
              const seen = style.outlineStyle !== "none" || style.boxShadow !== "none";
              return [one.getAttribute("aria-label") ?? one.textContent.trim(), seen,
                      one === document.body];
            }"""
        )
        if told[2]:
            break
        assert told[1], f"{told[0]} does not show that it has the focus"
        reached.append(told[0])
        page.keyboard.press("Tab")
    assert "Stop My session" in reached
    assert "JupyterLab" in reached
    assert "Name of a new session" in reached or "Add session" in reached


def test_a_dialog_takes_the_focus_and_gives_it_back(portal: Watched, state: State) -> None:
    page = portal.open(portal.base)
    stop = page.get_by_role("button", name="Stop My session")
    stop.focus()
    page.keyboard.press("Enter")
    seen(page, lambda: page.evaluate("document.activeElement.closest('dialog') !== null"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(stop).to_be_focused()
    assert state.changes == []
