"""What plugins show at the head of a session, within JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from support.installation import Installation
from support.person import START_TIMEOUT_MS, Person

pytestmark = pytest.mark.e2e


def test_jupyterlab_shows_the_time_that_is_left_and_the_gauges(
    visit: Callable[[str], Person], installation: Installation
) -> None:
    person = visit("header")
    person.log_in(installation.add_user("header"))
    person.start_session()
    frame = person.page.locator("#juliabox-session-head iframe")
    expect(frame).to_be_visible(timeout=START_TIMEOUT_MS)
    head = frame.content_frame
    expect(head.locator(".jb-sh-clock")).to_contain_text("stops in")
    expect(head.get_by_role("meter", name="Memory")).to_be_visible()
    box = frame.bounding_box()
    assert box is not None and 100 < box["width"] < 500 and box["height"] < 40
    person.screenshot("session-head")
