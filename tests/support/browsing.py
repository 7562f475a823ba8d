"""Opening pages while containers come and go on the machine."""

from __future__ import annotations

from playwright.sync_api import Error, Page, Request, Response

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: Chromium drops what is under way whenever an interface of the host appears or goes, as with
#: every container that starts or ends.
_DROPPED = "ERR_NETWORK_CHANGED"
_TRIES = 5


def visit(page: Page, url: str) -> Response | None:
    """Open an address, once more whenever the host's interfaces changed meanwhile.

    So that a page whose scripts were dropped is not taken for one that does not work.
    """
    dropped: list[str] = []

    def note(request: Request) -> None:
        if _DROPPED in (request.failure or ""):
            dropped.append(request.url)

    page.on("requestfailed", note)
    try:
        for _ in range(_TRIES - 1):
            dropped.clear()
            try:
                answer = page.goto(url)
            except Error as error:
                # the second is what a page that was dropped still does to the next
                if _DROPPED not in error.message and "chrome-error:" not in error.message:
                    raise
                continue
            if not dropped:
                return answer
        return page.goto(url)
    finally:
        page.remove_listener("requestfailed", note)
