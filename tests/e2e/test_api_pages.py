"""Publishing in the portal of a whole installation: real Chromium, real containers, real Julia."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from support.api_page_steps import write
from support.installation import Installation
from support.person import Person

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

PORTAL = "/services/portal/"
LOAD_MS = 60_000
NAME = "portal-sums"

FIRST = """\
"The n-th Fibonacci number."
function fib(n::Integer)
    println("asked for $n")
    a, b = big(0), big(1)
    for _ in 1:n
        a, b = b, a + b
    end
    a
end
"""
BROKEN = FIRST.replace("for _ in 1:n", "for _ in 1:n)")
SECOND = FIRST.replace("    a\nend", "    -a\nend")


def call(page: Page, value: str, told: str) -> None:
    """Try ``fib``, and wait until the page shows an answer that matches a pattern."""
    page.get_by_role("tab", name="Call").click()
    page.get_by_label("n::Integer").fill(value)
    page.get_by_role("button", name="Call", exact=True).click()
    answer = page.get_by_role("region", name="Answer")
    expect(answer).to_contain_text(re.compile(told), timeout=LOAD_MS)


def test_a_function_is_published_tried_mended_and_rolled_back(
    visit: Callable[[str], Person], installation: Installation
) -> None:
    admin = visit("admin")
    page = admin.page
    admin.go(f"{PORTAL}apis")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password", exact=True).fill(installation.admin_password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{PORTAL}apis")
    page.wait_for_selector("html[data-ready]", state="attached")
    page.get_by_label("Name of a new API").fill(NAME)
    page.get_by_role("button", name="New API").click()
    page.wait_for_url(f"**{PORTAL}apis/admin/{NAME}")
    page.wait_for_selector("html[data-ready]", state="attached")

    write(page, BROKEN)
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".jb-line-note")).to_be_visible(timeout=LOAD_MS)
    expect(page.locator("#problem")).to_contain_text("source.syntax")
    write(page, FIRST)
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.get_by_role("tab", name="Call")).to_be_visible(timeout=LOAD_MS)
    call(page, "30", "832040")
    admin.screenshot("portal-api-call")
    call(page, "word", r"api\.arguments")

    page.get_by_role("tab", name="Source").click()
    write(page, SECOND)
    page.get_by_role("button", name="Publish version 2").click()
    expect(page.get_by_text("Version 2 answers now.")).to_be_visible(timeout=LOAD_MS)
    call(page, "30", "-832040")
    page.get_by_role("tab", name="Versions").click()
    page.get_by_role("button", name="Compare version 1").click()
    expect(page.locator(".jb-diff-gone")).to_contain_text("-a")
    page.get_by_role("button", name="Let version 1 answer").click()
    page.get_by_role("dialog").get_by_role("button", name="Let it answer").click()
    expect(page.get_by_text("Version 1 answers now.")).to_be_visible(timeout=LOAD_MS)
    call(page, "30", "(?<!-)832040")

    page.get_by_role("tab", name="Log").click()
    expect(page.locator(".jb-log")).to_contain_text("asked for 30", timeout=LOAD_MS)
    page.get_by_role("tab", name="Use").click()
    expect(page.locator(".jb-plot").first).to_be_visible(timeout=LOAD_MS)
    admin.screenshot("portal-api-use")
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.wait_for_url(f"**{PORTAL}apis")
