"""Log-in, sign-up and passwords against a real hub behind a real proxy (S39 to S41, S43)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from support.hub_stand import PASSWORD, HubStand
from support.visitor import NAVIGATE, Visitor, add_person
from support.waiting import measured

GOOD = "a long enough pass phrase"


def sign_up(visitor: Visitor, name: str, password: str = GOOD, again: str = "") -> httpx.Response:
    form = {"username": name, "new_password": password}
    return visitor.post("/hub/signup", {**form, "new_password_confirmation": again or password})


def test_the_first_admin_logs_in_with_the_generated_password(visitor: Visitor) -> None:
    assert visitor.log_in("admin").status_code == 302
    assert visitor.logged_in()


@pytest.mark.parametrize(("name", "password"), [("admin", "wrong"), ("nobody", PASSWORD)])
def test_a_wrong_log_in_is_refused_alike(visitor: Visitor, name: str, password: str) -> None:
    answer = visitor.log_in(name, password)
    assert answer.status_code == 403
    assert "Invalid username or password" in answer.text
    assert not visitor.logged_in()


def test_a_sign_up_waits_for_an_admin_who_authorizes_it(visitor: Visitor, admin: Visitor) -> None:
    assert "once an administrator" in sign_up(visitor, "Grace").text
    refused = visitor.log_in("grace", GOOD)
    assert refused.status_code == 403 and "waits for an administrator" in refused.text
    change = {"username": "grace", "action": "authorize"}
    assert admin.post("/hub/authorize", change).status_code == 302
    assert visitor.log_in("GRACE", GOOD).status_code == 302

    lock_out = {"username": "grace", "action": "lock-out"}
    assert admin.post("/hub/authorize", lock_out).status_code == 302
    assert not visitor.logged_in()
    assert visitor.log_in("grace", GOOD).status_code == 403


def test_an_account_that_waits_can_be_discarded_and_no_other(
    visitor: Visitor, admin: Visitor
) -> None:
    sign_up(visitor, "mallory")
    discard = {"username": "mallory", "action": "discard"}
    assert admin.post("/hub/authorize", discard).status_code == 302
    assert admin.post("/hub/authorize", {**discard, "username": "admin"}).status_code == 409
    assert admin.post("/hub/authorize", {"username": "x", "action": "?"}).status_code == 400
    own = {"username": "admin", "action": "lock-out"}
    assert admin.post("/hub/authorize", own).status_code == 400


def test_pages_of_admins_are_closed_to_others(stand: HubStand, visitor: Visitor) -> None:
    password = add_person(stand, "ordinary")
    visitor.log_in("ordinary", password)
    for path in ("/hub/authorize", "/hub/change-password/admin", "/hub/admin"):
        assert visitor.get(path).status_code in {403, 404}
    token = visitor.token("/hub/change-password")
    form = {"username": "admin", "action": "lock-out", "_xsrf": token}
    assert visitor.http.post("/hub/authorize", data=form).status_code in {403, 404}


@pytest.mark.parametrize("name", ["admin", "Admin", "\uff21\uff24\uff2d\uff29\uff2e"])
def test_an_admin_s_name_cannot_be_signed_up_for(visitor: Visitor, name: str) -> None:
    assert sign_up(visitor, name).status_code == 409


def test_a_name_that_an_admin_added_is_not_taken_over_by_signing_up(
    stand: HubStand, visitor: Visitor
) -> None:
    assert stand.api("POST", "/users/expected").status_code == 201
    assert sign_up(visitor, "expected").status_code == 200
    assert visitor.log_in("expected", GOOD).status_code == 403


@pytest.mark.parametrize(
    ("password", "again", "match"),
    [
        ("short", "", "at least 8"),
        ("password", "", "most common"),
        ("x" * 73, "", "at most 72"),
        (GOOD, "another", "differ"),
    ],
)
def test_a_bad_password_is_refused_with_its_reason(
    visitor: Visitor, password: str, again: str, match: str
) -> None:
    answer = sign_up(visitor, "picky", password, again)
    assert answer.status_code == 400
    assert match in answer.text


def test_a_changed_password_ends_other_log_ins(stand: HubStand, visitor: Visitor) -> None:
    old = add_person(stand, "changer")
    visitor.log_in("changer", old)
    other = Visitor(stand)
    other.log_in("changer", old)
    form = {"new_password": GOOD, "new_password_confirmation": GOOD}
    assert visitor.post("/hub/change-password", {**form, "old_password": "no"}).status_code == 403
    done = visitor.post("/hub/change-password", {**form, "old_password": old})
    assert done.status_code == 200 and "was changed" in done.text
    assert visitor.logged_in() and not other.logged_in()
    assert other.log_in("changer", old).status_code == 403
    assert other.log_in("changer", GOOD).status_code == 302


BAD_NAMES = {
    "path": "../etc",
    "dots": "a..b",
    "slash": "a/b",
    "backslash": "a\\b",
    "nul": "a\x00b",
    "newline": "a\nb",
    "escape": "a\x1b[31mb",
    "right-to-left": "a\u202eb",
    "zero-width": "a\u200bb",
    "html": "<script>alert(1)</script>",
    "sql": "a' OR '1'='1",
    "space": "a b",
    "colon": "a:b",
    "percent": "a%2fb",
    "dash-first": "-rf",
    "dot-first": ".hidden",
    "long": "a" * 255,
    "very-long": "a" * 5000,
    "empty": "",
    "emoji": "a😀",
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_an_illegal_name_is_a_clear_400_at_each_door(
    stand: HubStand, visitor: Visitor, name: str
) -> None:
    answer = visitor.log_in(name, "some password")
    assert answer.status_code == 400
    assert "user name" in answer.text.lower()
    assert "<script>alert" not in answer.text
    assert sign_up(visitor, name).status_code == 400
    added = stand.api("POST", "/users", json={"usernames": [name]})
    assert added.status_code == 400


@pytest.mark.parametrize(
    "twins",
    [("Twin", "tWIN"), ("ﬁx", "fix"), ("Straße", "STRASSE"), ("é1", "e\u03011"), ("Å1", "å1")],
    ids=["case", "ligature", "sharp-s", "combining", "ring"],
)
def test_twins_are_one_person(stand: HubStand, visitor: Visitor, twins: tuple[str, str]) -> None:
    first, second = twins
    made = stand.api("POST", "/users", json={"usernames": [first]})
    assert made.status_code == 201
    again = stand.api("POST", "/users", json={"usernames": [second]})
    assert again.status_code == 409


@pytest.mark.parametrize(
    "name", ["юлия", "李明", "ada.lovelace@example.org", "o-neill_2", "a" * 100]
)
def test_legal_names_of_any_script_log_in_and_start(stand: HubStand, name: str) -> None:
    password = add_person(stand, name)
    visitor = Visitor(stand)
    assert visitor.log_in(name, password).status_code == 302
    assert stand.api("POST", f"/users/{name}/server").status_code in {201, 202}
    stand.wait_for(lambda: stand.api("GET", f"/users/{name}").json()["servers"][""]["ready"])
    sessions = [s for s in stand.manager.sessions.values() if s.owner == name]
    assert len(sessions) == 1
    assert visitor.get(f"/user/{name}/lab").text == f"session of {name}"
    assert stand.api("DELETE", f"/users/{name}").status_code == 204


def test_a_name_is_locked_after_wrong_passwords_and_others_are_not(
    stand: HubStand, visitor: Visitor
) -> None:
    password = add_person(stand, "locked")
    for _ in range(5):
        assert visitor.log_in("locked", "wrong").status_code == 403
    locked = visitor.log_in("locked", password)
    assert locked.status_code == 429 and "Too many wrong passwords" in locked.text
    token = stand.api(
        "POST",
        "/users/locked/tokens",
        token="none",
        json={"auth": {"username": "locked", "password": password}},
    )
    assert token.status_code == 403
    assert Visitor(stand).log_in("admin").status_code == 302
    # an admin who sets a password opens the lock
    assert stand.api("POST", "/users/locked/password", json={"password": GOOD}).status_code == 204
    assert visitor.log_in("locked", GOOD).status_code == 302


def test_a_huge_user_name_is_refused_early_and_not_logged(
    stand: HubStand, visitor: Visitor
) -> None:
    token = visitor.token("/hub/login")
    started = time.monotonic()
    for path in ("/hub/login", "/hub/signup"):
        form = {"username": "Z" * 2**20, "password": "p", "new_password": "p", "_xsrf": token}
        answer = visitor.http.post(path, data=form, headers=NAVIGATE)
        assert answer.status_code == 413
        assert len(answer.text) < 20_000
    assert time.monotonic() - started < 10
    api = stand.api(
        "POST",
        "/users/x/tokens",
        token="none",
        json={"auth": {"username": "Z" * 2**20, "password": "p"}},
    )
    assert api.status_code == 403
    assert "Z" * 100 not in stand.log


@pytest.mark.alone
def test_hashing_does_not_stop_the_hub(stand: HubStand) -> None:
    people = [Visitor(stand) for _ in range(6)]
    tokens = [one.token("/hub/login") for one in people]

    def attempt(index: int) -> int:
        form = {"username": f"guess{index}", "password": "x", "_xsrf": tokens[index]}
        return people[index].http.post("/hub/login", data=form).status_code

    for took in measured(1.0):
        with ThreadPoolExecutor(6) as pool:
            attempts = [pool.submit(attempt, index) for index in range(6)]
            slowest = 0.0
            while not all(one.done() for one in attempts):
                started = time.monotonic()
                assert httpx.get(f"{stand.url}/hub/health", timeout=30).status_code == 200
                slowest = max(slowest, time.monotonic() - started)
                time.sleep(0.02)
        assert {one.result() for one in attempts} == {403}
        took.append(slowest)


NEXT = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "http://evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "%2f%2fevil.example",
    "/%5cevil.example",
    "/\t/evil.example",
    "/\r\nLocation: http://evil.example",
    "http://127.0.0.1@evil.example",
    "//127.0.0.1:80@evil.example",
    "/hub/../..//evil.example",
]


@pytest.mark.parametrize("target", NEXT)
def test_next_never_leads_elsewhere(stand: HubStand, target: str) -> None:
    visitor = Visitor(stand)
    token = visitor.token("/hub/login")
    form = {"username": "admin", "password": PASSWORD, "_xsrf": token}
    answer = visitor.http.post("/hub/login", params={"next": target}, data=form)
    assert answer.status_code in {302, 400}
    for name, value in answer.headers.multi_items():
        if name == "location":
            parts = urlsplit(value)
            assert parts.netloc in {"", urlsplit(stand.url).netloc}
            assert parts.scheme in {"", "http"}
            assert not value.startswith(("//", "/\\", "\\"))


MUTATING = [
    ("POST", "/hub/login"),
    ("POST", "/hub/signup"),
    ("POST", "/hub/authorize"),
    ("POST", "/hub/change-password"),
    ("POST", "/hub/change-password/admin"),
    ("POST", "/hub/spawn"),
    ("POST", "/hub/api/users/xsrf"),
    ("POST", "/hub/api/users/admin/server"),
    ("DELETE", "/hub/api/users/admin/server"),
    ("POST", "/hub/api/users/admin/password"),
    ("POST", "/hub/api/users/admin/tokens"),
    ("PATCH", "/hub/api/users/admin"),
    ("DELETE", "/hub/api/users/xsrf"),
    ("POST", "/hub/api/groups/xsrf"),
    ("POST", "/hub/api/proxy"),
    ("POST", "/hub/api/shutdown"),
]


@pytest.mark.parametrize("kind", ["missing", "foreign"])
@pytest.mark.parametrize(("method", "path"), MUTATING, ids=[f"{m}-{p}" for m, p in MUTATING])
def test_a_change_without_its_own_xsrf_token_is_refused(
    stand: HubStand, admin: Visitor, method: str, path: str, kind: str
) -> None:
    form = {"username": "admin", "password": PASSWORD, "action": "lock-out"}
    headers = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", **NAVIGATE}
    if kind == "foreign":
        form["_xsrf"] = Visitor(stand).token("/hub/login")
        headers["X-XSRFToken"] = form["_xsrf"]
    body = {"json": {}} if "/api/" in path else {"data": form}
    answer = admin.http.request(method, path, headers=headers, **body)
    assert answer.status_code == 403, answer.text[:300]


@pytest.mark.parametrize(
    "path",
    ["/hub/authorize/admin", "/hub/discard/admin", "/hub/confirm/x"],
)
def test_no_link_changes_an_account(admin: Visitor, path: str) -> None:
    assert admin.get(path).status_code == 404
    assert admin.logged_in()


def test_pages_carry_their_security_headers(visitor: Visitor) -> None:
    headers = visitor.get("/hub/login").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"


def test_static_files_do_not_lead_out_of_their_folder(visitor: Visitor) -> None:
    assert visitor.get("/hub/static/juliabox/juliabox.css").status_code == 200
    assert visitor.get("/hub/static/css/style.min.css").status_code == 200
    for path in ("juliabox/../jupyterhub_config.py", "juliabox/%2e%2e/jupyterhub_config.py"):
        assert visitor.get(f"/hub/static/{path}").status_code in {403, 404}
