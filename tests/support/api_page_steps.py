"""What a person does on the pages of published APIs, in Chromium on the preview."""

from __future__ import annotations

from uuid import uuid4

from playwright.sync_api import Page, expect

from support.portal_browsing import Watched
from support.portal_preview import XSRF, State

PATH = "api/apis/ada/sums"


def open_tab(portal: Watched, tab: str) -> Page:
    """Open ada's sums at a tab."""
    # the query lets the page load: a change of the fragment alone does not
    page = portal.open(f"{portal.base}apis/ada/sums?{uuid4().hex}#{tab}")
    expect(page.locator(f"#{tab}")).to_be_visible()
    return page


def sent(state: State, method: str, path: str) -> dict[str, object]:
    """Return the body of the one request of a method to a path."""
    found = [one for one in state.changes if one[:2] == (method, path)]
    assert len(found) == 1, state.changes
    assert found[0][3] == XSRF
    body: dict[str, object] = found[0][2]
    return body


def source_of(page: Page) -> str:
    """Return what the editor has, which comes after its page."""
    return str(page.locator(".CodeMirror").evaluate("one => one.CodeMirror.getValue()"))


def line_of_cursor(page: Page) -> int:
    """Return where the editor's cursor is; the first line is 0."""
    return int(page.locator(".CodeMirror").evaluate("one => one.CodeMirror.getCursor().line"))


def write(page: Page, text: str) -> None:
    """Replace what the editor has, as somebody who types."""
    page.locator(".CodeMirror-code").first.click()
    expect(page.locator(".CodeMirror-focused")).to_be_visible()  # a moment after the click
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)
