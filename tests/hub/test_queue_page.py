"""The page of a start that waits, in a browser, while the hub is killed and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from support.browsing import visit
from support.hub_stand import HubStand
from support.visitor import add_person

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_the_page_tells_the_place_and_survives_a_hub_that_is_restarted(
    tmp_path: Path, browser: Browser
) -> None:
    with HubStand(tmp_path, idle_timeout=0) as stand, browser.new_context() as context:
        stand.manager.capacity = 0
        password = add_person(stand, "ada")
        page = context.new_page()
        page.clock.install()
        visit(page, f"{stand.url}/hub/login?next=%2Fhub%2Fspawn")
        page.fill("input[name=username]", "ada")
        page.fill("input[name=password]", password)
        page.click("[type=submit]")
        message = page.locator("#progress-message")
        expect(message).to_contain_text("You are number 1 in the queue.", timeout=60_000)
        assert stand.hub is not None
        stand.kill(stand.hub)
        # the proxy keeps the stream of events open: only its silence tells
        page.clock.fast_forward(21_000)
        expect(message).to_contain_text("This page waits for it", timeout=60_000)
        stand.start_hub()
        stand.await_ready()
        page.clock.fast_forward(3_000)
        expect(page.locator("h1")).to_contain_text("not running", timeout=60_000)
