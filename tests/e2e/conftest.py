"""Real Chromium, and a person who uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from support.installation import Installation
from support.person import Person

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the distribution's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS
        )
        yield chromium
        chromium.close()


@pytest.fixture
def visit(
    browser: Browser, installation: Installation, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Person]]:
    """Return a function that opens a fresh browser profile for a person of a name."""
    pages: list[Page] = []
    folder: Path | None = request.config.getoption("--screenshots")

    def open_profile(name: str) -> Person:
        context = browser.new_context(
            viewport={"width": 1280, "height": 800}, accept_downloads=True
        )
        context.set_default_timeout(45_000)
        page = context.new_page()
        pages.append(page)
        return Person(page, name, installation, folder)

    yield open_profile
    for page in pages:
        page.context.close()
