"""What all tests share: the order of the run, one real installation, databases, and Chromium."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from support.browsing import CHROMIUM, CHROMIUM_FLAGS
from support.dynalite_server import dynalite
from support.installation import Installation
from support.postgres import Postgres

ROOT = Path(__file__).resolve().parent.parent

# An input that nobody met before is for the soak to find: it would fail the run of somebody who
# changed nothing. The ordinary run draws the same examples each time, however long it takes.
settings.register_profile(
    "ordinary",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "soak",
    settings.get_profile("ordinary"),
    derandomize=False,
    print_blob=True,
    max_examples=int(os.environ.get("JULIABOX_SOAK_EXAMPLES", "20000")),
)
settings.load_profile("ordinary")

#: Folders whose tests have the machine to themselves: they measure how soon what was killed is
#: back, and have deadlines of fractions of a second.
ALONE = (ROOT / "tests/faults", ROOT / "tests/api/engine")


#: Fixtures that build the images of this checkout, if they are not there.
BUILDING = {"images", "image", "julia_image"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what draws its input; and give time to the first that needs the images.

    Its own limit is for the test alone: on a fresh machine the images take longer than that.
    """
    fixtures = getattr(item, "fixturenames", ())
    if BUILDING & set(fixtures) and item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(func_only=True))
    if is_hypothesis_test(getattr(item, "obj", None)) or "chance" in fixtures:
        item.add_marker("drawn")


@pytest.hookimpl(trylast=True)  # after those that give marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the fast tests first, those on the engine next, those in the browser last.

    What drives the browser leaves a running event loop in its process, and others want their own.
    """

    def weight(item: pytest.Item) -> int:
        if _marked(item, "browser", "e2e"):
            return 2
        return 1 if _marked(item, "engine") else 0

    items.sort(key=weight)
    if part := config.getoption("--part"):
        of_part, others = [], []
        for item in items:
            (of_part if _alone(item) == (part == "alone") else others).append(item)
        items[:] = of_part
        config.hook.pytest_deselected(items=others)


def _marked(item: pytest.Item, *names: str) -> bool:
    return any(item.get_closest_marker(name) for name in names)


def _alone(item: pytest.Item) -> bool:
    """Whether a test has the machine to itself, as all have that share the run's installation."""
    fixtures = getattr(item, "fixturenames", ())
    folder = any(folder in item.path.parents for folder in ALONE)
    return folder or _marked(item, "alone", "e2e") or "installation" in fixtures


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


@pytest.fixture
def chance() -> random.Random:
    """What a test draws by itself: the same in each ordinary run, something else in each soak."""
    # 9 kills early and late, programs and whole containers: see tests/faults
    seed = random.randrange(2**32) if settings.get_current_profile_name() == "soak" else 9
    print(f"seed {seed}")  # shown with a failure
    return random.Random(seed)


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
    # for what never comes: a busy machine draws a page more slowly than the 5 s that are usual
    expect.set_options(timeout=30_000)
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
