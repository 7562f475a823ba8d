"""Every page of the portal in Chromium: light and dark, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from juliabox_services.portal.models import PAGES
from support import portal_preview
from support.portal_browsing import Watched, watched
from support.portal_routes import address

pytestmark = pytest.mark.browser

ADDRESSES = {name: address(info) for name, info in PAGES.items()} | {"error": "error"}
TABS = ("source", "versions", "log", "use", "tokens")
ADDRESSES |= {f"api-{tab}": f"apis/ada/sums?{tab}#{tab}" for tab in TABS}
SIZES = {"desk": (1280, 800), "phone": (390, 844)}


@pytest.fixture(scope="module")
def preview() -> Iterator[str]:
    with portal_preview.running() as (address, _):
        yield address


@pytest.fixture(scope="module", params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=list(SIZES))
def view(request: pytest.FixtureRequest, theme: str, browser: Browser) -> Iterator[Watched]:
    """Open a window of a theme and a size, and note all that a page complains of."""
    width, height = SIZES[request.param]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
    )
    with watched(context) as window:
        yield window
    context.close()


@pytest.mark.parametrize("name", list(ADDRESSES))
def test_a_page_is_whole_in_every_theme_and_size(
    name: str, preview: str, view: Watched, theme: str, request: pytest.FixtureRequest
) -> None:
    page = view.open(preview + ADDRESSES[name], ready=name != "error")
    assert view.complaints == []
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("data-bs-theme") == theme
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if theme == "light" or page.evaluate("innerWidth > 500"):  # themes differ in colours alone
        assert serious_faults(page) == []
    folder: Path | None = request.config.getoption("--screenshots")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        size = page.evaluate("innerWidth < 500 ? 'phone' : 'desk'")
        page.screenshot(path=folder / f"portal-{name}-{theme}-{size}.png")


def serious_faults(page: Page) -> list[str]:
    """Return what axe-core calls serious or critical."""
    # a frame's own content is not the portal's
    found = Axe().run(
        page, context={"exclude": [["iframe"]]}, options={"resultTypes": ["violations"]}
    )
    return [
        f"{one['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
