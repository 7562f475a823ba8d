"""What all tests share: the order of the run, one real installation, databases, and Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from support.browsing import CHROMIUM, CHROMIUM_FLAGS
from support.dynalite_server import dynalite
from support.installation import Installation
from support.postgres import Postgres

ROOT = Path(__file__).resolve().parent.parent


#: What has one of these marks has the machine to itself.
ALONE = ("alone", "engine", "e2e")


@pytest.hookimpl(trylast=True)  # after those that give marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the fast tests first, those on the engine next, those in the browser last."""

    def weight(item: pytest.Item) -> int:
        if item.get_closest_marker("e2e"):
            return 2
        return 1 if item.get_closest_marker("engine") else 0

    items.sort(key=weight)
    if part := config.getoption("--part"):
        of_part, others = [], []
        for item in items:
            alone = any(item.get_closest_marker(mark) for mark in ALONE)
            (of_part if alone == (part == "alone") else others).append(item)
        items[:] = of_part
        config.hook.pytest_deselected(items=others)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of this suite."""
    parser.addoption(
        "--screenshots", type=Path, default=None, help="keep screenshots of pages in this folder"
    )
    parser.addoption(
        "--part",
        choices=("together", "alone"),
        help="only what may run beside other tests, or only what must not; both without it",
    )


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """Bring up an installation of this run's own, and take away all of it afterwards."""
    # one warm container: enough for a session that was warm, and little work in the background
    pool = {"rule": "fixed", "size": 1}
    # what tests call of published functions is more than one caller would; and none waits long
    # for a source that never loads
    apis = {"rate": 1_000_000, "load_timeout": 15}
    with Installation.fresh(ROOT, pool=pool, apis=apis) as running:
        yield running


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    """Start what drives browsers; there is one for all of a run."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(driver: Playwright) -> Iterator[Browser]:
    """Start the distribution's Chromium."""
    chromium = driver.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
    yield chromium
    chromium.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def dynalite_address() -> Iterator[str]:
    with dynalite() as address:
        yield address
