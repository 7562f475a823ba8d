"""A window on the portal's pages, and all that these complain of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import BrowserContext, Page

from support.browsing import visit

_DROPPED = "ERR_NETWORK_CHANGED"

#: Says in the console what the page's policy refused.
_POLICY = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


class Watched:
    """One window."""

    def __init__(self, page: Page) -> None:
        self.page = page
        #: Address that a test opens pages below.
        self.base = ""
        #: Errors and warnings of the console, and errors that no script caught.
        self.complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, message: object) -> None:
        kind, text = message.type, message.text  # type: ignore[attr-defined]
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def open(self, url: str, *, ready: bool = True) -> Page:
        """Open a page and wait until its script has drawn it.

        Chromium drops what it loads whenever a container comes or goes on the machine: then again.
        """
        for _ in range(5):
            self.complaints.clear()
            answer = visit(self.page, url)
            if ready and not any(_DROPPED in one for one in self.complaints):
                self.page.wait_for_selector("html[data-ready]", state="attached")
            self.page.wait_for_load_state("load")
            expected = answer is not None and answer.status >= 400
            if expected:
                # Chromium itself tells of the status
                self.complaints = [one for one in self.complaints if "status of" not in one]
            if not any(_DROPPED in one for one in self.complaints):
                break
        return self.page


def seen(page: Page, true: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait until something is true that no locator tells, while the page goes on.

    Not by a script that waits in the page: its policy forbids that.
    """
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        page.wait_for_timeout(50)


@contextmanager
def watched(context: BrowserContext) -> Iterator[Watched]:
    """Yield a window of a browser's context."""
    context.add_init_script(_POLICY)
    page = context.new_page()
    try:
        yield Watched(page)
    finally:
        page.close()
