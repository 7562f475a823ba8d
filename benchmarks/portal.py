"""Seconds of the portal's pages with 1,000 users, 10,000 rows of usage and 50 sessions.

A real hub, proxy and portal on loopback; the manager behind them is the tests' fake. Run alone:
``python -m benchmarks.portal``.
"""

from __future__ import annotations

import random
import secrets
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from juliabox_ext.plugin import PluginContext  # noqa: E402
from juliabox_manager import protocol as p  # noqa: E402
from juliabox_plugins.rdbms import Rdbms  # noqa: E402
from juliabox_plugins.usage import Usage  # noqa: E402
from juliabox_services.portal.models import PAGES  # noqa: E402
from support.portal_stand import PREFIX, Guest, PortalStand  # noqa: E402  (no package)

USERS, ROWS, SESSIONS = 1000, 10_000, 50
ROUNDS = 25


@dataclass(frozen=True)
class Timed:
    """Seconds of one page, through the proxy, in the order in which they were measured."""

    page: str
    seconds: list[float]

    def line(self) -> str:
        """Return one row of the results' table."""
        ordered = sorted(self.seconds)
        middle, high = statistics.median(ordered), ordered[int(0.95 * len(ordered))]
        return f"| {self.page} | {1000 * middle:.0f} ms | {1000 * high:.0f} ms |"


def fill(stand: PortalStand) -> None:
    """Add people, past sessions of 90 days, and sessions that run."""
    names = [f"person{number:04}" for number in range(USERS)]
    for first in range(0, USERS, 50):
        body = {"usernames": names[first : first + 50]}
        stand.api("POST", "/users", json=body).raise_for_status()
    limits = p.Limits(memory=2**30, cpu=1.0, pids=256, disk=2**30)
    for name in names[:SESSIONS]:
        session, now = secrets.token_hex(8), time.time()
        stand.manager.volumes.add(name)
        stand.manager.sessions[session] = p.SessionInfo(
            session, name, "", "running", "juliabox/julia", "", limits, "c" * 64, "127.77.0.1",
            8888, now - 600, False,
        )  # fmt: skip


def past_sessions(folder: Path) -> None:
    """Write the rows of usage where the portal's plugins find them."""
    folder.mkdir(parents=True)
    database = Rdbms(PluginContext("rdbms", settings=Rdbms.Settings(), folder=folder))
    database.configure()
    usage = Usage(PluginContext("usage", feature=lambda _: database))
    usage.configure()
    chance, now = random.Random(1), datetime.now(UTC)  # no secret
    for _ in range(ROWS):
        start = now - timedelta(seconds=chance.uniform(3600, 90 * 86400))
        owner = f"person{chance.randrange(USERS):04}"
        end = start + timedelta(seconds=chance.uniform(60, 3600))
        usage.record_session_time(secrets.token_hex(8), "juliabox/julia", start, end, owner=owner)
    usage.close()
    database.close()


def measure(rounds: int = ROUNDS) -> list[Timed]:
    """Open every page again and again, in turns, and return their seconds."""
    with tempfile.TemporaryDirectory() as folder:
        stand = PortalStand(Path(folder))
        past_sessions(Path(folder) / "portal" / "plugins" / "rdbms")
        with stand:
            fill(stand)
            admin = Guest(stand).enter("admin")
            seconds: dict[str, list[float]] = {name: [] for name in PAGES}
            for turn in range(rounds + 1):
                for name, info in PAGES.items():
                    path, began = f"{PREFIX}{info.route}", time.perf_counter()
                    answer = admin.http.get(path, headers={"Sec-Fetch-Mode": "navigate"})
                    assert answer.status_code == 200, answer.text
                    if turn:  # the first only warms the caches
                        seconds[name].append(time.perf_counter() - began)
    return [Timed(name, found) for name, found in seconds.items()]


def section(results: list[Timed]) -> list[str]:
    """Return the section of the page of results."""
    return [
        "## Pages of the portal",
        "",
        f"With {USERS:,} users, {ROWS:,} rows of usage and {SESSIONS} running sessions, through",
        f"the proxy, {len(results[0].seconds)} times each, in turns.",
        "",
        "| page | median | 95% within |",
        "| --- | --- | --- |",
        *(one.line() for one in results),
        "",
    ]


if __name__ == "__main__":
    print("\n".join(section(measure())))
