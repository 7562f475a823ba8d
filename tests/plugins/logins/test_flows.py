"""Each log-in from its button to the home page, side by side on one hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from juliabox_ext.selection import PluginSelection
from support.hub_stand import PASSWORD, HubStand
from support.login_providers import Imitation
from support.login_steps import become, log_in_at, settings_of, tell_openid, users, who
from support.visitor import NAVIGATE, Visitor, add_person

IMITATED = {
    "google": "google:ada@example.org",
    "github": "github:ada",
    "linkedin": "linkedin:ada@example.org",
}


def test_the_page_has_the_form_and_a_button_for_each_log_in(person: Visitor) -> None:
    page = person.get("/hub/login?next=/hub/token").text
    places = [page.index(text) for text in (
        'action="/hub/login?next=%2Fhub%2Ftoken"',
        'href="/hub/oidc/oauth_login?next=%2Fhub%2Ftoken"',
        'href="/hub/google/oauth_login?next=%2Fhub%2Ftoken"',
        'href="/hub/github/oauth_login?next=%2Fhub%2Ftoken"',
        'href="/hub/linkedin/oauth_login?next=%2Fhub%2Ftoken"',
        'action="/hub/zero/login?next=%2Fhub%2Ftoken"',
    )]  # fmt: skip
    assert places == sorted(places)
    assert "Sign in with Example University" in page and "Sign in with GitHub" in page


def test_an_account_here_logs_in_with_its_bare_name(person: Visitor) -> None:
    assert person.log_in("admin").status_code == 302
    assert who(person) == "admin"
    assert 'href="/hub/change-password"' in person.get("/hub/home").text


def test_a_person_of_a_real_openid_provider_logs_in(person: Visitor, provider: str) -> None:
    tell_openid(provider, "ada", email="Ada@Example.org", email_verified=True)
    answer = log_in_at(person, "oidc", "/hub/token", sub="ada")
    assert (answer.status_code, answer.headers["location"]) == (302, "/hub/token")
    assert who(person) == "oidc:ada@example.org"
    assert 'href="/hub/change-password"' not in person.get("/hub/home").text


@pytest.mark.parametrize("login", IMITATED)
def test_a_person_of_each_provider_logs_in(
    person: Visitor, imitation: Imitation, login: str
) -> None:
    become(imitation)
    answer = log_in_at(person, login, "/hub/token")
    assert (answer.status_code, answer.headers["location"]) == (302, "/hub/token")
    assert who(person) == IMITATED[login]
    # the client's secret went to the provider alone, and the code counts once
    assert imitation.forms[-1]["client_secret"] == "canary-client-secret"


def test_zero_has_a_form_of_its_own_beside_the_others(person: Visitor) -> None:
    form = {"username": "Anybody", "_xsrf": person.token("/hub/login")}
    sent = person.http.post("/hub/zero/login", data=form, headers=NAVIGATE)
    assert sent.status_code == 302
    assert who(person) == "zero:anybody"


def test_a_wrong_password_beside_other_log_ins_keeps_the_page(person: Visitor) -> None:
    answer = person.log_in("admin", "wrong")
    assert answer.status_code == 403
    assert "Invalid username or password" in answer.text and "oidc/oauth_login" in answer.text
    assert 'value="admin"' in answer.text


def test_a_session_of_a_provider_s_person_starts_and_is_theirs_alone(
    logins: HubStand, person: Visitor, imitation: Imitation
) -> None:
    become(imitation, login="Starter", id=11, sub="11")
    imitation.user["emails"][1]["email"] = "starter@example.org"
    log_in_at(person, "github")
    name = "github:starter"
    assert logins.api("POST", f"/users/{name}/server").status_code in {201, 202}
    logins.wait_for(lambda: logins.api("GET", f"/users/{name}").json()["servers"][""]["ready"])
    assert [one.owner for one in logins.manager.sessions.values()] == [name]
    assert person.get("/user/github%3Astarter/lab").text == f"session of {name}"
    assert logins.api("DELETE", f"/users/{name}").status_code == 204
    assert logins.manager.sessions == {}
    assert who(person) == ""


def test_admins_of_a_provider_are_admins_and_namesakes_are_not(
    logins: HubStand, provider: str, imitation: Imitation
) -> None:
    dean, twin = Visitor(logins), Visitor(logins)
    tell_openid(provider, "dean", email="dean@example.org", email_verified=True)
    log_in_at(dean, "oidc", sub="dean")
    assert logins.api("GET", "/users/oidc:dean@example.org").json()["admin"] is True
    assert dean.get("/hub/authorize").status_code == 200
    become(imitation, login="admin", id=99)
    log_in_at(twin, "github")
    assert who(twin) == "github:admin"
    assert logins.api("GET", "/users/github:admin").json()["admin"] is False
    become(imitation, email="dean@example.org", id=98, sub="98")
    log_in_at(twin, "google")
    assert logins.api("GET", "/users/google:dean@example.org").json()["admin"] is False


def test_nothing_secret_is_in_the_log_or_the_record(logins: HubStand, imitation: Imitation) -> None:
    become(imitation)
    visitor = Visitor(logins)
    log_in_at(visitor, "github")
    model = logins.api("GET", "/users/github:ada").text
    for canary in ("canary-client-secret", "canary-access-token", PASSWORD):
        assert canary not in logins.log and canary not in model
    assert "subject-ada" not in model


@pytest.mark.parametrize(
    "name", ["oidc:eve", "OIDC:Eve", "oidc\uff1aeve", "github:ada", "zero:eve"],
    ids=["plain", "case", "wide-colon", "taken", "zero"],
)  # fmt: skip
def test_no_account_here_can_have_a_provider_s_name(
    logins: HubStand, person: Visitor, name: str
) -> None:
    form = {"username": name, "new_password": PASSWORD, "new_password_confirmation": PASSWORD}
    assert person.post("/hub/signup", form).status_code == 400
    assert person.log_in(name).status_code == 400
    logins.api("POST", f"/users/{name}")
    path = f"/users/{name.lower()}/password"
    assert logins.api("POST", path, json={"password": PASSWORD}).status_code in {400, 404}
    assert person.log_in(name).status_code == 400
    assert name.lower() not in Visitor(logins).get("/hub/login").text


def test_an_admin_adds_people_of_a_provider_before_they_come(
    logins: HubStand, person: Visitor, imitation: Imitation
) -> None:
    assert logins.api("POST", "/users/GitHub:Later").status_code == 201
    assert "github:later" in users(logins)
    for unknown in ("gitlab:ada", "a:b", "oidc:a:b", ":ada", "oidc:", "native:ada"):
        assert logins.api("POST", f"/users/{unknown}").status_code == 400, unknown
        listed = logins.api("POST", "/users", json={"usernames": [unknown]})
        assert listed.status_code == 400, unknown
    become(imitation, login="later", id=12)
    log_in_at(person, "github")
    assert who(person) == "github:later"


def test_a_deleted_account_and_its_namesakes_part(logins: HubStand, imitation: Imitation) -> None:
    password = add_person(logins, "namesake")
    become(imitation, login="Namesake", id=13)
    native, other = Visitor(logins), Visitor(logins)
    native.log_in("namesake", password)
    log_in_at(other, "github")
    assert (who(native), who(other)) == ("namesake", "github:namesake")
    assert logins.api("DELETE", "/users/namesake").status_code == 204
    assert (who(native), who(other)) == ("", "github:namesake")
    # the record of the password went, too: a later account of the name has none
    assert logins.api("POST", "/users/namesake").status_code == 201
    assert native.log_in("namesake", password).status_code == 403


def test_a_token_is_got_with_the_password_of_an_account_alone(logins: HubStand) -> None:
    def token(name: str, given: str) -> int:
        auth = {"auth": {"username": name, "password": given}}
        return logins.api("POST", f"/users/{name}/tokens", token="none", json=auth).status_code

    assert token("admin", PASSWORD) == 201
    assert token("admin", "wrong") == 403
    assert token("github:ada", PASSWORD) == 403
    assert token("zero:anybody", "") == 403


def test_a_provider_alone_has_a_page_without_a_form(tmp_path: Path, imitation: Imitation) -> None:
    settings = {"github": settings_of(imitation)["github"]}
    selection = PluginSelection(enabled=[], settings=settings)
    # another log-in's admin is nobody here
    login = {"logins": ["github"], "admins": ["admin", "github:ada"]}
    with HubStand(tmp_path, login=login, plugins=selection, idle_timeout=0) as stand:
        person = Visitor(stand)
        page = person.get("/hub/login").text
        assert "/hub/github/oauth_login" in page and "<form" not in page
        become(imitation)
        log_in_at(person, "github")
        assert who(person) == "github:ada"
        assert stand.api("GET", "/users/github:ada").json()["admin"] is False
        assert users(stand) == {"github:ada"}
        token = person.http.cookies.get("_xsrf", path="/hub/")
        form = {"username": "admin", "password": PASSWORD, "_xsrf": token}
        assert Visitor(stand).http.post("/hub/login", data=form).status_code in {403, 404}
        assert person.http.post("/hub/login", data=form, headers=NAVIGATE).status_code == 404
        for path in ("/hub/signup", "/hub/change-password", "/hub/authorize"):
            assert person.get(path).status_code == 404
