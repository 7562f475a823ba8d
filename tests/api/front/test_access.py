"""Who may call which API, and how the engine learns who somebody is."""

from __future__ import annotations

import asyncio

import pytest

from juliabox_ext.errors import PolicyError
from juliabox_services.api.access import CALL_SCOPE, UNKNOWN_TOKENS, Identity, LoginNeeded, check
from juliabox_services.api.models import Options, Version
from support.api_front import FrontStand

OWN = f"{CALL_SCOPE}!server=ada/sums"
OTHER = f"{CALL_SCOPE}!server=ada/other"


def version(access: str, **options: object) -> Version:
    return Version(
        publisher="ada", api="sums", version=1, source="", functions=[], saved=0, saved_by="ada",
        options=Options(access=access, **options),  # type: ignore[arg-type]
    )  # fmt: skip


def person(name: str, *scopes: str, groups: tuple[str, ...] = ()) -> Identity:
    return Identity(
        name=name, user=name, scopes=frozenset(scopes or (CALL_SCOPE,)), groups=frozenset(groups)
    )


SERVICE = Identity(name="ada", scopes=frozenset({CALL_SCOPE, OWN}))
LISTED = version("listed", users=["bob"], groups=["lab"])

ADMITTED = {
    "nobody, public": (version("public"), None),
    "no scope, public": (version("public"), person("bob", "self")),
    "a user, users": (version("users"), person("bob")),
    "a token of the api, users": (version("users"), person("bob", OWN)),
    "a service, users": (version("users"), SERVICE),
    "a listed user": (LISTED, person("bob")),
    "a member of a group": (LISTED, person("eve", groups=("lab", "x"))),
    "the publisher, listed": (LISTED, person("ada")),
    "a token that the publisher gave out, listed": (LISTED, person("ada", OWN)),
    "a token that the publisher gave out": (version("token"), person("ada", OWN)),
}
REFUSED = {
    "nobody, users": (version("users"), None, "api.login"),
    "nobody, listed": (LISTED, None, "api.login"),
    "nobody, token": (version("token"), None, "api.login"),
    "no scope, users": (version("users"), person("bob", "self"), "api.scope"),
    "a token of another api": (version("users"), person("bob", OTHER), "api.scope"),
    "the publisher's token of another": (version("token"), person("ada", OTHER), "api.scope"),
    "a user who is not listed": (LISTED, person("eve"), "api.access"),
    "a service called as the publisher, listed": (LISTED, SERVICE, "api.access"),
    "a token for all apis": (version("token"), person("ada"), "api.access"),
    "a token that somebody made for themselves": (version("token"), person("eve", OWN),
                                                  "api.access"),
    "a service called as the publisher": (version("token"), SERVICE, "api.access"),
    "an admin who is not listed": (LISTED, person("root", CALL_SCOPE, "admin-ui"), "api.access"),
}  # fmt: skip


@pytest.mark.parametrize(("one", "caller"), ADMITTED.values(), ids=ADMITTED)
def test_who_may_call_is_admitted(one: Version, caller: Identity | None) -> None:
    check(one, caller)


@pytest.mark.parametrize(("one", "caller", "code"), REFUSED.values(), ids=REFUSED)
def test_who_may_not_call_is_refused(one: Version, caller: Identity | None, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        check(one, caller)
    assert caught.value.code == code
    assert caught.value.status == (401 if caller is None else 403)


async def test_the_hub_is_asked_once_for_many_who_come_together(stand: FrontStand) -> None:
    stand.publish("ada/hers", access="users")
    token = stand.hub.token("bob")
    stand.hub.pause = 0.1
    answers = await asyncio.gather(*(stand.get("ada/hers/echo/1", token) for _ in range(10)))
    assert {one.status_code for one in answers} == {200}
    assert stand.hub.asked[token] == 1


async def test_a_revoked_token_counts_no_longer_than_the_hub_is_trusted(stand: FrontStand) -> None:
    stand.publish("ada/hers", access="users")
    token = stand.hub.token("bob")
    assert (await stand.get("ada/hers/echo", token)).status_code == 200
    del stand.hub.tokens[token]
    assert (await stand.get("ada/hers/echo", token)).status_code == 200
    stand.front.callers._trust = 0.0
    assert (await stand.get("ada/hers/echo", token)).status_code == 401


async def test_without_the_hub_nobody_new_is_admitted_and_nobody_is_called_wrong(
    stand: FrontStand,
) -> None:
    stand.publish("ada/hers", access="users")
    known, late = stand.hub.token("bob"), stand.hub.token("eve")
    assert (await stand.get("ada/hers/echo", known)).status_code == 200
    stand.hub.status = 503
    answer = await stand.get("ada/hers/echo", late)
    assert (answer.status_code, answer.json()["code"]) == (503, "api.hub")
    assert int(answer.headers["Retry-After"]) > 0
    assert (await stand.get("ada/hers/echo", known)).status_code == 200
    assert (await stand.get("ada/sums/echo", late)).status_code == 200
    stand.hub.close()
    await stand.hub.server.close_all_connections()
    assert (await stand.get("ada/hers/echo", late)).status_code == 503
    assert [one.function for one in stand.back.calls] == ["echo"] * 3


@pytest.mark.parametrize("said", ["Basic YTpi", "Bearer", "Bearer a b", "token", "x", ""])
async def test_another_kind_of_authorisation_is_refused(stand: FrontStand, said: str) -> None:
    stand.publish("ada/hers", access="users")
    answer = await stand.get("ada/hers/echo", headers={"Authorization": said})
    assert (answer.status_code, answer.json()["code"]) == (401, "api.login")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert not stand.hub.asked


@pytest.mark.parametrize("word", ["token", "Token", "bearer", "BEARER"])
async def test_tokens_are_taken_as_clients_of_the_hub_send_them(
    stand: FrontStand, word: str
) -> None:
    stand.publish("ada/hers", access="users")
    said = {"Authorization": f"{word} {stand.hub.token('bob')}"}
    assert (await stand.get("ada/hers/echo", headers=said)).status_code == 200


async def test_a_token_in_the_address_or_a_cookie_counts_for_nothing(stand: FrontStand) -> None:
    stand.publish("ada/hers", access="users")
    token = stand.hub.token("bob")
    cookies = {"Cookie": f"service-api={token}; jupyterhub-session-id={token}"}
    answer = await stand.get(f"ada/hers/echo?token={token}", headers=cookies)
    assert answer.status_code == 401
    assert not stand.hub.asked


async def test_who_guesses_tokens_is_stopped_without_asking_the_hub(stand: FrontStand) -> None:
    stand.publish("ada/hers", access="users")
    statuses = [
        (await stand.get("ada/hers/echo", f"guess-{number}")).status_code
        for number in range(UNKNOWN_TOKENS + 20)
    ]
    assert statuses[:10] == [401] * 10
    assert 429 in statuses
    assert sum(stand.hub.asked.values()) == statuses.count(401) < UNKNOWN_TOKENS + 10


async def test_a_model_without_what_is_needed_admits_nobody(stand: FrontStand) -> None:
    stand.publish("ada/hers", access="users")
    stand.hub.tokens["odd"] = {"name": "bob"}
    assert (await stand.get("ada/hers/echo", "odd")).status_code == 503


async def test_a_token_with_strange_letters_is_refused_before_the_hub_is_asked(
    stand: FrontStand,
) -> None:
    with pytest.raises(LoginNeeded):
        raise LoginNeeded("so that its code is seen")
    stand.publish("ada/hers", access="users")
    request = b"GET /services/api/ada/hers/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    answer = await stand.raw(request + b"Authorization: Bearer \xff\xfe\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401")
    assert not stand.hub.asked
