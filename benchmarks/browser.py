"""A person's way in real Chromium: from the log-in to the first result of a Julia cell.

Every journey has a browser profile of its own, so nothing is cached. The page itself notes when
something is drawn; Chromium's network events say when each request began, was answered and ended.
"""

from __future__ import annotations

import asyncio
import re
import statistics
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.hubs import Hub
from support.quiet_chromium import quiet_chromium

PATIENCE_MS = 90_000

#: What is looked for in each frame that is drawn, and noted when it is first there.
WATCH = """
(() => {
  const seen = {};
  window.__marks = seen;
  const shown = (selector) => document.querySelector(selector)?.getClientRects().length > 0;
  const text = (selector, part) =>
    (document.querySelector(selector)?.textContent ?? "").includes(part);
  const looks = {
    drawn: () => shown("#jp-main-dock-panel") && !document.getElementById("jupyterlab-splash"),
    notebook: () => shown(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell .cm-content"),
    idle: () => text("#jp-main-statusbar", "Julia | Idle"),
    result: () => text(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output", "55"),
  };
  const look = () => {
    for (const [name, is] of Object.entries(looks)) {
      if (!(name in seen) && is()) seen[name] = performance.timeOrigin + performance.now();
    }
    if (!("result" in seen)) requestAnimationFrame(look);
  };
  if (window.top === window) requestAnimationFrame(look);
})();
"""

#: The steps of a journey, in order: each begins where the one before ends.
STEPS = {
    "log-in": "the form is posted, the password checked, the browser sent on",
    "start": "the session is started and the browser sent to it",
    "way in": "the session asks the hub who comes, and answers with JupyterLab's page",
    "load": "JupyterLab's scripts are fetched, compiled and run until it is drawn",
    "notebook": "the welcome notebook is fetched and drawn",
    "kernel": "from there until Julia is idle",
    "result": "the first cell is run, and its result drawn",
}


@dataclass(frozen=True)
class Request:
    """One request of the browser; times are seconds since the form was posted."""

    method: str
    path: str
    status: int
    kind: str
    began: float
    answered: float
    ended: float
    size: int = 0
    encoding: str = ""
    cached: bool = False


@dataclass(frozen=True)
class Journey:
    """One log-in with a fresh profile; ``ends`` has the end of each step, in seconds."""

    ends: dict[str, float]
    requests: list[Request] = field(repr=False)

    @property
    def total(self) -> float:
        """Seconds from the form being posted to the first result being drawn."""
        return self.ends["result"]

    @property
    def steps(self) -> dict[str, float]:
        """Seconds of each step; their sum is the total."""
        begins = [0.0, *self.ends.values()]
        return {
            name: end - began for (name, end), began in zip(self.ends.items(), begins, strict=False)
        }


def measure_browser(
    hub: Hub, people: Mapping[str, str], before: Callable[[], None] = lambda: None
) -> list[Journey]:
    """Let each of some new people (name to password) come for the first time, one by one.

    Each has a fresh browser profile; nobody may have been there before, since JupyterLab shows
    again what a person had open, nor have a choice of profiles to make. ``before`` is called ahead
    of each, to wait until the pool is full, say; the session is stopped behind each.
    """
    journeys = []
    with (
        sync_playwright() as driver,
        quiet_chromium(hub.url, driver) as browser,
        ThreadPoolExecutor(1) as stopping,
    ):
        for name, password in people.items():
            before()
            journeys.append(journey(browser, hub.url, name, password))
            # Playwright has an event loop in this thread
            stopping.submit(asyncio.run, hub.end(name)).result()
    return journeys


def journey(browser: Browser, url: str, name: str, password: str) -> Journey:
    """Log in, and run the first cell of the notebook that is there when Julia is idle."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    try:
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto(f"{url}/hub/login")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password", exact=True).fill(password)
        network = Network(page)
        page.get_by_role("button", name=re.compile("sign in", re.I)).click(no_wait_after=True)
        _use_lab(page)
        page.wait_for_function("window.__marks.result")
        marks: dict[str, float] = page.evaluate("window.__marks")
        return _journey(network, marks)
    finally:
        context.close()


def _use_lab(page: Page) -> None:
    # not a function that is waited for: the hub's pages forbid to evaluate any
    expect(page.locator("#jp-main-statusbar")).to_contain_text("Julia | Idle", timeout=PATIENCE_MS)
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")


class Network:
    """What the browser asked for since this was made."""

    def __init__(self, page: Page) -> None:
        self.found: list[dict[str, Any]] = []
        self._open: dict[str, dict[str, Any]] = {}
        #: Seconds since the epoch where Chromium's own clock has its zero.
        self.zero = 0.0
        session = page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", self._sent)
        session.on("Network.responseReceived", self._answered)
        session.on("Network.loadingFinished", self._ended)
        session.send("Network.enable")

    def _sent(self, event: dict[str, Any]) -> None:
        self.zero = event["wallTime"] - event["timestamp"]
        name = event["requestId"]
        if "redirectResponse" in event:
            self._answered(
                {
                    "requestId": name,
                    "response": event["redirectResponse"],
                    "timestamp": event["timestamp"],
                }
            )
            self._ended({"requestId": name, "timestamp": event["timestamp"]})
        request = event["request"]
        self._open[name] = {
            "method": request["method"],
            "url": request["url"],
            "kind": event.get("type", "Other"),
            "began": event["timestamp"],
        }

    def _answered(self, event: dict[str, Any]) -> None:
        request = self._open.get(event["requestId"])
        if request is None:
            return
        answer = event["response"]
        request["status"] = answer["status"]
        timing = answer.get("timing")
        request["answered"] = (
            timing["requestTime"] + timing["receiveHeadersEnd"] / 1000
            if timing
            else event["timestamp"]
        )
        request["size"] = answer.get("encodedDataLength", 0)
        request["encoding"] = {k.lower(): v for k, v in answer["headers"].items()}.get(
            "content-encoding", ""
        )
        request["cached"] = bool(answer.get("fromDiskCache") or answer.get("fromPrefetchCache"))

    def _ended(self, event: dict[str, Any]) -> None:
        request = self._open.pop(event["requestId"], None)
        if request is not None and "status" in request:
            request["ended"] = event["timestamp"]
            request["size"] = max(event.get("encodedDataLength", 0), request["size"])
            self.found.append(request)

    def requests(self) -> tuple[float, list[Request]]:
        """Return the moment at which the form was posted, and all requests that have ended."""
        began = next(one["began"] for one in self.found if one["method"] == "POST")
        return began + self.zero, [
            Request(
                one["method"],
                _path(one["url"]),
                one["status"],
                one["kind"],
                one["began"] - began,
                one["answered"] - began,
                one["ended"] - began,
                one["size"],
                one["encoding"],
                one["cached"],
            )
            for one in sorted(self.found, key=lambda one: float(one["began"]))
            if not one["url"].startswith("data:")
        ]


def _path(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + ("?…" if parts.query else "")


def _journey(network: Network, marks: Mapping[str, float]) -> Journey:
    zero, requests = network.requests()
    way = [one for one in requests if one.kind == "Document"]
    page = next(one for one in way if one.status == 200 and "/lab" in one.path)
    # what goes to the session first: its own address, or the one after the hub's
    first = next(one for one in way if one.path.startswith("/user/"))
    ends = {"log-in": way[0].ended, "start": first.began, "way in": page.answered}
    drawn = {"load": "drawn", "notebook": "notebook", "kernel": "idle", "result": "result"}
    for step, mark in drawn.items():
        # a notebook may be drawn behind the splash: then it took no time of its own
        ends[step] = max(marks[mark] / 1000 - zero, *ends.values())
    return Journey(ends, requests)


def medians(journeys: Iterable[Journey]) -> dict[str, tuple[float, float]]:
    """Return the median of each step in seconds, and its share of the medians' sum."""
    every = [one.steps for one in journeys]
    found = {name: statistics.median(one[name] for one in every) for name in STEPS}
    whole = sum(found.values())
    return {name: (seconds, seconds / whole) for name, seconds in found.items()}


def table(journeys: list[Journey]) -> list[str]:
    """Return the steps as a Markdown table."""
    return [
        "| step | what happens | median, s | share |",
        "| --- | --- | --- | --- |",
        *[
            f"| {name} | {STEPS[name]} | {seconds:.2f} | {100 * part:.0f}% |"
            for name, (seconds, part) in medians(journeys).items()
        ],
    ]
