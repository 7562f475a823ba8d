"""What a person sees and does in the portal."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable

import pytest

from juliabox_manager import protocol as p
from juliabox_services.portal.models import PAGES
from support.portal_routes import address, data_address
from support.portal_stand import PREFIX, Guest, PortalStand, page_of
from support.portal_steps import run_server as start

PERSONS = [info for info in PAGES.values() if not info.admin and info.name != "api"]


@pytest.mark.parametrize("name", [info.name for info in PERSONS])
def test_every_page_opens_and_its_data_is_what_its_route_answers(
    stand: PortalStand, person: Callable[[str], Guest], name: str
) -> None:
    info, guest = PAGES[name], person(f"reader-{name}")
    page = guest.open(address(info))
    assert page.status_code == 200, page.text
    assert page_of(page.text)["me"]["name"] == f"reader-{name}"
    data = guest.api("GET", data_address(info).removeprefix("api/"))
    assert data.status_code == 200, data.text


def test_a_session_is_started_seen_with_its_gauges_and_stopped(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    guest = person("runner")
    before = guest.api("GET", "home").json()
    assert [one["state"] for one in before["sessions"]] == ["stopped"]
    seen = start(stand, guest)
    assert seen["gauges"]["memory"] == {"used": 1024**3 / 2, "limit": 1024**3}  # type: ignore[index]
    assert 1700 < float(seen["time_left"]) <= 1800  # type: ignore[arg-type]
    assert seen["time_left_why"] == "idle"
    assert seen["can_stop"] and not seen["can_start"]
    answer = guest.api("POST", "servers/stop", json={})
    assert answer.status_code == 202, answer.text
    stand.wait_for(lambda: guest.api("GET", "home").json()["sessions"][0]["state"] == "stopped")


def test_profiles_are_shown_to_whom_the_spawner_lets_use_them(
    person: Callable[[str], Guest],
) -> None:
    shown = {
        name: [one["slug"] for one in person(name).api("GET", "home").json()["profiles"]]
        for name in ("chosen", "somebody-else")
    }
    assert shown == {"chosen": ["plain", "hers"], "somebody-else": ["plain"]}


def test_a_named_server_is_made_and_forgotten(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    guest = person("namer")
    assert start(stand, guest, "lab")["label"] == "lab"
    assert guest.api("GET", "home").json()["named_servers_left"] == 2
    assert guest.api("POST", "servers/remove", json={"server": "lab"}).status_code == 202
    stand.wait_for(lambda: len(guest.api("GET", "home").json()["sessions"]) == 1)


def test_tokens_are_made_listed_and_revoked(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    guest = person("tokener")
    made = guest.api("POST", "tokens", json={"note": "for a script", "expires_in": 3600})
    assert made.status_code == 201, made.text
    token = made.json()
    assert stand.api("GET", "/user", token["token"]).json()["name"] == "tokener"
    listed = guest.api("GET", "tokens").json()["tokens"]
    own = next(one for one in listed if one["id"] == token["id"])
    assert (own["note"], own["kind"]) == ("for a script", "token")
    assert token["token"] not in json.dumps(listed)
    assert {one["kind"] for one in listed} == {"token", "login"}
    assert guest.api("DELETE", f"tokens/{token['id']}").status_code == 204
    assert stand.api("GET", "/user", token["token"]).status_code == 403


@pytest.mark.parametrize(
    "body",
    [{"note": ""}, {"note": "x" * 300}, {"note": "x", "expires_in": -1}, {"more": 1}, "text"],
    ids=["no note", "long note", "past", "unknown field", "no object"],
)
def test_a_token_that_is_asked_for_wrongly_is_refused_with_the_field(
    admin: Guest, body: object
) -> None:
    answer = admin.api("POST", "tokens", json=body)
    assert answer.status_code == 400
    assert answer.json()["code"] in {"portal.body", "portal.token"}


def test_a_token_with_access_to_the_portal_works_without_a_browser(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    guest = person("scripter")
    token = guest.api("POST", "tokens", json={"note": "x"}).json()["token"]
    answer = Guest(stand).http.post(
        f"{PREFIX}api/tokens",
        json={"note": "by a script"},
        headers={"Authorization": f"token {token}"},
    )
    assert answer.status_code == 201, answer.text


def test_all_that_is_kept_of_a_person_can_be_taken_away(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    guest = person("leaver")
    start(stand, guest)
    items = guest.api("GET", "files").json()["items"]
    assert items[0]["url"] == "/user/leaver/juliabox/home.tar.gz"
    content = guest.api("GET", "archive/account.zip").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert set(parts) == {
        "README.txt", "account.json", "tokens.json", "volumes.json", "usage.json",
    }  # fmt: skip
    assert json.loads(parts["account.json"])["name"] == "leaver"
    assert guest.api("GET", "archive").json()["account"]["name"] == "leaver"


def test_a_person_sees_nothing_of_others(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    one, other = person("one"), person("other")
    start(stand, other)
    assert "other" not in one.api("GET", "home").text
    answer = one.api("POST", "admin/sessions/stop", json={"owner": "other"})
    assert (answer.status_code, answer.json()["code"]) == (403, "portal.scope")
    assert one.api("GET", "session/nothing-here").status_code == 404


def test_the_end_of_a_session_is_told_with_its_reason(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    guest = person("hungry")
    start(stand, guest)
    (session,) = [one for one in stand.manager.sessions.values() if one.owner == "hungry"]
    reason = "It ran out of memory (limit 1024 MiB)."
    stand.on_manager(stand.manager.end(session.session, p.ExitInfo(137, True, reason)))

    def told() -> bool:
        seen = guest.api("GET", "home").json()["sessions"][0]
        return bool(seen["state"] == "stopped" and seen["ending"] == reason)

    stand.wait_for(told)
