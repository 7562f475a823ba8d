"""Opening pages while containers come and go on the machine."""

from __future__ import annotations

from playwright.sync_api import Error, Page, Response

#: Chromium drops what is under way whenever an interface of the host appears or goes, as with
#: every container that starts or ends.
_DROPPED = "ERR_NETWORK_CHANGED"
_TRIES = 5


def visit(page: Page, url: str) -> Response | None:
    """Open an address, once more whenever the host's interfaces changed meanwhile."""
    for _ in range(_TRIES - 1):
        try:
            return page.goto(url)
        except Error as error:
            if _DROPPED not in error.message:
                raise
    return page.goto(url)
