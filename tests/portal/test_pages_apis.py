"""What people do with published APIs on the portal's pages, in Chromium on the preview."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from juliabox_services.api.models import Bucket, Stats
from juliabox_services.portal.models_apis import MyApis
from support import api_samples, portal_preview
from support.api_page_steps import PATH, line_of_cursor, open_tab, sent, source_of
from support.portal_browsing import Watched, seen
from support.portal_preview import State

pytestmark = pytest.mark.browser

#: Whether a plot has anything in its first colour.
DRAWN = """(place) => {
  const canvas = document.querySelectorAll("#plots canvas")[place];
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--jb-plot-1").trim();
  const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const near = (at) => wanted.every((one, part) => Math.abs(data[at + part] - one) < 12);
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 150 && near(at)) return true;
  return false;
}"""


def test_an_address_leads_to_a_tab_and_a_tab_to_an_address(portal: Watched) -> None:
    page = open_tab(portal, "call")
    page.get_by_role("tab", name="Versions").click()
    expect(page.locator("#versions")).to_be_visible()
    expect(page).to_have_url(re.compile("#versions$"))  # it is told when the tab is shown
    page.evaluate("location.hash = '#tokens'")
    expect(page.locator("#tokens")).to_be_visible()
    page.evaluate("location.hash = '#nothing-of-the-kind'")
    expect(page.locator("#tokens")).to_be_visible()


def test_ones_own_apis_and_those_of_others_are_listed(portal: Watched) -> None:
    page = portal.open(f"{portal.base}apis")
    own = page.get_by_role("region", name="Yours")
    expect(own.get_by_role("article")).to_have_count(3)
    expect(own.get_by_role("article", name="sums")).to_contain_text(
        "18,204 calls in 24 h, 12 failed"
    )
    stopped = own.get_by_role("article", name="a-name-that-is-as-long")
    expect(stopped).to_contain_text("stopped by an admin")
    others = page.get_by_role("region", name="Of others")
    expect(others.get_by_role("link")).to_have_text(["emmy/primes", "grace/maps"])
    expect(page.get_by_role("link", name="APIs", exact=True)).to_have_attribute(
        "aria-current", "page"
    )


def test_a_new_api_gets_a_name_that_addresses_can_carry(portal: Watched, state: State) -> None:
    page = portal.open(f"{portal.base}apis")
    name = page.get_by_label("Name of a new API")
    for wrong in ("Sums", "9lives", "a b", "-x"):
        name.fill(wrong)
        assert name.evaluate("field => field.checkValidity()") is False, wrong
    state.api = api_samples.new_page()
    name.fill("fresh")
    page.get_by_role("button", name="New API").click()
    page.wait_for_url("**/apis/ada/fresh")
    page.wait_for_selector("html[data-ready]", state="attached")
    expect(page.get_by_text("not published yet")).to_be_visible()
    expect(page.get_by_role("tab")).to_have_text(["Source"])
    assert source_of(page).startswith('"The n-th Fibonacci number."')
    page.get_by_label("Access").select_option("public")
    with page.expect_response(lambda one: one.request.method == "PUT"):
        page.get_by_role("button", name="Publish", exact=True).click()
    body = sent(state, "PUT", "api/apis/ada/fresh")
    assert (body["functions"], body["after"]) == (["fib"], 0)
    assert body["options"]["access"] == "public"  # type: ignore[index]
    expect(page.get_by_role("tab", name="Call")).to_be_visible()


def test_somebody_who_may_neither_publish_nor_call_is_told_why(
    portal: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(portal_preview.DATA, "my-apis", lambda: MyApis(available=True))
    page = portal.open(f"{portal.base}apis")
    expect(page.get_by_text("they give the role api-publisher")).to_be_visible()
    expect(page.get_by_role("button", name="New API")).to_have_count(0)
    monkeypatch.setitem(portal_preview.DATA, "my-apis", MyApis)
    portal.open(f"{portal.base}apis")
    expect(page.get_by_text("has not turned them on")).to_be_visible()


def test_a_function_is_tried_with_its_arguments(portal: Watched, state: State) -> None:
    page = open_tab(portal, "call")
    expect(page.get_by_text("The n-th Fibonacci number, of any size.")).to_be_visible()
    page.get_by_label("n::Integer").fill("30")
    page.get_by_role("button", name="Call", exact=True).click()
    answer = page.get_by_role("region", name="Answer")
    expect(answer).to_contain_text("832040")
    expect(answer).to_contain_text("200")
    assert sent(state, "POST", f"{PATH}/try/fib") == {"arguments": ["30"], "keywords": {}}
    command = page.get_by_label("Command")
    expect(command).to_contain_text("/services/api/ada/sums/fib/30'")
    expect(command).to_contain_text("Authorization: token $TOKEN")
    assert portal.complaints == []


def test_texts_lists_and_keywords_are_given_as_they_are_written(
    portal: Watched, state: State
) -> None:
    page = open_tab(portal, "call")
    page.get_by_label("Function", exact=True).select_option("product")
    page.get_by_label("one::Vector").fill("[1, 2.50, 12345678901234567890]")
    page.get_by_label("other::Vector").fill("a word")
    page.get_by_label("scale::Real").fill("2")
    # before the call, too
    expect(page.get_by_label("Command")).to_contain_text("?scale=2'")
    page.get_by_role("button", name="Call", exact=True).click()
    assert sent_after(page, state, f"{PATH}/try/product") == {
        "arguments": ["[1, 2.50, 12345678901234567890]", '"a word"'],
        "keywords": {"scale": "2"},
    }
    expect(page.get_by_label("Command")).to_contain_text("-d '[[1, 2.50, 12345678901234567890]")


def sent_after(page: Page, state: State, path: str) -> dict[str, object]:
    expect(page.get_by_role("region", name="Answer")).to_be_visible()
    return sent(state, "POST", path)


def test_any_number_of_arguments_and_a_picture(portal: Watched, state: State) -> None:
    page = open_tab(portal, "call")
    page.get_by_label("Function", exact=True).select_option("halves")
    further = page.get_by_label("Further arguments")
    further.fill("{")
    assert further.evaluate("field => field.checkValidity()") is False
    further.fill('[1, "a"]')
    page.get_by_role("button", name="Call", exact=True).click()
    assert sent_after(page, state, f"{PATH}/try/halves")["arguments"] == ["1", '"a"']
    picture = page.get_by_role("img", name="The picture that the function gave")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 1)  # it is read after it is there
    assert portal.complaints == []


def test_an_error_of_a_function_leads_to_its_line(portal: Watched) -> None:
    page = open_tab(portal, "call")
    page.get_by_label("n::Integer").fill("-1")
    page.get_by_role("button", name="Call", exact=True).click()
    answer = page.get_by_role("region", name="Answer")
    expect(answer).to_contain_text("n must be within 0 and 10000")
    answer.get_by_role("button", name="fib, line 7").click()
    expect(page.locator("#source")).to_be_visible()
    seen(page, lambda: line_of_cursor(page) == 6)


def test_the_address_is_copied(portal: Watched) -> None:
    page = open_tab(portal, "call")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status").filter(has_text="Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").endswith("/services/api/ada/sums/")


def test_what_an_admin_stopped_its_owner_can_neither_start_nor_remove(
    portal: Watched, state: State
) -> None:
    state.admin = False
    state.api = api_samples.api_page(stopped="admin")
    page = open_tab(portal, "call")
    for name in ("Start", "Remove"):
        button = page.get_by_role("button", name=name, exact=True)
        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", "An admin stopped it")


def test_a_description_of_many_lines_does_not_fill_the_list(
    portal: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = api_samples.summary(publisher="emmy", description="much\n" * 800)
    monkeypatch.setitem(portal_preview.DATA, "my-apis", lambda: MyApis(available=True, own=[long]))
    page = portal.open(f"{portal.base}apis")
    place = page.get_by_role("article", name="sums").bounding_box()
    assert place is not None and place["height"] < 400


def test_on_a_narrow_screen_the_tab_that_an_address_leads_to_is_seen(portal: Watched) -> None:
    window = portal.page.viewport_size
    portal.page.set_viewport_size({"width": 390, "height": 844})
    page = open_tab(portal, "tokens")
    expect(page.get_by_role("tab", name="Tokens")).to_be_in_viewport(ratio=0.9)
    portal.page.set_viewport_size(window)  # type: ignore[arg-type]


def test_versions_are_compared_and_rolled_back(portal: Watched, state: State) -> None:
    page = open_tab(portal, "versions")
    items = page.locator("#version-list li")
    expect(items).to_have_count(3)
    expect(items.first).to_contain_text("Version 3")
    expect(items.first).to_contain_text("answers")
    page.get_by_role("button", name="Compare version 2").click()
    found = page.get_by_role("region", name="From version 3 to version 2")
    gone = found.locator(".jb-diff-gone")
    expect(gone).to_have_count(2)
    expect(gone.first).to_contain_text("10_000")
    expect(found.locator(".jb-diff-new")).to_contain_text("1_000")
    expect(found.locator(".jb-diff-gap").first).to_be_visible()
    expect(found).to_contain_text("timeout: null → 5")
    page.get_by_role("button", name="Let version 2 answer").click()
    with page.expect_response("**/activate"):
        page.get_by_role("dialog").get_by_role("button", name="Let it answer").click()
    assert sent(state, "POST", f"{PATH}/activate") == {"version": 2}


def test_the_log_follows_and_can_be_held_to_failures(portal: Watched, state: State) -> None:
    page = open_tab(portal, "log")
    lines = page.locator(".jb-log-line")
    expect(lines).to_have_count(4)
    expect(lines.first).to_contain_text("DomainError with -1")
    expect(lines.first).to_contain_text("500")
    page.get_by_label("failures alone").check()
    expect(lines).to_have_count(1)
    with page.expect_response("**/log?after=1795907927281697&limit=*"):
        pass  # the next look is for what came later
    asked = f"{PATH.removeprefix('api/apis/')}/log"
    before = state.fetched[asked]
    page.get_by_role("tab", name="Tokens").click()
    expect(page.locator("#tokens")).to_be_visible()
    page.wait_for_timeout(1500)  # what was under way has come
    held = state.fetched[asked]
    assert held >= before
    page.wait_for_timeout(4500)
    assert state.fetched[asked] == held


def test_use_is_drawn_and_told_in_words(portal: Watched) -> None:
    page = open_tab(portal, "use")
    calls = page.locator('.jb-plot[aria-label^="Plot: Calls in 15 minutes"]')
    expect(calls).to_have_count(1)
    assert "at most" in (calls.get_attribute("aria-label") or "")
    expect(page.locator("#now")).to_have_text("3 calls under way, 2 containers")
    expect(page.locator('.jb-plot[aria-label*="Median at most"]')).to_have_count(1)
    with page.expect_response("**/stats?hours=168"):
        page.get_by_role("button", name="1 week").click()
    expect(page.get_by_role("heading", name="Calls in 2 hours")).to_be_visible()
    assert portal.complaints == []


def test_the_first_calls_of_an_api_are_seen_in_both_plots(
    portal: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    minute = Bucket(time=time.time() // 60 * 60, calls=7, p50=0.02, p95=0.04)
    one = Stats(buckets=[minute], containers=1, outstanding=0)
    monkeypatch.setattr(api_samples, "stats", lambda _: one)
    page = open_tab(portal, "use")
    expect(page.locator("#plots canvas")).to_have_count(2)
    for place in (0, 1):
        page.wait_for_function(DRAWN, arg=place)


def test_a_token_of_the_api_is_made_and_shown_once(portal: Watched, state: State) -> None:
    page = open_tab(portal, "tokens")
    expect(page.locator("#token-list")).to_contain_text("nightly run on the laptop")
    page.get_by_label("What it is for").fill("shop")
    page.get_by_role("button", name="Make a token").click()
    expect(page.get_by_label("The new token")).to_have_value("jbx-of-this-api-alone")
    assert sent(state, "POST", f"{PATH}/tokens") == {"note": "shop", "expires_in": 2592000}


def test_an_api_is_stopped_started_and_removed_after_a_question(
    portal: Watched, state: State
) -> None:
    page = open_tab(portal, "call")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert state.changes == []
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.get_by_text("stopped", exact=True)).to_be_visible()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.wait_for_url("**/services/portal/apis")
    assert state.changes[-1][:2] == ("DELETE", PATH)


def test_who_is_no_publisher_any_more_stops_what_is_hers_and_is_shown_no_other_way(
    portal: Watched, state: State
) -> None:
    state.api = api_samples.api_page(publisher=False)
    page = open_tab(portal, "source")
    expect(page.get_by_role("note")).to_contain_text("You are no publisher any more")
    assert source_of(page) == api_samples.SOURCE
    for name in ("Publish", "Check", "Remove", "Let version"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.get_by_role("tab", name="Versions").click()
    expect(page.get_by_role("button", name="Compare version").first).to_be_visible()
    expect(page.get_by_role("button", name="Let version")).to_have_count(0)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("until an admin starts it again")
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    assert sent(state, "POST", f"{PATH}/stop") == {}
    assert portal.complaints == []


def test_somebody_else_sees_how_to_call_it_and_nothing_to_change(
    portal: Watched, state: State
) -> None:
    state.api = api_samples.api_page(mine=False)
    page = portal.open(f"{portal.base}apis/ada/sums")
    expect(page.get_by_role("tab")).to_have_text(["Call", "Tokens"])
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    assert page.locator("script[src*=codemirror]").count() == 0
    assert portal.complaints == []


def test_an_engine_that_is_away_is_told_over_what_is_known(portal: Watched, state: State) -> None:
    page = open_tab(portal, "call")
    state.fault = (503, "portal.engine", "JuliaBox's engine of APIs does not answer.")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#degraded")).to_contain_text("What you see may be old.")
    state.fault = None
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#degraded")).to_be_hidden()


def test_an_admin_stops_the_api_of_somebody(portal: Watched, state: State) -> None:
    page = portal.open(f"{portal.base}admin/apis")
    row = page.get_by_role("row").filter(has_text="ada/sums")
    expect(row).to_contain_text("18,204")
    expect(page.get_by_role("region", name="Changes")).to_contain_text("ada · save · ada/sums")
    page.get_by_role("button", name="Stop ada/sums").click()
    with page.expect_response("**/stop"):
        page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    assert sent(state, "POST", f"{PATH}/stop") == {}
    page.get_by_role("button", name="Start ada/a-name").click()
    expect(page.get_by_role("status").filter(has_text="answers calls again")).to_be_visible()


def test_an_admin_is_asked_before_what_somebody_removed_left_goes_to_who_has_the_name(
    portal: Watched, state: State
) -> None:
    page = portal.open(f"{portal.base}admin/apis")
    expect(page.get_by_role("row").filter(has_text="noether/left")).to_contain_text(
        "publisher removed"
    )
    page.get_by_role("button", name="Start noether/left").click()
    asked = page.get_by_role("dialog")
    expect(asked).to_contain_text("Whoever is called noether now gets it with its source")
    assert not state.changes
    asked.get_by_role("button", name="Start").click()
    expect(page.get_by_role("status").filter(has_text="noether/left answers")).to_be_visible()
    assert sent(state, "POST", "api/apis/noether/left/start") == {}
