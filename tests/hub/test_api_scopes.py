"""What people, their sessions and the portal may do with the API engine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from juliabox_services.api.people import People
from juliabox_spawner.settings import ApiAddress
from support.hub_stand import HubStand
from support.visitor import add_person

ENGINE = "http://127.0.0.1:9/services/api/"
CALL, PUBLISH = "custom:juliabox:call", "custom:juliabox:publish"
ACCESS = "access:services!service=api"


class ApiStand(HubStand):
    """A hub that knows an API engine, which nobody asks anything here."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, api=ApiAddress("http://127.0.0.1:9", sessions_url=ENGINE))

    def _write(self, changes: dict[str, Any]) -> Any:
        self.tokens["api_token"] = secrets.token_hex(16)
        return super()._write(changes)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiStand]:
    """A hub with the engine as its service."""
    with ApiStand(tmp_path_factory.mktemp("served")) as stand:
        yield stand


def session_token(stand: HubStand, name: str) -> str:
    """Start a server and return the token that it was given."""
    answer = stand.api("POST", f"/users/{name}/server")
    assert answer.status_code in {201, 202}, answer.text

    def environment() -> dict[str, str]:
        started = [s.session for s in stand.manager.sessions.values() if s.owner == name]
        return stand.manager.environments.get(started[0], {}) if started else {}

    found = stand.wait_for(environment)
    assert found["JULIABOX_API_URL"] == ENGINE
    return str(found["JUPYTERHUB_API_TOKEN"])


def grant(stand: HubStand, name: str) -> None:
    """Give a person the role of publishers."""
    body = {"users": [name]}
    answer = stand.api("POST", "/groups/api-publisher/users", json=body)
    assert answer.status_code == 200, answer.text


def scopes_of(stand: HubStand, token: str) -> set[str]:
    """Return what a token is for, as the engine is told."""
    answer = stand.api("GET", "/user", token)
    assert answer.status_code == 200, answer.text
    return set(answer.json()["scopes"])


def token_with(stand: HubStand, name: str, *scopes: str) -> Any:
    """Ask for a token of a person with these scopes."""
    return stand.api("POST", f"/users/{name}/tokens", json={"scopes": list(scopes)})


def test_everybody_may_come_to_the_engine_and_call(served: ApiStand) -> None:
    add_person(served, "caller")
    token = served.api("POST", "/users/caller/tokens", json={}).json()["token"]
    assert {ACCESS, CALL} <= scopes_of(served, token)
    assert PUBLISH not in scopes_of(served, token)


def test_a_token_of_one_api_is_of_no_other_and_does_nothing_else(served: ApiStand) -> None:
    add_person(served, "holder")
    made = token_with(served, "holder", f"{CALL}!server=ada/sums")
    assert made.status_code == 201, made.text
    token = made.json()["token"]
    identity = {"read:users:name!user=holder", "read:users:groups!user=holder"}
    assert scopes_of(served, token) == {f"{CALL}!server=ada/sums", *identity}
    assert served.api("GET", "/user", token).json()["name"] == "holder"
    assert served.api("GET", "/users/holder/tokens", token).status_code in {403, 404}


def test_who_has_no_role_makes_no_token_to_publish(served: ApiStand) -> None:
    add_person(served, "reader")
    assert token_with(served, "reader", PUBLISH).status_code == 400


def test_a_session_publishes_if_its_owner_may(served: ApiStand) -> None:
    for name in ("ada", "bob"):
        add_person(served, name)
    grant(served, "ada")
    mine, other = session_token(served, "ada"), session_token(served, "bob")
    assert {ACCESS, CALL, PUBLISH} <= scopes_of(served, mine)
    assert {ACCESS, CALL} <= scopes_of(served, other)
    assert PUBLISH not in scopes_of(served, other)
    # as before, it tells of activity and opens its own server
    assert "access:servers!server=bob/" in scopes_of(served, other)
    assert "users:activity!user=bob" in scopes_of(served, other)


def test_a_session_loses_at_once_what_its_owner_loses(served: ApiStand) -> None:
    add_person(served, "former")
    grant(served, "former")
    token = session_token(served, "former")
    assert PUBLISH in scopes_of(served, token)
    assert "api-publisher" in served.api("GET", "/user", token).json()["groups"]
    path = "/groups/api-publisher/users"
    assert served.api("DELETE", path, json={"users": ["former"]}).status_code == 200
    assert PUBLISH not in scopes_of(served, token)
    # so the engine sees that it is no token for less than its owner may
    assert "api-publisher" not in served.api("GET", "/user", token).json()["groups"]


def test_a_session_of_an_admin_has_nothing_of_an_admin(served: ApiStand) -> None:
    served.api("POST", "/users/root", json={"admin": True})
    assert "admin-ui" not in scopes_of(served, session_token(served, "root"))


def test_the_engine_s_own_token_sees_who_is_there_by_name_and_changes_nothing(
    served: ApiStand,
) -> None:
    token = served.tokens["api_token"]
    assert scopes_of(served, token) >= {"read:services!service=api", "read:users"}
    add_person(served, "former-publisher")
    seen = served.api("GET", "/users/former-publisher", token).json()
    assert (seen["name"], seen["kind"]) == ("former-publisher", "user")
    assert not {"auth_state", "servers"} & set(seen)
    served.api("DELETE", "/users/former-publisher")
    assert served.api("GET", "/users/former-publisher", token).status_code == 404
    for method, path in (
        ("GET", "/users"),
        ("POST", "/users/newcomer"),
        ("PATCH", "/users/admin"),
        ("DELETE", "/users/admin"),
        ("GET", "/users/admin/tokens"),
        ("POST", "/users/admin/activity"),
        ("POST", "/users/admin/server"),
    ):
        assert served.api(method, path, token, json={}).status_code in {403, 404}, path


async def test_the_engine_tells_by_the_account_who_has_a_name_after_somebody_else(
    served: ApiStand,
) -> None:
    add_person(served, "heir")
    token = served.tokens["api_token"]
    people = People(f"{served.url}/hub/api", token)
    await people.demand()
    first = await people.find("heir")
    assert first and await people.account("heir") == first
    mine = served.api("POST", "/users/heir/tokens", json={}).json()["token"]
    # a token that may read its owner's record tells it in the same words
    assert served.api("GET", "/user", mine).json()["created"] == first
    served.api("DELETE", "/users/heir")
    assert await people.find("heir") is None
    assert await people.account("heir") == ""
    add_person(served, "heir")
    second = await people.find("heir")
    assert second and second != first
    served.kill(served.hub)
    served.start_hub()
    served.await_ready()
    assert await people.find("heir") == second  # as the database has it, not only the hub's memory
    people.close()


def test_without_an_engine_sessions_are_told_of_none_and_publish_nothing(stand: HubStand) -> None:
    add_person(stand, "plain")
    answer = stand.api("POST", "/users/plain/server")
    assert answer.status_code in {201, 202}, answer.text
    (info,) = stand.wait_for(
        lambda: [s for s in stand.manager.sessions.values() if s.owner == "plain" and s.ready]
    )
    environment = stand.manager.environments[info.session]
    assert "JULIABOX_API_URL" not in environment
    assert not scopes_of(stand, environment["JUPYTERHUB_API_TOKEN"]) & {ACCESS, CALL, PUBLISH}
