"""How fast the portal answers when there is much to show, and what its open pages cost the hub.

Pages are asked in turns, not one page many times: so the answers that the portal keeps for a
moment are as old as they are when people look around.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import httpx

from benchmarks.costs import process_cpu
from benchmarks.figures import Limit, Outcome, percentile
from benchmarks.filled_portal import FilledPortal, Filling, filled_portal
from benchmarks.rounds import Rounds
from juliabox_services.portal.models import PAGES
from support.portal_stand import PREFIX, Guest

#: Median in milliseconds that no page may be over.
MOST = 100.0
WARM_UP = 3
#: Admins who open page after page while the health page is timed, and seconds of it.
CLIENTS = 8
SECONDS = 15.0
#: Seconds between two questions of an open first page (``home.js``), and seconds of watching.
REFRESH = 4.0
WATCH = 32.0


@dataclass(frozen=True)
class Address:
    """Something to ask for: who asks, what it is called, and the next address of it."""

    who: str
    title: str
    following: Iterator[str]
    #: What nobody asked before, so that nothing that is kept helps.
    unusual: bool = False
    times: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median in milliseconds."""
        return statistics.median(self.times)

    def line(self) -> str:
        """Return one row of the results' table."""
        numbers = (self.median, percentile(self.times, 0.95), max(self.times))
        return f"| {self.title} | {self.who} | {' | '.join(f'{one:.0f}' for one in numbers)} |"


@dataclass(frozen=True)
class Result:
    """All that was measured of one portal."""

    filling: Filling
    rounds: int
    addresses: list[Address]
    #: Milliseconds that the health page took, and pages that were served each second meanwhile.
    health: list[float]
    pages: float
    #: Of open first pages: milliseconds of an answer; and what each second of them cost.
    refreshes: list[float]
    to_hub: float
    to_manager: float
    hub_cpu: float
    portal_cpu: float

    @property
    def limit(self) -> Limit:
        """No usual question may be over the limit."""
        usual = [one for one in self.addresses if not one.unusual]
        slow = [one for one in usual if one.median > MOST] or [
            max(usual, key=lambda one: one.median)
        ]
        found = "; ".join(f"{one.title} ({one.who}): {one.median:.0f} ms" for one in slow)
        met = all(one.median <= MOST for one in usual)
        return Limit("Portal: median of each page", f"at most {MOST:.0f} ms", found, met)

    def outcome(self) -> Outcome:
        """Return the results for the page."""
        filling = self.filling
        method = (
            f"{filling.users:,} people, {filling.rows:,} rows of usage in 30 days with a sample of "
            f"the load every five minutes, and {filling.sessions} running sessions; the database "
            "is SQLite. Hub, proxy and portal are the real ones, the manager is the tests' own. "
            f"One client asks through the proxy, {self.rounds} times for each address, in turns "
            "with all others. The last two ask each time for what nobody asked before."
        )
        notes = ["\n".join(self._table()), self._health(), self._open_pages()]
        return Outcome("portal", "Portal", method, limits=[self.limit], notes=notes)

    def _table(self) -> list[str]:
        return [
            "| address | asked by | median, ms | 95%, ms | longest, ms |",
            "| --- | --- | --- | --- | --- |",
            *[one.line() for one in self.addresses],
        ]

    def _health(self) -> str:
        return (
            f"While {CLIENTS} admins open one page after the other ({self.pages:.0f} pages a "
            "second), the health page, asked without the proxy, takes "
            f"{statistics.median(self.health):.1f} ms at the median, "
            f"{percentile(self.health, 0.99):.0f} ms at the 99th percentile and "
            f"{max(self.health):.0f} ms at most ({len(self.health)} requests)."
        )

    def _open_pages(self) -> str:
        return (
            f"{self.filling.sessions} people with the first page open, whose gauges are asked for "
            f"every {REFRESH:.0f} seconds, are answered in "
            f"{statistics.median(self.refreshes):.0f} ms at the median "
            f"({percentile(self.refreshes, 0.99):.0f} ms at the 99th percentile) and cost "
            f"{self.to_hub:.1f} requests a second to the hub ({100 * self.hub_cpu:.0f}% of a "
            f"core), {self.to_manager:.1f} to the manager, and {100 * self.portal_cpu:.0f}% of a "
            "core in the portal."
        )


def measure_portal(rounds: Rounds) -> Outcome:
    """Fill a portal and measure it."""
    filling = Filling()
    with filled_portal(filling) as portal:
        addresses = _addresses(portal)
        guests = {"an admin": portal.admin, "a person": portal.person}
        for turn in range(WARM_UP + rounds.pages):
            for one in addresses:
                took = _ask(guests[one.who], next(one.following))
                if turn >= WARM_UP:
                    one.times.append(took)
        health, pages = asyncio.run(_health(portal))
        refreshes, *costs = asyncio.run(_open_pages(portal))
    found = Result(filling, rounds.pages, addresses, health, pages, refreshes, *costs)
    return found.outcome()


def _addresses(portal: FilledPortal) -> list[Address]:
    """Return every page and its data, for those who may open it, and two harder questions."""
    found = []
    for info in PAGES.values():
        for who in ("an admin",) if info.admin else ("an admin", "a person"):
            api = f"{info.api}/" if info.name == "session" else info.api
            found.append(Address(who, f"page {info.name}", itertools.repeat(info.route)))
            found.append(Address(who, f"`{info.api}`", itertools.repeat(api)))
    other = "`api/admin/usage`, each time of another range"
    found.append(Address("an admin", other, _ranges(), unusual=True))
    other = "`api/admin/users`, each time from another place, by activity"
    found.append(Address("an admin", other, _places(portal.filling.users), unusual=True))
    return found


def _ranges() -> Iterator[str]:
    today = datetime.now(UTC).date()
    for number in itertools.count():
        first: date = today - timedelta(days=365 + number)
        yield f"api/admin/usage?from={first.isoformat()}&by=week"


def _places(users: int) -> Iterator[str]:
    for number in itertools.count():
        yield f"api/admin/users?sort=last_activity&order=desc&offset={37 * number % users}"


def _ask(guest: Guest, path: str) -> float:
    """Return the milliseconds of one request, as a browser sends it."""
    headers = {"Sec-Fetch-Mode": "navigate"}
    if path.startswith("api/"):
        headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
        headers["X-XSRFToken"] = guest.xsrf
    began = time.perf_counter()
    answer = guest.http.get(f"{PREFIX}{path}", headers=headers)
    took = 1000 * (time.perf_counter() - began)
    if answer.status_code != 200:
        raise RuntimeError(f"{path}: {answer.status_code}: {answer.text[:300]}")
    return took


async def _health(portal: FilledPortal) -> tuple[list[float], float]:
    """Time the health page while admins open pages; return that, and pages a second."""
    routes = itertools.cycle(info.route for info in PAGES.values() if info.admin)
    until = time.perf_counter() + SECONDS
    opened = 0

    async def admin(http: httpx.AsyncClient) -> None:
        nonlocal opened
        while time.perf_counter() < until:
            url = f"{portal.stand.url}{PREFIX}{next(routes)}"
            answer = await http.get(url, headers={"Sec-Fetch-Mode": "navigate"})
            answer.raise_for_status()
            opened += 1

    took: list[float] = []
    url = f"http://127.0.0.1:{portal.stand.portal_port}{PREFIX}health"
    # a thread of its own: what is timed is the portal's event loop, not this one
    probe = asyncio.create_task(asyncio.to_thread(_probe, url, until, took))
    async with httpx.AsyncClient(cookies=portal.admin.http.cookies, timeout=30) as http:
        await asyncio.gather(*(admin(http) for _ in range(CLIENTS)), probe)
    return took, opened / SECONDS


def _probe(url: str, until: float, took: list[float]) -> None:
    with httpx.Client(timeout=30) as http:
        while time.perf_counter() < until:
            began = time.perf_counter()
            http.get(url).raise_for_status()
            took.append(1000 * (time.perf_counter() - began))
            time.sleep(0.02)


async def _open_pages(portal: FilledPortal) -> tuple[list[float], float, float, float, float]:
    """Let people have the first page open; return times of answers, and costs by the second."""
    stand = portal.stand
    took: list[float] = []

    async def open_page(http: httpx.AsyncClient, number: int, until: float) -> None:
        await asyncio.sleep(REFRESH * number / len(portal.tokens))
        headers = {"Authorization": f"token {portal.tokens[number]}", "Sec-Fetch-Mode": "cors"}
        while time.perf_counter() < until:
            began = time.perf_counter()
            answer = await http.get(f"{stand.url}{PREFIX}api/home", headers=headers)
            answer.raise_for_status()
            took.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(REFRESH)

    async def all_pages(seconds: float) -> None:
        until = time.perf_counter() + seconds
        async with httpx.AsyncClient(timeout=30) as http:
            await asyncio.gather(
                *(open_page(http, number, until) for number in range(len(portal.tokens)))
            )

    await all_pages(2 * REFRESH)
    took.clear()
    assert stand.hub is not None and stand.portal is not None
    readers: list[Callable[[], float]] = [
        lambda: _asked_of_hub(portal),
        lambda: float(len(stand.manager.verbs)),
        lambda: process_cpu(stand.hub.pid),  # type: ignore[union-attr]
        lambda: process_cpu(stand.portal.pid),  # type: ignore[union-attr]
    ]
    before, began = [read() for read in readers], time.perf_counter()
    await all_pages(WATCH)
    seconds = time.perf_counter() - began
    hub, manager, hub_cpu, portal_cpu = (
        (read() - old) / seconds for read, old in zip(readers, before, strict=True)
    )
    return took, hub, manager, hub_cpu, portal_cpu


def _asked_of_hub(portal: FilledPortal) -> float:
    """Return how many requests the hub's API has answered."""
    text = portal.stand.api("GET", "/../metrics").text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("jupyterhub_request_duration_seconds_count{")
    )
