"""What an admin does on the portal's pages, in Chromium on the preview."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from playwright.sync_api import Browser, Page, Response, expect

from juliabox_services.portal import models_admin as a
from support import portal_preview, portal_samples
from support.portal_browsing import Watched, seen, watched
from support.portal_preview import XSRF, State

pytestmark = pytest.mark.browser

#: How many colours a canvas shows.
COLOURS = """canvas => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] > 200) colours.add(`${data[at]},${data[at + 1]},${data[at + 2]}`);
  return colours.size;
}"""


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Watched]:
    context = browser.new_context(reduced_motion="reduce", timezone_id="UTC", locale="en-GB")
    with watched(context) as opened:
        yield opened
    context.close()


@pytest.fixture
def admin(preview: tuple[str, State], window: Watched, state: State) -> Watched:
    window.base = f"{preview[0]}admin/"
    return window


def first_cells(page: Page) -> list[str]:
    """Return the first column of the table."""
    return page.locator("#table tbody td:first-child").all_inner_texts()


def names(page: Page) -> list[str]:
    """Return the names in the first column."""
    return [one.split("\n")[0] for one in first_cells(page)]


def asked(answer: Response) -> dict[str, str]:
    """Return the query of a request."""
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.url).query).items()}


def asking(name: str, **query: str) -> Callable[[Response], bool]:
    """Return what tells the answer to a request for a page's data with these in its query."""

    def matches(answer: Response) -> bool:
        path = urlsplit(answer.url).path
        return path.endswith(f"/api/admin/{name}") and query.items() <= asked(answer).items()

    return matches


@pytest.mark.parametrize("plot", ["Sessions", "People", "Hours", "Load: sessions"])
def test_plots_are_drawn_and_told_in_words(plot: str, admin: Watched) -> None:
    page = admin.open(f"{admin.base}usage")
    picture = page.locator(f'.jb-plot[aria-label^="Plot: {plot}"]')
    expect(picture).to_have_count(1)
    label = picture.get_attribute("aria-label") or ""
    assert "at most" in label and "latest" in label
    canvas = picture.locator("canvas")
    seen(admin.page, lambda: canvas.evaluate(COLOURS) > 2)


def test_plots_follow_the_theme_and_the_width(admin: Watched) -> None:
    page = admin.open(f"{admin.base}usage")
    first = page.locator(".jb-plot canvas").first
    before = first.evaluate("canvas => canvas.toDataURL()")
    page.get_by_role("button", name="Switch between light and dark").click()
    seen(page, lambda: first.evaluate("canvas => canvas.toDataURL()") != before)
    page.set_viewport_size({"width": 420, "height": 800})
    seen(page, lambda: first.evaluate("canvas => canvas.clientWidth") < 400)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.evaluate("localStorage.clear()")


def test_a_range_is_chosen_and_the_same_one_is_exported(admin: Watched) -> None:
    page = admin.open(f"{admin.base}usage")
    # beside those that the page asks for again by itself
    with page.expect_response(asking("usage", by="week")) as heard:
        page.get_by_role("button", name="1 year").click()
    query = asked(heard.value)
    expect(page.get_by_role("button", name="1 year")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("heading", name="Sessions by week")).to_be_visible()
    link = page.get_by_role("link", name="CSV").get_attribute("href") or ""
    exported = {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}
    assert urlsplit(link).path.endswith("/api/admin/usage.csv")
    assert exported == {"by": "week", "from": query["from"], "to": query["to"]}


def test_figures_of_a_plot_can_be_read_as_a_table(admin: Watched) -> None:
    page = admin.open(f"{admin.base}usage")
    page.get_by_text("Figures", exact=True).first.click()
    table = page.get_by_role("table", name="Sessions by day")
    points = portal_samples.usage().points
    expect(table.get_by_role("row")).to_have_count(len(points) + 1)
    expect(table.get_by_role("row").last.get_by_role("cell")).to_have_text(str(points[-1].sessions))


def test_people_are_searched_sorted_and_paged_by_the_service(admin: Watched) -> None:
    page = admin.open(f"{admin.base}users")
    with page.expect_response(asking("users", search="ada")):
        page.get_by_label("Search users").fill("ada")
    with page.expect_response(asking("users", search="ada", sort="last_activity")):
        page.get_by_role("button", name="Last activity").click()
    head = page.get_by_role("columnheader", name="Last activity")
    expect(head).to_have_attribute("aria-sort", "ascending")
    with page.expect_response(asking("users", offset="50", limit="50")):
        page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("link", name="1 waiting for approval")).to_be_visible()


def test_plugins_are_filtered_and_sorted_in_the_page(admin: Watched) -> None:
    page = admin.open(f"{admin.base}plugins")
    page.get_by_role("button", name="Name").click()
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute(
        "aria-sort", "ascending"
    )
    seen(page, lambda: names(page) == sorted(names(page)))
    page.get_by_role("button", name="Name").click()
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute(
        "aria-sort", "descending"
    )
    page.get_by_label("Search plugins").fill("bucketstore.s3")
    expect(page.locator("#table tbody tr")).to_have_count(1)
    assert first_cells(page) == ["s3"]
    page.get_by_label("Search plugins").fill("no such thing")
    expect(page.get_by_text("Nothing matches")).to_be_visible()


def test_a_fault_of_a_plugin_is_told_with_its_code_and_its_part(admin: Watched) -> None:
    page = admin.open(f"{admin.base}plugins")
    row = page.get_by_role("row").filter(has_text="campus-mail")
    expect(row).to_contain_text("server: Field required")
    expect(row).to_contain_text("plugin.settings (hub)")


def test_a_session_of_somebody_is_stopped_after_a_question(admin: Watched, state: State) -> None:
    page = admin.open(f"{admin.base}sessions")
    page.get_by_role("button", name="Stop barbara thesis").click()
    with page.expect_response("**/api/admin/sessions/stop"):
        page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    sent = ("POST", "api/admin/sessions/stop", {"owner": "barbara", "server": "thesis"}, XSRF)
    assert state.changes == [sent]


def test_a_table_tells_that_it_may_be_old(admin: Watched, state: State) -> None:
    page = admin.open(f"{admin.base}users")
    state.fault = (503, "portal.hub", "JuliaBox's hub does not answer; try again in a moment.")
    page.get_by_label("Search users").fill("x")
    notice = page.get_by_role("alert").filter(has_text="What you see may be old.")
    expect(notice).to_contain_text("portal.hub")
    assert len(first_cells(page)) == len(portal_samples.USERS)
    state.fault = None
    page.get_by_label("Search users").fill("")
    expect(notice).to_have_count(0)


def test_a_message_is_previewed_published_shown_and_taken_away(
    admin: Watched, state: State
) -> None:
    page = admin.open(f"{admin.base}message")
    page.get_by_label("Message", exact=True).fill("<b>Upgrade</b> at noon: https://example.org/why")
    page.get_by_label("Kind").select_option("Outage")
    page.get_by_label("Until").fill("2030-01-02T03:04")
    expect(page.locator("#preview")).to_contain_text("<b>Upgrade</b> at noon")
    with page.expect_response("**/api/admin/message"):
        page.get_by_role("button", name="Publish").click()
    method, path, body, token = state.changes[0]
    assert (method, path, token) == ("PUT", "api/admin/message", XSRF)
    assert body == {
        "text": "<b>Upgrade</b> at noon: https://example.org/why",
        "level": "danger",
        "until": 1893553440,
    }
    admin.open(f"{admin.base}users")
    shown = page.get_by_role("complementary", name="Message of the day")
    expect(shown).to_contain_text("<b>Upgrade</b> at noon")
    expect(shown.get_by_role("link")).to_have_attribute("href", "https://example.org/why")
    admin.open(f"{admin.base}message")
    page.get_by_role("button", name="Take away").click()
    with page.expect_response("**/api/admin/message"):
        page.get_by_role("dialog").get_by_role("button", name="Take away").click()
    assert state.message.text == ""
    expect(page.get_by_role("button", name="Take away")).to_be_hidden()


def test_a_message_that_was_hidden_stays_hidden_until_there_is_another(
    admin: Watched, state: State
) -> None:
    page = admin.open(f"{admin.base}users")
    shown = page.get_by_role("complementary", name="Message of the day")
    shown.get_by_role("button", name="Hide this message").click()
    admin.open(f"{admin.base}tasks")
    expect(shown).to_be_hidden()
    state.message = msgspec.structs.replace(state.message, text="Another", written=1.0)
    admin.open(f"{admin.base}tasks")
    expect(shown).to_contain_text("Another")


def test_the_configuration_is_found_by_key_and_shows_what_was_set(admin: Watched) -> None:
    page = admin.open(f"{admin.base}configuration")
    listing = page.locator(".jb-listing")
    expect(listing).to_contain_text("password: (hidden)")
    page.get_by_label("only what the operator set").check()
    expect(listing).not_to_contain_text("idle_timeout")
    expect(listing).to_contain_text("admin: ada")
    page.get_by_label("only what the operator set").uncheck()
    page.get_by_label("Find a key").fill("sessions.idle")
    expect(listing).to_have_text("idle_timeout: 3600")


def test_who_may_see_one_page_alone_is_offered_that_page_alone(
    admin: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portal_preview, "ADMIN_PAGES", ["usage"])
    page = admin.open(f"{admin.base}usage")
    menu = page.get_by_role("navigation", name="Admin")
    expect(menu.get_by_role("link")).to_have_text(["Usage"])
    assert (page.get_by_role("link", name="Admin").get_attribute("href") or "").endswith("usage")
    monkeypatch.setattr(portal_preview, "ADMIN_PAGES", [])
    admin.open(admin.base.removesuffix("admin/"))
    expect(page.get_by_role("link", name="Admin")).to_have_count(0)


@pytest.mark.parametrize(
    ("name", "nothing", "told"),
    [
        ("failures", a.Failures(failures=[]), "Nothing went wrong"),
        ("tasks", a.Tasks(tasks=[]), "No tasks"),
        ("plugins", a.Plugins(plugins=[]), "No plugins"),
        ("volumes", a.Volumes(volumes=[], total=0), "No volumes yet"),
        ("sessions", a.Sessions(sessions=[], total=0), "Nobody is in a session"),
        ("instances", a.Instances(instances=[]), "No instances are known"),
        ("configuration", a.Configuration(text=""), "The configuration is not known"),
        ("overview", a.Overview(degraded="The manager does not answer."), "does not answer"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_an_installation_with_nothing_in_it_says_so(
    name: str, nothing: object, told: str, admin: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(portal_preview.DATA, name, lambda: nothing)
    page = admin.open(admin.base + (name if name != "overview" else ""))
    expect(page.get_by_text(told)).to_be_visible()
    assert admin.complaints == []


def test_usage_without_accounting_says_what_is_missing(
    admin: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "No plugin records usage: enable `usage`."
    nothing = a.Usage(by="day", first="2026-01-01", last="2026-01-14", points=[], missing=why)
    monkeypatch.setattr(portal_samples, "usage", lambda *_: nothing)
    page = admin.open(f"{admin.base}usage")
    expect(page.get_by_text(why)).to_be_visible()
    assert admin.complaints == []


def test_on_a_phone_the_menus_open_and_rows_can_be_sorted(admin: Watched) -> None:
    page = admin.page
    page.set_viewport_size({"width": 390, "height": 844})
    admin.open(f"{admin.base}plugins")
    expect(page.get_by_role("link", name="Usage")).to_be_hidden()
    page.get_by_role("button", name="Plugins (admin pages)").click()
    expect(page.get_by_role("link", name="Usage")).to_be_visible()
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("link", name="Log out")).to_be_visible()
    page.get_by_label("Sort by").select_option("name desc")
    seen(page, lambda: names(page) == sorted(names(page), reverse=True))
    page.set_viewport_size({"width": 1280, "height": 720})
