"""What an admin sees and does in the portal, and who else may see a part."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from juliabox_manager import protocol as p
from juliabox_services.portal.models import PAGES
from juliabox_services.portal.usage import cell
from support.portal_stand import PREFIX, Guest, PortalStand, page_of
from support.visitor import add_person

ADMINS = [info.name for info in PAGES.values() if info.admin]


def ran(stand: PortalStand, guest: Guest) -> str:
    """Let a session of a person run and end; return its id."""
    assert guest.api("POST", "servers/start", json={}).status_code == 202
    name = guest.name

    def running() -> str | None:
        found = (one for one in stand.manager.sessions.values() if one.owner == name)
        return next((one.session for one in found if one.state == "running"), None)

    session = str(stand.wait_for(running))
    stand.wait_for(lambda: guest.api("POST", "servers/stop", json={}).status_code == 202)
    return session


@pytest.mark.parametrize("name", ADMINS)
def test_every_page_of_admins_opens_for_an_admin_and_for_nobody_else(
    stand: PortalStand, admin: Guest, name: str
) -> None:
    info = PAGES[name]
    page = admin.open(info.route)
    assert page.status_code == 200, page.text
    assert page_of(page.text)["me"]["admin"] is True
    answer = admin.api("GET", info.api.removeprefix("api/"))
    assert answer.status_code == 200, answer.text
    plain = Guest(stand).enter(f"plain-{name}", add_person(stand, f"plain-{name}"))
    refused = plain.open(info.route)
    assert refused.status_code == 403
    assert "portal.scope" in refused.text
    answer = plain.api("GET", info.api.removeprefix("api/"))
    assert (answer.status_code, answer.json()["code"]) == (403, "portal.scope")


@pytest.mark.parametrize(
    ("role", "pages"),
    [("statistics", {"usage"}), ("containers", {"sessions", "instances", "volumes"})],
)
def test_a_role_opens_its_pages_alone(stand: PortalStand, role: str, pages: set[str]) -> None:
    password = add_person(stand, f"of-{role}")
    body = {"users": [f"of-{role}"]}
    assert stand.api("POST", f"/groups/{role}/users", json=body).status_code == 200
    guest = Guest(stand).enter(f"of-{role}", password)
    assert set(page_of(guest.open().text)["me"]["admin_pages"]) == pages
    opened = {name for name in ADMINS if guest.open(PAGES[name].route).status_code == 200}
    assert opened == pages


def test_people_are_listed_by_page_searched_and_ordered(stand: PortalStand, admin: Guest) -> None:
    for number in range(5):
        add_person(stand, f"listed-{number}")
    answer = admin.api("GET", "admin/users?search=listed-&sort=name&order=desc&offset=1&limit=2")
    found = answer.json()
    assert [one["name"] for one in found["users"]] == ["listed-3", "listed-2"]
    assert (found["total"], found["offset"], found["limit"]) == (5, 1, 2)


@pytest.mark.parametrize(
    "query",
    ["limit=x", "offset=-1", "sort=password", "order=up", "limit=99999999999"],
)
def test_a_query_that_is_none_is_refused(admin: Guest, query: str) -> None:
    answer = admin.api("GET", f"admin/users?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "portal.query")


def test_sessions_of_all_are_shown_with_what_they_use_and_one_is_stopped(
    stand: PortalStand, admin: Guest, person: Callable[[str], Guest]
) -> None:
    guest = person("watched")
    assert guest.api("POST", "servers/start", json={}).status_code == 202

    def seen() -> dict[str, object] | None:
        rows = admin.api("GET", "admin/sessions?search=watched").json()["sessions"]
        return next((one for one in rows if one["memory"]), None)

    row = stand.wait_for(seen)
    assert (row["owner"], row["memory"], row["memory_limit"]) == ("watched", 2**29, 2**30)
    # what was known a moment before may be without it
    stand.wait_for(lambda: admin.api("GET", "admin/volumes?search=watched").json()["total"] == 1)
    body = {"owner": "watched"}
    stand.wait_for(lambda: admin.api("POST", "admin/sessions/stop", json=body).status_code == 202)
    stand.wait_for(lambda: guest.api("GET", "home").json()["sessions"][0]["state"] == "stopped")


def test_instances_are_shown_with_their_warm_containers(stand: PortalStand, admin: Guest) -> None:
    short = {"failed": 1, "memory": 2**28, "reason": "pool.memory admits no more"}
    stand.manager.pools = [p.PoolInfo("juliabox/julia", 4, 3, 0, 12, 2, **short)]  # type: ignore[arg-type]

    def seen() -> dict[str, object] | None:
        (one,) = admin.api("GET", "admin/instances").json()["instances"]
        return next(iter(one["pools"]), None)

    row = stand.wait_for(seen)
    told = {"wanted": 4, "ready": 3, "loading": 0, "claimed": 12, "missed": 2}
    assert row == {"image": "juliabox/julia", **told, **short}


def test_use_over_time_counts_a_session_once_and_comes_as_csv(
    stand: PortalStand, admin: Guest, person: Callable[[str], Guest]
) -> None:
    session = ran(stand, person("counted"))

    def rows() -> list[dict[str, str]]:
        text = admin.api("GET", "admin/usage.csv").text
        return [one for one in csv.DictReader(io.StringIO(text)) if one["owner"] == "counted"]

    found = stand.wait_for(rows)
    assert [one["session"] for one in found] == [session]
    today = datetime.now(UTC).date()
    first = (today - timedelta(days=20)).isoformat()
    usage = admin.api("GET", f"admin/usage?by=week&from={first}&to={today}").json()
    assert sum(point["sessions"] for point in usage["points"]) >= 1
    assert len(usage["points"]) in {3, 4}
    assert usage["missing"] == ""


@pytest.mark.parametrize(
    "query",
    ["from=yesterday", "from=2024-02-02&to=2024-02-01", "from=1980-01-01&to=2020-01-01", "by=year"],
    ids=["no day", "backwards", "too long", "no step"],
)
def test_a_range_that_is_none_is_refused(admin: Guest, query: str) -> None:
    for route in ("admin/usage", "admin/usage.csv") if "by=" not in query else ("admin/usage",):
        answer = admin.api("GET", f"{route}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "portal.query")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1"])
def test_no_cell_of_a_csv_file_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert cell("ada") == "ada"


def test_a_message_of_the_day_is_shown_to_all_until_it_is_taken_away(
    stand: PortalStand, admin: Guest
) -> None:
    body = {"text": " <b>Down</b> at noon ", "level": "warning", "until": time.time() + 3600}
    assert admin.api("PUT", "admin/message", json=body).status_code == 200
    public = Guest(stand).http.get(f"{PREFIX}api/message").json()
    assert (public["text"], public["level"]) == ("<b>Down</b> at noon", "warning")
    assert "author" not in public
    page = admin.open().text
    assert "&lt;b&gt;Down&lt;/b&gt; at noon" in page
    assert admin.api("DELETE", "admin/message").status_code == 204
    assert Guest(stand).http.get(f"{PREFIX}api/message").json() is None


def test_a_message_that_is_too_long_is_refused(admin: Guest) -> None:
    answer = admin.api("PUT", "admin/message", json={"text": "x" * 5000})
    assert (answer.status_code, answer.json()["code"]) == (400, "portal.message")


def test_a_start_that_failed_is_listed_with_its_cause(stand: PortalStand, admin: Guest) -> None:
    stand.on_manager(stand.manager.fail("faller", "no_room.memory", "64 MiB are left"))

    def listed() -> bool:
        rows = admin.api("GET", "admin/failures").json()["failures"]
        return any(
            (one["subject"], one["code"], one["kind"]) == ("faller", "no_room.memory", "start")
            for one in rows
        )

    stand.wait_for(listed)


def test_tasks_are_shown_with_their_last_run(stand: PortalStand, admin: Guest) -> None:
    run = p.TaskResult("j1", "disk-use", "task.periodic.node", "schedule", "ok", 1.0, 2.5, {"a": 1})
    bad = p.TaskResult(
        "j2", "broken", "task.cmd.async", "operator", "timeout", 1.0, 300.0, None, "task.x", "late"
    )
    stand.manager.tasks = [
        p.TaskInfo(
            "disk-use", "juliabox 1", ["task.periodic.node"], 600.0, 9.0, 60.0, False, [], {}, run
        ),
        p.TaskInfo("broken", "strange 1", ["task.cmd.async"], 0.0, 0.0, 60.0, False, [], {}, bad),
    ]
    stand.wait_for(lambda: admin.api("GET", "admin/tasks").json()["tasks"])
    first, second = admin.api("GET", "admin/tasks").json()["tasks"]
    assert (first["state"], first["schedule"], first["result"]) == (
        "succeeded",
        "every 10 min",
        '{"a": 1}',
    )
    assert (second["state"], second["code"], second["result"]) == ("timeout", "task.x", "late")
    stand.manager.tasks = []


def test_the_hubs_pages_lead_to_the_portal_and_show_its_message(
    stand: PortalStand, admin: Guest
) -> None:
    page = admin.follow("/hub/home").text
    assert f'href="{PREFIX}">Portal</a>' in page
    assert f'data-portal="{PREFIX}"' in page
    assert f'data-portal="{PREFIX}"' in Guest(stand).follow("/hub/login").text


def test_who_waits_for_an_account_is_counted(stand: PortalStand, admin: Guest) -> None:
    before = admin.api("GET", "admin/users").json()["pending"]
    form = {"username": "hopeful", "new_password": "a long enough pass phrase"}
    form |= {"new_password_confirmation": "a long enough pass phrase"}
    assert Guest(stand).post("/hub/signup", form).status_code == 200
    stand.wait_for(lambda: admin.api("GET", "admin/users").json()["pending"] == before + 1)
    plain = Guest(stand).enter("no-admin", add_person(stand, "no-admin"))
    token = plain.api("POST", "tokens", json={"note": "x"}).json()["token"]
    assert stand.api("GET", "/sign-ups", token).status_code == 403
