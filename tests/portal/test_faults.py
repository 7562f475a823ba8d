"""Hub, manager and database away: the pages say so with a code, and come back by themselves."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from juliabox_services.portal.models import PAGES
from support.portal_stand import PREFIX, Guest, PortalStand
from support.visitor import add_person


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalStand]:
    """A portal of this module's own, whose neighbours go away."""
    with PortalStand(tmp_path_factory.mktemp("shaken")) as running:
        yield running


@pytest.fixture(scope="module")
def chief(shaken: PortalStand) -> Guest:
    """Its admin, logged in before anything goes away."""
    return Guest(shaken).enter("admin")


def database(stand: PortalStand) -> Path:
    return stand.folder / "portal" / "plugins" / "rdbms" / "juliabox.sqlite"


def test_a_hub_that_is_away_is_told_with_503_and_a_code_and_nobody_is_logged_out(
    shaken: PortalStand, chief: Guest
) -> None:
    assert shaken.hub is not None
    shaken.kill(shaken.hub)
    # who has just been seen is known; what the hub must be asked is not
    answer = chief.api("GET", "tokens")
    assert (answer.status_code, answer.json()["code"]) == (503, "portal.hub")
    assert answer.headers["Retry-After"]
    stranger = Guest(shaken)
    stranger.http.cookies = chief.http.cookies
    stranger.http.cookies.set("jupyterhub-session-id", "another", path="/")
    page = stranger.http.get(PREFIX, headers={"Sec-Fetch-Mode": "navigate"})
    assert page.status_code == 503
    assert "portal.hub" in page.text
    assert "Traceback" not in page.text
    stranger.http.cookies.delete("jupyterhub-session-id", path="/")
    shaken.start_hub()
    shaken.await_ready()

    def entered() -> Guest | None:
        try:
            return Guest(shaken).enter("admin")
        except AssertionError:
            return None  # the portal takes the hub for away for a moment longer

    shaken.wait_for(entered)


def test_a_manager_that_is_away_leaves_the_pages_of_people_open_and_says_so(
    shaken: PortalStand,
) -> None:
    password = add_person(shaken, "ada")
    ada, chief = Guest(shaken).enter("ada", password), Guest(shaken).enter("admin")
    shaken.manager.away = True
    try:
        shaken.wait_for(lambda: "manager" in ada.api("GET", "home").json()["degraded"])
        assert ada.open().status_code == 200

        def refused() -> bool:
            answer = chief.api("GET", "admin/sessions")
            return answer.status_code == 503 and answer.json()["code"] == "portal.manager"

        shaken.wait_for(refused)
        page = chief.open("admin/sessions")
        assert page.status_code == 503
        assert "portal.manager" in page.text
        assert "Traceback" not in page.text
        overview = chief.api("GET", "admin/overview")
        assert overview.status_code == 200
        assert "manager" in overview.json()["degraded"]
        assert chief.open("admin/instances").status_code == 200
    finally:
        shaken.manager.away = False
    shaken.wait_for(lambda: chief.api("GET", "admin/sessions").status_code == 200)


def test_a_database_that_is_away_is_told_and_costs_no_session(shaken: PortalStand) -> None:
    assert shaken.portal is not None
    shaken.kill(shaken.portal)
    held = sqlite3.connect(database(shaken))
    held.execute("PRAGMA locking_mode=EXCLUSIVE")
    held.execute("BEGIN EXCLUSIVE")
    shaken.restart_portal()
    chief = Guest(shaken).enter("admin")
    answer = chief.api("GET", "admin/usage")
    assert (answer.status_code, answer.json()["code"]) == (503, "portal.database")
    page = chief.open("admin/failures")
    assert page.status_code == 503
    assert "portal.database" in page.text
    assert "Traceback" not in page.text
    assert chief.open().status_code == 200
    assert chief.api("GET", "archive").json()["usage"]["code"] == "portal.database"
    assert chief.api("POST", "servers/start", json={}).status_code == 202
    held.close()
    tomorrow = (datetime.now(UTC).date() + timedelta(days=1)).isoformat()
    path = f"admin/usage?to={tomorrow}"

    def counted() -> bool:
        answer = chief.api("GET", path)
        return (
            answer.status_code == 200
            and sum(one["sessions"] for one in answer.json()["points"]) > 0
        )

    shaken.wait_for(counted)


def test_a_portal_that_was_killed_records_what_happened_meanwhile_once(
    shaken: PortalStand,
) -> None:
    chief = Guest(shaken).enter("admin")
    password = add_person(shaken, "bob")
    assert shaken.portal is not None
    shaken.kill(shaken.portal)
    for _ in range(2):
        assert shaken.api("POST", "/users/bob/server", json={}).status_code in {201, 202}
        shaken.wait_for(
            lambda: shaken.api("GET", "/users/bob").json()["servers"].get("", {}).get("ready")
        )
        shaken.wait_for(lambda: shaken.api("DELETE", "/users/bob/server").status_code in {202, 204})
        shaken.wait_for(lambda: not shaken.api("GET", "/users/bob").json()["servers"])
    shaken.restart_portal()
    chief = Guest(shaken).enter("admin")

    def rows() -> list[str]:
        text = chief.api("GET", "admin/usage.csv").text
        found = [line for line in text.splitlines() if ",bob," in line]
        return found if len(found) >= 2 else []

    found = shaken.wait_for(rows)
    assert len({line.partition(",")[0] for line in found}) == len(found) == 2
    assert Guest(shaken).enter("bob", password).open().status_code == 200


@pytest.fixture(scope="module")
def alone(shaken: PortalStand) -> Guest:
    """An admin whose portal has lost hub and manager."""
    made = Guest(shaken).enter("admin")
    assert shaken.hub is not None
    shaken.manager.away = True
    shaken.kill(shaken.hub)
    return made


@pytest.mark.parametrize("name", [info.name for info in PAGES.values() if info.name != "api"])
def test_no_page_shows_a_trace_while_everything_but_the_portal_is_away(
    alone: Guest, name: str
) -> None:
    path = f"{PREFIX}{PAGES[name].route}"
    page = alone.http.get(path, headers={"Sec-Fetch-Mode": "navigate"})
    assert page.status_code in {200, 503}, page.text
    assert "Traceback" not in page.text
    if page.status_code == 503:
        assert "portal." in page.text
