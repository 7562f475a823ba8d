"""A portal that is in use: people, their past sessions, and sessions that run.

Hub, proxy, portal, database and plugins are the real ones; the manager alone is the tests' own,
which speaks the real protocol and answers at once.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from juliabox_ext.loads import LOADS
from juliabox_ext.plugin import PluginContext
from juliabox_ext.registry import Registry
from juliabox_ext.selection import PluginSelection
from juliabox_services.portal.records import Records
from support.portal_stand import Guest, PortalStand
from support.visitor import add_person

#: Days that the past covers: as many as the page of usage shows by itself.
DAYS = 30
#: Seconds between two samples of the load, as the portal takes them.
SAMPLE = 300
FAILURES = 300
PLUGINS = PluginSelection(enabled=["rdbms", "usage", "singlenode", "session-head", "configuration"])


@dataclass(frozen=True)
class Filling:
    """How much there is of what."""

    users: int = 1000
    rows: int = 10_000
    sessions: int = 50

    def name(self, number: int) -> str:
        """Return the name of a person."""
        return f"person-{number:04}"


@dataclass(frozen=True)
class FilledPortal:
    """A portal with an admin and a person who are logged in."""

    stand: PortalStand
    filling: Filling
    admin: Guest
    person: Guest
    #: One token for each person whose session runs.
    tokens: list[str]


@contextmanager
def filled_portal(filling: Filling) -> Iterator[FilledPortal]:
    """Run a portal that is filled, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="jbbench-") as folder:
        stand = PortalStand(Path(folder), portal={"plugins": PLUGINS})
        _fill_database(stand.folder / "portal", filling)
        with stand:
            password = _add_people(stand, filling)
            _start_sessions(stand, filling)
            yield FilledPortal(
                stand,
                filling,
                Guest(stand).enter("admin"),
                Guest(stand).enter(filling.name(0), password),
                [_token(stand, filling.name(number)) for number in range(filling.sessions)],
            )


def _fill_database(folder: Path, filling: Filling) -> None:
    """Write the past through the plugins that the portal will read it with."""
    plugins = folder / "plugins"
    plugins.mkdir(mode=0o700)
    context = PluginContext("portal", installation="stand", instance="stand", folder=plugins)
    registry = Registry(PLUGINS, LOADS["portal"], context)
    registry.load()
    try:
        records = Records(registry)
        dice = random.Random(1)
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        usage = records.usage()
        for number in range(filling.rows):
            # within one day, so that each session is one row
            start = today - timedelta(days=1 + number % (DAYS - 1), hours=-dice.uniform(0, 20))
            end = start + timedelta(hours=dice.uniform(0.1, 3.9))
            owner = filling.name(dice.randrange(filling.users))
            usage.record_session_time(f"past-{number}", "juliabox/julia", start, end, owner=owner)
        now = time.time()
        for number in range(DAYS * 86400 // SAMPLE):
            records.add_load(now - number * SAMPLE, dice.randrange(filling.sessions), dice.random())
        for number in range(FAILURES):
            _add_failure(records, number, now - dice.uniform(0, DAYS * 86400), filling)
    finally:
        registry.close()


def _add_failure(records: Records, number: int, when: float, filling: Filling) -> None:
    records.add_failure(
        {
            "day": datetime.fromtimestamp(when, UTC).date().isoformat(),
            "id": f"{number:020d}",
            "time": when,
            "kind": "start",
            "subject": filling.name(number % filling.users),
            "code": "image.not_allowed",
            "message": "image juliabox/other is not one of this installation",
            "instance": "stand",
        }
    )


def _add_people(stand: PortalStand, filling: Filling) -> str:
    """Add all people and return the password of the first."""
    password = add_person(stand, filling.name(0))
    for first in range(1, filling.users, 100):
        names = [filling.name(one) for one in range(first, min(first + 100, filling.users))]
        stand.api("POST", "/users", json={"usernames": names}).raise_for_status()
    return password


def _start_sessions(stand: PortalStand, filling: Filling) -> None:
    for first in range(0, filling.sessions, 10):
        for number in range(first, min(first + 10, filling.sessions)):
            stand.api("POST", f"/users/{filling.name(number)}/server").raise_for_status()
        wanted = min(first + 10, filling.sessions)
        stand.wait_for(lambda wanted=wanted: _running(stand) >= wanted, 60)


def _running(stand: PortalStand) -> int:
    """Return how many sessions the hub has ready."""
    people = stand.api("GET", "/users?state=ready&limit=200").json()
    return sum(server["ready"] for one in people for server in one["servers"].values())


def _token(stand: PortalStand, name: str) -> str:
    body = {"scopes": ["access:services!service=portal", "read:users!user", "read:servers!user"]}
    answer = stand.api("POST", f"/users/{name}/tokens", json=body)
    answer.raise_for_status()
    return str(answer.json()["token"])
