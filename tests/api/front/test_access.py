"""Who may call which API, and how the engine learns who somebody is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from juliabox_ext.errors import PolicyError, UnavailableError
from juliabox_services.api import access, app
from juliabox_services.api.access import (
    CALL_SCOPE,
    PUBLISH_SCOPE,
    UNKNOWN_TOKENS,
    Identity,
    LoginNeeded,
    check,
)
from juliabox_services.api.interface import routes
from juliabox_services.api.management import ACCESS
from juliabox_services.api.models import Options, Version
from juliabox_services.api.people import People
from support.api_front import PREFIX, FrontStand
from support.published_stand import GREETING, FaintDatabase, publishing_on

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
    assert statuses == [401] * UNKNOWN_TOKENS + [429] * 20
    assert stand.hub.asked.total() == UNKNOWN_TOKENS


async def test_who_guesses_many_tokens_at_one_time_is_stopped_as_well(
    stand: FrontStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "UNKNOWN_TOKENS", 20)
    stand.publish("ada/hers", access="users")
    stand.hub.pause = 0.5
    guesses = (stand.get("ada/hers/echo", f"guess-{number}") for number in range(60))
    statuses = [answer.status_code for answer in await asyncio.gather(*guesses)]
    assert sorted(statuses) == [401] * 20 + [429] * 40
    assert stand.hub.asked.total() == 20


async def test_a_class_that_comes_by_one_address_is_admitted(stand: FrontStand) -> None:
    stand.publish("ada/hers", access="users")
    # the hub is asked by few at a time, and the last of them wait for 5 s at most
    stand.hub.pause = 0.2
    people = [stand.hub.token(f"person-{number}") for number in range(100)]
    answers = await asyncio.gather(*(stand.get("ada/hers/echo", one) for one in people))
    assert {answer.status_code for answer in answers} == {200}


async def test_who_is_known_is_not_refused_for_what_others_at_the_same_address_guess(
    stand: FrontStand,
) -> None:
    stand.publish("ada/hers", access="users")
    token = stand.hub.token("bob")
    assert (await stand.get("ada/hers/echo", token)).status_code == 200
    for number in range(UNKNOWN_TOKENS + 5):
        await stand.get("ada/hers/echo", f"guess-{number}")
    stand.front.callers._trust = 0.0
    assert (await stand.get("ada/hers/echo", token)).status_code == 200
    assert stand.hub.asked[token] == 2


async def test_tokens_that_are_known_and_a_hub_that_is_away_cost_nothing(
    stand: FrontStand,
) -> None:
    stand.publish("ada/hers", access="users")
    tokens = [stand.hub.token("bob") for _ in range(UNKNOWN_TOKENS + 10)]
    stand.hub.status = 503
    away = {(await stand.get("ada/hers/echo", one)).status_code for one in tokens}
    stand.hub.status = 0
    there = {(await stand.get("ada/hers/echo", one)).status_code for one in tokens}
    assert (away, there) == ({503}, {200})
    together = stand.hub.token("eve")
    stand.hub.pause = 0.1
    many = (stand.get("ada/hers/echo", together) for _ in range(UNKNOWN_TOKENS + 20))
    assert {answer.status_code for answer in await asyncio.gather(*many)} == {200}


async def test_each_token_that_a_publisher_gives_out_has_a_rate_of_its_own(
    stand: FrontStand,
) -> None:
    own = f"{CALL_SCOPE}!server=ada/hers"
    stand.publish("ada/hers", access="listed", users=["bob"], rate=2)
    shop, bank = stand.hub.token("ada", own), stand.hub.token("ada", own)
    for token, statuses in ((shop, [200, 200, 429]), (bank, [200, 200, 429])):
        found = [(await stand.get("ada/hers/echo", token)).status_code for _ in range(3)]
        assert found == statuses
    # nobody else has more for making more tokens
    first, second = stand.hub.token("bob", own), stand.hub.token("bob", own)
    found = [(await stand.get("ada/hers/echo", one)).status_code for one in (first, second, first)]
    assert found == [200, 200, 429]


async def test_tokens_for_calls_spend_nothing_of_what_their_owner_has_at_the_interface(
    stand: FrontStand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "INTERFACE_RATE", 3)
    given_out = stand.hub.token("ada", OWN)
    own = stand.hub.token("ada", CALL_SCOPE, *ACCESS)
    publishing = publishing_on(FaintDatabase(), tmp_path)
    interface = routes(publishing, app.identify(stand.front))
    made = app.application(stand.front, interface, proxied=False)
    socket, port = bind_unused_port()
    server = HTTPServer(made)
    server.add_socket(socket)

    async def ask(token: str) -> int:
        url = f"http://127.0.0.1:{port}{PREFIX}_/me"
        return (await stand.http.get(url, headers={"Authorization": f"token {token}"})).status_code

    assert [await ask(given_out) for _ in range(5)] == [403, 403, 403, 429, 429]
    assert [await ask(own) for _ in range(4)] == [200, 200, 200, 429]
    server.stop()
    await server.close_all_connections()


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


async def test_who_has_the_name_of_a_removed_publisher_calls_as_anybody_else_does(
    stand: FrontStand,
) -> None:
    for access_ in ("token", "listed", "users"):
        stand.publish(f"ada/{access_}", access=access_, account="first")
    own = [f"{CALL_SCOPE}!server=ada/{one}" for one in ("token", "listed", "users")]
    for account, statuses in (("first", [200, 200, 200]), ("second", [403, 403, 200])):
        stand.hub.people.add("ada")
        stand.hub.accounts["ada"] = account
        token = stand.hub.token("ada", *own)
        found = [
            (await stand.get(f"ada/{one}/{path}", token)).status_code
            for path in ("echo", "openapi.json")
            for one in ("token", "listed", "users")
        ]
        assert found == statuses * 2
        assert stand.hub.asked["ada"] == (1 if account == "first" else 2)


async def test_the_hub_is_asked_once_for_an_account_and_of_nobody_but_the_publisher(
    stand: FrontStand,
) -> None:
    stand.publish("ada/hers", access="users", account="first")
    stand.publish("ada/old", access="users")
    stand.hub.people |= {"ada", "bob"}
    stand.hub.accounts |= {"ada": "first", "bob": "second"}
    ada, bob = stand.hub.token("ada"), stand.hub.token("bob")
    assert (await stand.get("ada/hers/echo", bob)).status_code == 200
    assert (await stand.get("ada/old/echo", ada)).status_code == 200
    assert (stand.hub.asked["ada"], stand.hub.asked["bob"]) == (0, 0)
    stand.front.callers._trust = 0.0  # a token's account does not change
    for _ in range(3):
        assert (await stand.get("ada/hers/echo", ada)).status_code == 200
    assert (stand.hub.asked["ada"], stand.hub.asked["bob"]) == (1, 0)
    assert (await stand.front.callers.identify(ada, "")).account == "first"


async def test_a_token_that_tells_its_owner_s_account_needs_no_second_question(
    stand: FrontStand,
) -> None:
    token = stand.hub.token("ada")
    stand.hub.tokens[token]["created"] = "first"
    found = await stand.front.callers.identify(token, "", account=True)
    assert (found.account, stand.hub.asked["ada"]) == ("first", 0)


async def test_an_account_that_the_hub_does_not_tell_is_not_known_and_asked_for_again(
    stand: FrontStand,
) -> None:
    token = stand.hub.token("ada")
    stand.front.callers._people = stranger = People(stand.hub.url, "nobody's")
    for _ in range(3):
        assert (await stand.front.callers.identify(token, "", account=True)).account == ""
    assert (stand.hub.asked[token], stand.hub.asked["ada"]) == (1, 1)
    stranger.close()
    stand.front.callers._trust = 0.0
    stand.front.callers._people = stand.people
    assert (await stand.front.callers.identify(token, "", account=True)).account == ""
    stand.hub.people.add("ada")
    stand.hub.accounts["ada"] = "first"
    assert (await stand.front.callers.identify(token, "", account=True)).account == "first"
    stand.hub.status = 503
    with pytest.raises(UnavailableError):
        await stand.people.account("ada")


async def test_the_interface_learns_which_of_the_people_of_one_name_publishes(
    stand: FrontStand, tmp_path: Path
) -> None:
    stand.hub.people.add("ada")
    stand.hub.accounts["ada"] = "first"
    token = stand.hub.token("ada", PUBLISH_SCOPE, *ACCESS)
    publishing = publishing_on(FaintDatabase(), tmp_path)
    await publishing.open()
    interface = routes(publishing, app.identify(stand.front))
    server = HTTPServer(app.application(stand.front, interface, proxied=False))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    saved = await stand.http.put(
        f"http://127.0.0.1:{port}{PREFIX}_/apis/ada/hi",
        headers={"Authorization": f"token {token}"},
        json={"source": GREETING, "functions": ["hello"]},
    )
    assert saved.status_code == 201
    assert publishing.published.find("ada", "hi")[0].account == "first"
    server.stop()
    await server.close_all_connections()
    await publishing.close()
