"""What people do with the source of a published API, in Chromium on the preview."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from playwright.sync_api import Route, expect

from juliabox_services.api.engine_contract import Checked
from juliabox_services.api.models import Fault
from support import api_samples
from support.api_page_steps import PATH, line_of_cursor, open_tab, sent, source_of, write
from support.portal_browsing import Watched, seen
from support.portal_preview import State

pytestmark = pytest.mark.browser


def test_the_source_is_coloured_and_can_be_left_by_keyboard(portal: Watched) -> None:
    page = open_tab(portal, "source")
    words, wanted = page.locator(".cm-keyword"), {"using", "function", "for", "end"}
    seen(page, lambda: wanted <= set(words.all_inner_texts()))
    expect(page.locator(".cm-comment").first).to_contain_text("# beyond that")
    page.locator(".CodeMirror-code").first.click()
    expect(page.locator(".CodeMirror-focused")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Functions to publish")).to_be_focused()


def test_a_version_is_saved_with_what_was_written(portal: Watched, state: State) -> None:
    page = open_tab(portal, "source")
    write(page, "cube(x) = x^3\n")
    page.get_by_label("Functions to publish").fill("cube, fib")
    page.get_by_label("Access").select_option("listed")
    page.get_by_label("Users", exact=True).fill("emmy, grace")
    page.get_by_text("Limits and answers").click()
    page.get_by_label("Seconds for a call").fill("2.5")
    page.get_by_label("Memory, MiB").fill("256")
    page.get_by_label("image/png").check()
    page.get_by_label("What is new").fill("cubes")
    with page.expect_response(lambda one: one.request.method == "PUT"):
        page.get_by_role("button", name="Publish version 4").click()
    body = sent(state, "PUT", PATH)
    options = body.pop("options")
    assert body == {
        "source": "cube(x) = x^3\n",
        "functions": ["cube", "fib"],
        "note": "cubes",
        "after": 3,
    }
    assert isinstance(options, dict)
    assert (options["timeout"], options["memory"]) == (2.5, 256 * 1024**2)
    assert (options["users"], options["groups"]) == (["emmy", "grace"], ["course-2026"])
    assert options["content"] == ["image/png"]
    expect(page.get_by_role("status").filter(has_text="Version 4 answers now.")).to_be_visible()
    expect(page.get_by_role("button", name="Publish version 5")).to_be_visible()


def test_who_publishes_what_is_there_already_is_told_so(portal: Watched, state: State) -> None:
    page = open_tab(portal, "source")
    state.unchanged = True
    told = page.get_by_role("status")
    same = "Nothing is new: version 3 has this source and these settings"
    page.get_by_role("button", name="Publish version 4").click()
    expect(told.filter(has_text=f"{same}, and answers.")).to_be_visible()
    state.api = api_samples.api_page(stopped="owner")
    page.get_by_role("button", name="Publish version 4").click()
    expect(told.filter(has_text=f"{same}; calls are refused")).to_be_visible()
    write(page, "mine(x) = x\n")
    state.unchanged = False
    page.get_by_role("button", name="Publish version 4").click()
    expect(told.filter(has_text="Version 4 is saved")).to_be_visible()


def test_a_fault_of_the_source_is_told_at_its_line(portal: Watched, state: State) -> None:
    page = open_tab(portal, "source")
    state.refused = (400, api_samples.REFUSAL)
    page.get_by_role("button", name="Publish version 4").click()
    problem = page.locator("#problem")
    expect(problem).to_contain_text("missing comma or )")
    expect(problem).to_contain_text("source.syntax")
    expect(problem.get_by_label("What it printed")).to_contain_text("loading")
    expect(page.locator(".jb-line-note")).to_contain_text("missing comma or )")
    expect(page.locator(".jb-bad-line")).to_have_count(1)
    problem.get_by_role("button", name="Line 7").click()
    seen(page, lambda: line_of_cursor(page) == 6)
    state.refused = None
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".jb-line-note")).to_have_count(0)


def test_a_check_shows_what_programs_could_call(portal: Watched, state: State) -> None:
    page = open_tab(portal, "source")
    page.get_by_role("button", name="Check").click()
    told = page.locator("#problem")
    expect(told).to_contain_text("product(one::Vector, other::Vector; scale::Real=…)")
    expect(told).to_contain_text("halves(…)")
    state.checked = Checked(code="source.missing", message="There is no function half.")
    page.get_by_role("button", name="Check").click()
    expect(told).to_contain_text("There is no function half. source.missing")
    fault = Fault(code="api.starting", message="There is no room for a container now.")
    state.refused = (503, fault)
    page.get_by_role("button", name="Check").click()
    expect(told).to_contain_text("There is no room for a container now. api.starting")


def test_what_somebody_writes_stays_while_the_page_looks_again(
    portal: Watched, state: State
) -> None:
    page = open_tab(portal, "source")
    write(page, "mine(x) = x\n")
    state.api = api_samples.api_page(newest=9, active=9)
    with page.expect_response(f"**/{PATH}"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("button", name="Publish version 10")).to_be_visible()
    assert source_of(page) == "mine(x) = x\n"
    fault = Fault(code="api.conflict", message="There is version 9 by now.")
    state.refused = (409, fault)
    page.get_by_role("button", name="Publish version 10").click()
    expect(page.locator("#problem")).to_contain_text("There is version 9 by now.")
    assert sent(state, "PUT", PATH)["after"] == 3


def test_the_source_is_that_of_the_version_that_answers_also_after_a_way_back(
    portal: Watched, state: State
) -> None:
    page = open_tab(portal, "source")
    assert source_of(page) == api_samples.SOURCE
    detail = state.api.detail
    assert detail is not None
    summary = replace(detail.summary, active=2)
    options = replace(detail.version.options, access="token")
    version = replace(detail.version, version=2, source="older(x) = x\n", options=options)
    state.api = replace(state.api, detail=replace(detail, summary=summary, version=version))
    with page.expect_response(f"**/{PATH}"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_label("Access")).to_have_value("token")
    seen(page, lambda: source_of(page) == "older(x) = x\n")
    with page.expect_response(lambda one: one.request.method == "PUT"):
        page.get_by_role("button", name="Publish version 4").click()
    body = sent(state, "PUT", PATH)
    assert (body["source"], body["after"]) == ("older(x) = x\n", 3)


def test_what_somebody_writes_while_a_version_is_being_saved_stays(
    portal: Watched, state: State
) -> None:
    page = open_tab(portal, "source")
    write(page, "first(x) = x\n")
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "PUT":
            held.append(route)
        else:
            route.continue_()

    page.route(f"**/{PATH}", hold)
    with page.expect_request(lambda one: one.method == "PUT"):
        page.get_by_role("button", name="Publish version 4").click()
    write(page, "second(x) = x\n")
    seen(page, lambda: held)
    held.pop().continue_()
    expect(page.get_by_role("button", name="Publish version 5")).to_be_visible()
    assert sent(state, "PUT", PATH)["source"] == "first(x) = x\n"
    assert source_of(page) == "second(x) = x\n"
    page.unroute_all()
    state.changes.clear()
    with page.expect_response(lambda one: one.request.method == "PUT"):
        page.get_by_role("button", name="Publish version 5").click()
    body = sent(state, "PUT", PATH)
    assert (body["source"], body["after"]) == ("second(x) = x\n", 4)


def test_who_was_overtaken_is_told_by_whom_and_may_go_on(portal: Watched, state: State) -> None:
    page = open_tab(portal, "source")
    write(page, "mine(x) = x\n")
    changed = {"code": "api.changed", "message": "There is version 4 meanwhile"}
    state.refused = (409, changed)
    state.api = api_samples.api_page(newest=4)
    state.api.detail.versions.append(  # type: ignore[union-attr]  # it is published
        replace(api_samples.versions()[0], version=4, saved_by="emmy")
    )
    page.get_by_role("button", name="Publish version 4").click()
    told = page.locator("#problem")
    expect(told).to_contain_text("Version 4 was saved by emmy meanwhile")
    expect(told).to_contain_text("What you wrote is still here")
    assert source_of(page) == "mine(x) = x\n"
    state.refused = None
    state.changes.clear()
    with page.expect_response(lambda one: one.request.method == "PUT"):
        page.get_by_role("button", name="Publish version").click()
    body = sent(state, "PUT", PATH)
    assert (body["source"], body["after"]) == ("mine(x) = x\n", 4)


@pytest.mark.parametrize("code", ["portal.login", "http.403"])
def test_whose_log_in_has_ended_is_told_to_keep_what_was_written(
    portal: Watched, state: State, code: str
) -> None:
    page = open_tab(portal, "source")
    write(page, "mine(x) = x\n")
    state.refused = (403, {"code": code, "message": "Log in first"})
    page.get_by_role("button", name="Publish version 4").click()
    expect(page.locator("#problem")).to_contain_text("Log in first. Copy what you wrote")


def test_a_long_source_leaves_the_buttons_near(portal: Watched) -> None:
    page = open_tab(portal, "source")
    editor = "document.querySelector('.CodeMirror').CodeMirror"
    page.evaluate(f"{editor}.setValue('f(x) = x\\n'.repeat(2000))")
    assert page.evaluate("document.documentElement.scrollHeight / innerHeight") < 4
    page.evaluate(f"{editor}.setCursor(1999, 0)")
    expect(page.locator(".CodeMirror-linenumber").filter(has_text="1999")).to_be_in_viewport()


def test_a_version_of_an_api_that_is_stopped_is_not_said_to_answer(
    portal: Watched, state: State
) -> None:
    state.api = api_samples.api_page(stopped="owner")
    page = open_tab(portal, "source")
    write(page, "mine(x) = x\n")
    page.get_by_role("button", name="Publish version 4").click()
    expect(page.get_by_text("calls are refused until it is started")).to_be_visible()


def test_names_with_spaces_stay_whole(portal: Watched, state: State) -> None:
    detail = state.api.detail
    assert detail is not None
    users, groups = ["Ada Lovelace", "emmy"], ['the "second" year', "a,b"]
    options = replace(detail.version.options, users=users, groups=groups)
    detail = replace(detail, version=replace(detail.version, options=options))
    state.api = replace(state.api, detail=detail)
    page = open_tab(portal, "source")
    field = page.get_by_label("Users", exact=True)
    expect(field).to_have_value('"Ada Lovelace" emmy')
    field.fill('"Ada Lovelace", emmy grace')
    with page.expect_response(lambda one: one.request.method == "PUT"):
        page.get_by_role("button", name="Publish version 4").click()
    sent_options = sent(state, "PUT", PATH)["options"]
    assert isinstance(sent_options, dict)
    assert sent_options["users"] == ["Ada Lovelace", "emmy", "grace"]
    assert sent_options["groups"] == groups
