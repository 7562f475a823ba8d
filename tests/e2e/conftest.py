"""A person who uses real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright

from support.installation import Installation
from support.person import Person
from support.quiet_chromium import quiet_chromium


@pytest.fixture(scope="session")
def quiet(installation: Installation, driver: Playwright) -> Iterator[Browser]:
    """Chromium that does not notice which containers come and go, and drops nothing for it.

    After each start there is a new warm container, while JupyterLab loads.
    """
    with quiet_chromium(installation.url, driver) as browser:
        yield browser


@pytest.fixture
def visit(
    quiet: Browser, installation: Installation, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Person]]:
    """Return a function that opens a fresh browser profile for a person of a name."""
    pages: list[Page] = []
    folder: Path | None = request.config.getoption("--screenshots")

    def open_profile(name: str) -> Person:
        context = quiet.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
        context.set_default_timeout(45_000)
        page = context.new_page()
        pages.append(page)
        return Person(page, name, installation, folder)

    yield open_profile
    for page in pages:
        page.context.close()
