"""From the log-in to the first result: straight, and compressed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Response, expect

from support.installation import Installation
from support.person import START_TIMEOUT_MS, Person

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

#: Bytes from which a file of JupyterLab is worth to be compressed.
LARGE = 1500


@pytest.fixture(scope="module")
def password(installation: Installation) -> str:
    return installation.add_user("noether")


@pytest.fixture
def noether(visit: Callable[[str], Person], password: str) -> Iterator[Person]:
    """Somebody who logs in and does nothing else."""
    person = visit("noether")
    person.listen()
    person.log_in(password)
    person.await_lab()
    yield person


def scripts(answers: list[Response]) -> list[Response]:
    """Return the answers that are JupyterLab's own, its extensions' among them."""
    ours = re.compile(r"/user/noether/(static/lab|lab/extensions)/.*\.(js|css)(\?|$)")
    return [one for one in answers if ours.search(one.url) and one.status == 200]


def test_a_log_in_leads_to_a_notebook_whose_first_cell_answers(noether: Person) -> None:
    addresses = [one.url for one in noether.answers if one.request.is_navigation_request()]
    assert not [one for one in addresses if "/hub/home" in one or "/portal/home" in one]
    status = noether.page.locator("#jp-main-statusbar")
    expect(status).to_contain_text("Julia | Idle", timeout=START_TIMEOUT_MS)
    cell = noether.notebook.locator(".jp-CodeCell").first
    cell.locator(".cm-content").click()
    noether.page.keyboard.press("Shift+Enter")
    expect(cell.locator(".jp-OutputArea")).to_contain_text("55", timeout=START_TIMEOUT_MS)
    noether.screenshot("first-result")


def test_jupyterlab_comes_compressed_and_is_kept_by_the_browser(noether: Person) -> None:
    found = scripts(noether.answers)
    assert len(found) > 30
    for one in found:
        headers = one.headers
        if int(headers.get("content-length", 0)) > LARGE:
            assert headers.get("content-encoding") == "gzip", one.url
        named_by_content = re.search(r"[.-][0-9a-f]{16,}\.", one.url)
        assert ("immutable" in headers["cache-control"]) == bool(named_by_content), one.url
        assert headers["content-type"].startswith(("application/javascript", "text/")), one.url
