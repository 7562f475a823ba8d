"""Providers that lie, fail or hang; callbacks that are nobody's; people who may not come in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from support.hub_stand import HubStand
from support.login_providers import Imitation
from support.login_steps import answer_of, become, log_in_at, users, who
from support.visitor import Visitor
from support.waiting import measured

Change = Callable[[Imitation], None]


def answers(path: str, answer: Any) -> Change:
    return lambda imitation: imitation.answers.update({path: answer})


def claims(**changes: Any) -> Change:
    return lambda imitation: imitation.claims.update(changes)


def clock(claim: str, ahead: int) -> Change:
    """Claim a time so many seconds from the test's own, not from when this module was read.

    A whole run may take more than an hour.
    """
    return lambda imitation: imitation.claims.update({claim: int(time.time()) + ahead})


def foreign_key(imitation: Imitation) -> None:
    imitation.signing_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def no_signature(imitation: Imitation) -> None:
    imitation.signing_key, imitation.algorithm = None, "none"


def client_s_secret(imitation: Imitation) -> None:
    imitation.signing_key, imitation.algorithm = "canary-client-secret" * 2, "HS256"


LIES: dict[str, tuple[str, Change]] = {
    "token-no-json": ("google", answers("/token", b"<html>sorry</html>")),
    "token-empty": ("google", answers("/token", b"")),
    "token-a-list": ("google", answers("/token", [1])),
    "token-without-token": ("google", answers("/token", {"hello": "canary-answer"})),
    "token-a-number": ("google", answers("/token", {"access_token": 1})),
    "token-refused": (
        "google",
        answers("/token", {"error": "e", "error_description": "what-the-provider-said"}),
    ),
    "token-500": ("google", answers("/token", 500)),
    "token-401": ("google", answers("/token", 401)),
    "token-elsewhere": ("google", answers("/token", 302)),
    "person-500": ("google", answers("/userinfo", 500)),
    "person-no-json": ("google", answers("/userinfo", b"\xff\xfe{")),
    "person-a-text": ("google", answers("/userinfo", "ada")),
    "person-huge": ("google", answers("/userinfo", b'{"email": "' + b"a" * 2**21 + b'"}')),
    "person-deep": ("google", answers("/userinfo", b"[" * 100_000)),
    "github-mails-missing": ("github", answers("/api/v3/user/emails", [])),
    "github-mails-refused": ("github", answers("/api/v3/user/emails", 403)),
    "openid-no-token": ("linkedin", answers("/token", {"access_token": "canary-access-token"})),
    "openid-token-garbage": (
        "linkedin",
        answers("/token", {"access_token": "canary-access-token", "id_token": "a.b.c"}),
    ),
    "openid-other-issuer": ("linkedin", claims(iss="http://evil.example")),
    "openid-other-client": ("linkedin", claims(aud="somebody-else")),
    "openid-two-clients": ("linkedin", claims(aud=["box", "somebody-else"])),
    "openid-no-subject": ("linkedin", claims(sub=None)),
    "openid-expired": ("linkedin", clock("exp", -3600)),
    "openid-future": ("linkedin", clock("iat", 3600)),
    "openid-foreign-key": ("linkedin", foreign_key),
    "openid-no-signature": ("linkedin", no_signature),
    "openid-shared-secret": ("linkedin", client_s_secret),
    "openid-other-person": ("linkedin", claims(sub="somebody-else")),
}


@pytest.mark.parametrize(("login", "change"), LIES.values(), ids=LIES)
def test_a_provider_that_lies_or_fails_lets_nobody_in(
    logins: HubStand, person: Visitor, imitation: Imitation, login: str, change: Change
) -> None:
    become(imitation, login="victim", email="victim@example.org", sub="v", id=66)
    change(imitation)
    answer = log_in_at(person, login)
    assert answer.status_code == 503, answer.text[:3000]
    assert "login.provider" in answer.text and "oauth_login" in answer.text
    for hidden in ("canary", "what-the-provider-said", "Traceback", "JSONDecode", "KeyError"):
        assert hidden not in answer.text
    assert "canary" not in logins.log
    assert who(person) == ""
    assert not {one for one in users(logins) if "victim" in one}


def test_a_provider_that_is_slow_is_given_up_within_ten_seconds(
    logins: HubStand, person: Visitor, imitation: Imitation
) -> None:
    for took in measured(12.0):
        become(imitation)
        address = answer_of(person, "google")
        imitation.delays["/userinfo"] = 8.0
        imitation.delays["/token"] = 8.0
        started = time.monotonic()
        answer = person.get(address)
        took.append(time.monotonic() - started)
        assert took[-1] > 9
        assert answer.status_code == 503 and "login.provider" in answer.text
    imitation.delays.clear()
    # meanwhile and afterwards others log in
    assert Visitor(logins).log_in("admin").status_code == 302


CALLBACKS = {
    "nothing": "",
    "no-code": "?state={state}",
    "no-state": "?code=c",
    "foreign-state": "?code=c&state=eyJzdGF0ZV9pZCI6ICIwIn0=",
    "garbage-state": "?code=c&state=%ff%00",
    "not-json": "?code=c&state=YWJj",
}


@pytest.mark.parametrize("query", CALLBACKS.values(), ids=CALLBACKS)
def test_an_answer_to_no_log_in_is_refused(
    person: Visitor, imitation: Imitation, query: str
) -> None:
    become(imitation)
    state = dict(httpx.URL(answer_of(person, "google")).params)["state"]
    answer = person.get("/hub/google/oauth_callback" + query.format(state=state))
    assert answer.status_code == 400, answer.text[:2000]
    assert "login.callback" in answer.text and "Begin again" in answer.text
    assert who(person) == ""


def test_an_answer_counts_once_in_one_browser_at_one_provider(
    logins: HubStand, imitation: Imitation
) -> None:
    become(imitation)
    first, second = Visitor(logins), Visitor(logins)
    answer = answer_of(first, "google")
    # another browser, which has a log-in of its own under way
    answer_of(second, "google")
    assert second.get(answer).status_code == 400
    # another provider's page
    answer_of(first, "github")
    assert first.get(answer.replace("/google/", "/github/")).status_code == 400
    assert first.get(answer).status_code == 302
    assert first.get(answer).status_code == 400
    assert (who(first), who(second)) == ("google:ada@example.org", "")


def test_who_goes_back_at_the_provider_is_told_so(person: Visitor, imitation: Imitation) -> None:
    become(imitation)
    state = dict(httpx.URL(answer_of(person, "google")).params)["state"]
    path = f"/hub/google/oauth_callback?error=access_denied&error_description=<b>x&state={state}"
    answer = person.get(path)
    assert answer.status_code == 403
    assert "login.refused" in answer.text and "<b>x" not in answer.text


REFUSED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "not-listed": ("github", {"login": "mallory", "id": 50, "emails": [
        {"email": "m@elsewhere.example", "primary": True, "verified": True}]},
        "login.refused", "may not log in here"),
    "unconfirmed-domain": ("github", {"login": "mallory", "id": 50, "emails": [
        {"email": "m@example.org", "primary": True, "verified": False}]},
        "login.refused", "not confirmed"),
    "other-domain": ("google", {"email": "ada@sub.example.org"}, "login.refused", "may not"),
    "domain-within": ("google", {"email": "ada@example.org.evil"}, "login.refused", "may not"),
    "unconfirmed-name": ("google", {"verified_email": False}, "login.mail", "not confirmed"),
    "unconfirmed-text": ("linkedin", {"email_verified": "yes"}, "login.mail", "not confirmed"),
    "name-a-list": ("google", {"email": ["ada@example.org"]}, "login.name", "told no name"),
    "no-name": ("linkedin", {"email": None}, "login.name", "told no name"),
    "illegal-name": ("github", {"login": "a b", "id": 51}, "login.name", "cannot be used here"),
    "colon": ("github", {"login": "ada:x", "id": 51}, "login.name", "cannot be used here"),
    "wide-colon": ("github", {"login": "zero\uff1ax", "id": 51}, "login.name", "cannot be used"),
    "path": ("github", {"login": "../x", "id": 51}, "login.name", "cannot be used here"),
    "html": ("github", {"login": "<script>", "id": 51}, "login.name", "cannot be used here"),
    "long": ("github", {"login": "a" * 95, "id": 51}, "login.name", "at most 100"),
    "very-long": ("github", {"login": "a" * 5000, "id": 51}, "login.name", "at most 100"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_refused_person_is_told_why_and_has_a_way_back(
    logins: HubStand,
    person: Visitor,
    imitation: Imitation,
    case: tuple[str, dict[str, Any], str, str],
) -> None:
    login, changes, code, text = case
    before = users(logins)
    become(imitation, **changes)
    answer = log_in_at(person, login)
    assert answer.status_code == 403, answer.text[:3000]
    assert code in answer.text and text in answer.text and "oauth_login" in answer.text
    assert "<script>" not in answer.text.split("jb-narrow")[1].split("</p>")[1]
    assert who(person) == "" and users(logins) == before


def test_a_name_that_changed_hands_is_refused(logins: HubStand, imitation: Imitation) -> None:
    first, second = Visitor(logins), Visitor(logins)
    become(imitation, login="handed", id=20)
    log_in_at(first, "github")
    assert who(first) == "github:handed"
    become(imitation, login="Handed", id=21)
    answer = log_in_at(second, "github")
    assert answer.status_code == 403 and "login.identity" in answer.text
    assert who(second) == ""
    # an admin who removes the old account makes room, its files aside
    assert logins.api("DELETE", "/users/github:handed").status_code == 204
    log_in_at(second, "github")
    assert who(second) == "github:handed"


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "http://evil.example/x", "https:evil.example",
     "javascript:alert(1)", "/%5cevil.example", "http://127.0.0.1@evil.example"],
)  # fmt: skip
def test_next_never_leads_elsewhere(
    logins: HubStand, person: Visitor, imitation: Imitation, target: str
) -> None:
    become(imitation)
    answer = log_in_at(person, "google", target)
    parts = urlsplit(answer.headers["location"])
    assert answer.status_code == 302
    assert parts.netloc in {"", urlsplit(logins.url).netloc}
    assert not answer.headers["location"].startswith(("//", "/\\", "\\"))


def test_control_characters_in_next_are_refused_before_the_provider_is_asked(
    person: Visitor,
) -> None:
    answer = person.get("/hub/google/oauth_login?next=/%0d%0aLocation:%20http://evil.example")
    assert answer.status_code == 400


def test_the_cookie_of_a_log_in_under_way_is_its_own_and_closed(
    person: Visitor, imitation: Imitation
) -> None:
    begun = person.get("/hub/google/oauth_login")
    cookie = begun.headers["set-cookie"]
    for part in ("juliabox-login-google=", "HttpOnly", "SameSite=Lax", "Max-Age=1800"):
        assert part in cookie
    assert begun.headers["cache-control"] == "no-store"


def test_the_imitation_s_tokens_are_real(imitation: Imitation) -> None:
    become(imitation)
    key = jwt.PyJWKSet.from_dict(imitation.keys()).keys[0]
    found = jwt.decode(imitation.id_token("n", "box"), key, ["RS256"], audience="box")
    assert found["nonce"] == "n"
