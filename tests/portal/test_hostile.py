"""Each route of the portal, tried by somebody who means it ill; a new route is tried by itself."""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from juliabox_manager import protocol as p
from juliabox_services.portal import app
from juliabox_services.portal.base import PortalHandler, describe
from juliabox_services.portal.handlers import NEEDS
from juliabox_services.portal.login import Callback
from juliabox_services.portal.models import PAGES
from juliabox_services.portal.plugins import PluginFiles
from support.portal_routes import METHODS, Route, live_routes, twin
from support.portal_stand import PREFIX, Guest, PortalStand
from support.portal_steps import run_server

#: What anybody may have: none of it is about somebody.
PUBLIC = {app.Health, app.PublicMessage, app.Static, PluginFiles, Callback, app.AbsentApi}

#: What the portal says of a fault that it did not foresee.
OWN_FAULT = describe(ValueError(), 500)[2]

SCRIPT = "<script>alert(1)</script>"
NAMES = [
    SCRIPT,
    "</script><img src=x onerror=alert(1)>",
    "../../etc/passwd",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "oidc:ada",
    "\u202egnp.exe",
    "a" * 200,
    "{{7*7}}",
    "x\r\nSet-Cookie: a=b",
]


@pytest.fixture(scope="session")
def routes(stand: PortalStand, tmp_path_factory: pytest.TempPathFactory) -> list[Route]:
    found = live_routes(stand, tmp_path_factory.mktemp("twin") / "portal")
    assert "plugins/stand-pages/hello" in {one.path for one in found}
    return found


@pytest.fixture(scope="session")
def behind(routes: list[Route]) -> list[Route]:
    """The routes behind the log-in, but for one that fails whatever it is asked."""
    broken = "plugins/stand-pages/broken"
    return [one for one in routes if one.handler not in PUBLIC and one.path != broken]


def send(guest: Guest, method: str, path: str, **headers: str) -> httpx.Response:
    given = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", **headers}
    return guest.http.request(
        method, f"{PREFIX}{path}", headers=given, content=b"{}" if method != "GET" else None
    )


def unharmed(answer: httpx.Response) -> bool:
    """Whether an answer is no fault of the portal's own and shows no trace of one."""
    return answer.status_code < 500 and "Traceback" not in answer.text


def test_every_route_is_behind_the_log_in_or_known_to_be_public(routes: list[Route]) -> None:
    for route in routes:
        assert issubclass(route.handler, PortalHandler) or route.handler in PUBLIC, route


def test_nobody_gets_anything_of_a_route_behind_the_log_in(
    stand: PortalStand, behind: list[Route]
) -> None:
    nobody = Guest(stand)
    for route in behind:
        for method in METHODS:
            answer = send(nobody, method, route.path)
            assert answer.status_code == 403, (method, route)


def test_no_route_changes_anything_without_the_xsrf_token(
    admin: Guest, behind: list[Route]
) -> None:
    tried = 0
    for route in behind:
        for method in METHODS[1:]:
            for token in ({}, {"X-XSRFToken": secrets.token_hex(20)}):
                answer = send(admin, method, route.path, **token)
                assert answer.status_code == 403, (method, route)
            tried += route.takes(method)
    assert tried >= 9


@pytest.mark.parametrize("scope", ["", "statistics", "containers"], ids=["person", "stat", "cont"])
def test_each_role_opens_its_own_admin_pages_and_no_others(
    stand: PortalStand, person: Callable[[str], Guest], behind: list[Route], scope: str
) -> None:
    guest = person(f"role-{scope or 'none'}")
    if scope:
        added = stand.api("POST", f"/groups/{scope}/users", json={"users": [guest.name]})
        assert added.status_code == 200, added.text
        guest = Guest(stand).enter(guest.name, password_of(stand, guest.name))
    wanted = {name for name, needed in NEEDS.items() if f"custom:juliabox:{scope}" in needed}
    opened = set()
    for route in behind:
        if "admin" not in route.path and not route.page:
            continue
        answer = send(guest, "GET", route.path, **{"X-XSRFToken": guest.xsrf})
        if answer.status_code == 200:
            opened.add(route.page or "usage")
        else:
            assert answer.status_code in {403, 405}, route
    assert opened == wanted
    for method in ("PUT", "POST", "DELETE"):
        answer = send(guest, method, "api/admin/message", **{"X-XSRFToken": guest.xsrf})
        assert answer.status_code == 403


def password_of(stand: PortalStand, name: str) -> str:
    return str(stand.api("POST", f"/users/{name}/password").json()["password"])


QUERIES = [
    f"offset={'9' * 5000}&limit={'9' * 400}",
    "offset=-1&limit=0&sort=__class__&order=x&from=9999-12-31&to=0001-01-01&by=%27",
    "search=%00%ff&sort=%00&from=%00",
    "offset=1e9&limit=%D9%A1%D9%A2&from=2999-12-31&to=2999-12-31&search=%E2%80%AE&server=../..&_xsrf=x&token=x&next=//evil.example",
]


def test_no_query_breaks_a_route(admin: Guest, behind: list[Route]) -> None:
    for route in behind:
        for query in QUERIES:
            answer = send(admin, "GET", f"{route.path}?{query}", **{"X-XSRFToken": admin.xsrf})
            assert unharmed(answer), (route, query, answer.text)
            assert "evil.example" not in answer.headers.get("Location", "")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH", "PROPFIND"])
def test_no_method_breaks_a_route(admin: Guest, routes: list[Route], method: str) -> None:
    for route in routes:
        answer = send(admin, method, route.path, **{"X-XSRFToken": admin.xsrf})
        assert unharmed(answer), (route, answer.text)


BODIES = [
    b"[" * 60_000,
    b'{"server": "' + b"\\ud800" + b'"}',
    b'{"server": "\\u0000", "owner": "\\u0000", "note": "\\u0000", "text": "\\u0000"}',
    b'{"note": "x", "expires_in": 1e308, "until": 1e308, "text": "x", "server": ".."}',
    b'{"server": "../../admin", "owner": "?x=#", "profile": "%2e%2e"}',
    b'{"a": NaN}',
    b"\x80" * 100,
]


@pytest.mark.parametrize(
    "body",
    BODIES,
    ids=["deep", "surrogate", "nul", "huge-numbers", "paths", "nan", "bytes"],
)
def test_no_body_breaks_a_route(
    stand: PortalStand, admin: Guest, behind: list[Route], body: bytes
) -> None:
    for route in behind:
        for method in METHODS[1:]:
            if route.takes(method):
                answer = admin.http.request(
                    method,
                    f"{PREFIX}{route.path}",
                    headers={"X-XSRFToken": admin.xsrf, "Sec-Fetch-Mode": "cors"},
                    content=body,
                )
                assert unharmed(answer), (method, route, answer.text)
    admin.api("DELETE", "admin/message")


@pytest.fixture
def odd_names(stand: PortalStand) -> Iterator[None]:
    """A manager that tells of sessions, volumes and failures of people with odd names."""
    limits = p.Limits(memory=2**30, cpu=1.0, pids=256, disk=2**30)
    before = time.time() - 60
    for number, name in enumerate(NAMES):
        info = p.SessionInfo(
            session=f"odd{number}", owner=name, server=name[:30], state="running", image=name,
            profile=name, limits=limits, container=name, address="", port=1, started=before,
            stale=False,
        )  # fmt: skip
        stand.manager.sessions[info.session] = info
        stand.manager.volumes.add(name)
        stand.on_manager(stand.manager.fail(name, "odd", f"{name} failed"))

    async def tell() -> None:
        # as of any that starts; the recorder would look at all sessions by itself, but seldom
        for number in range(len(NAMES)):
            stand.manager._emit("session.state", f"odd{number}", "running")

    stand.on_manager(tell())
    yield
    for number, name in enumerate(NAMES):
        del stand.manager.sessions[f"odd{number}"]
        stand.manager.volumes.discard(name)


@pytest.mark.usefixtures("odd_names")
def test_odd_names_are_text_on_every_page(
    stand: PortalStand, admin: Guest, behind: list[Route]
) -> None:
    pages = {"sessions", "volumes", "failures"}
    for name in pages:
        # what was known of the manager a moment before is without them
        stand.wait_for(lambda name=name: "alert(1)" in admin.api("GET", f"admin/{name}").text)
    shown = set()
    for route in behind:
        answer = send(admin, "GET", route.path, **{"X-XSRFToken": admin.xsrf})
        assert unharmed(answer), (route, answer.text)
        assert "a" not in answer.cookies
        if answer.headers["Content-Type"].startswith("text/html"):
            assert SCRIPT not in answer.text and "<img src=x" not in answer.text, route
            shown |= {route.page} if "alert(1)" in answer.text else set()
    assert shown >= pages


@pytest.mark.usefixtures("odd_names")
def test_no_cell_of_the_figures_is_a_formula(stand: PortalStand, admin: Guest) -> None:
    def told() -> str:
        text = admin.api("GET", "admin/usage.csv").text
        return text if "calc" in text else ""

    text = stand.wait_for(told, 120)
    for line in text.splitlines():
        for cell in line.split(","):
            assert not cell.strip('"').startswith(("=", "+", "-", "@", "\t")), line


LIES: list[tuple[str, dict[str, Any]]] = [
    ("types", {"started": "yesterday", "owner": 7}),
    ("huge", {"started": 1e300}),
    ("before", {"started": -1e300}),
    ("words", {"state": "on fire", "limits": None}),
]


@pytest.mark.parametrize("lie", [one for _, one in LIES], ids=[name for name, _ in LIES])
def test_a_manager_that_lies_breaks_no_page(
    stand: PortalStand, admin: Guest, behind: list[Route], lie: dict[str, Any]
) -> None:
    limits = p.Limits(memory=2**30, cpu=1.0, pids=256, disk=2**30)
    info = p.SessionInfo(
        session="liar", owner="admin", server="liar", state="running", image="x", profile="",
        limits=limits, container="x", address="", port=1, started=1.0, stale=False,
    )  # fmt: skip
    time.sleep(1.6)  # what was known of the manager is old by then
    stand.manager.sessions["liar"] = replace(info, **lie)
    try:
        for route in behind:
            answer = send(admin, "GET", route.path, **{"X-XSRFToken": admin.xsrf})
            told = answer.text
            assert "Traceback" not in told and OWN_FAULT not in told, (route, told)
        assert admin.api("GET", "home").status_code == 200
    finally:
        del stand.manager.sessions["liar"]


def test_nothing_of_another_person_is_reached_by_name_or_number(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    one, other = person("thief"), person("owner")
    run_server(stand, other, "lab")
    made = other.api("POST", "tokens", json={"note": "mine"}).json()
    assert one.api("DELETE", f"tokens/{made['id']}").status_code == 404
    assert stand.api("GET", "/user", made["token"]).status_code == 200
    for path in ("session/lab", "packages/lab", "archive", "archive/account.zip", "me", "home"):
        answer = one.api("GET", path, params={"owner": "owner", "user": "owner", "name": "owner"})
        assert b'"owner"' not in answer.content, path
    for path in ("servers/stop", "servers/remove"):
        one.api("POST", path, json={"server": "lab", "owner": "owner"})
    state = {one["server"]: one["state"] for one in other.api("GET", "home").json()["sessions"]}
    assert state["lab"] == "running"


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "%2fetc%2fpasswd", "../__init__.py", "%2e%2e/__init__.py", "out.txt",
     "/nowhere", "../nowhere.py", "%00", "x" * 300, "a/" * 2000, "."],
    ids=["absolute", "encoded", "module", "dots", "link", "absent", "absent-module", "nul",
         "long", "deep", "folder"],
)  # fmt: skip
def test_nobody_learns_what_files_there_are_besides_those_of_plugins(
    stand: PortalStand, path: str
) -> None:
    # not by httpx, which tidies addresses up
    connection = http.client.HTTPConnection("127.0.0.1", stand.portal_port, timeout=60)
    connection.request("GET", f"{PREFIX}plugins/stand-pages/static/{path}")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (404, b"404\n")
    connection.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "//evil.example/services/portal/oauth_callback"},
        {"redirect_uri": f"{PREFIX}oauth_callback/../../../evil"},
        {"client_id": "service-portal ", "redirect_uri": "javascript:alert(1)"},
    ],
    ids=["foreign", "schemeless", "path", "script"],
)
def test_a_code_of_a_log_in_goes_to_the_portal_alone(
    stand: PortalStand, admin: Guest, changed: dict[str, str]
) -> None:
    query = {"client_id": "service-portal", "response_type": "code", "state": "x", **changed}
    answer = admin.http.get("/hub/api/oauth2/authorize", params=query)
    assert answer.status_code in {400, 403}, answer.headers
    assert "Location" not in answer.headers


@pytest.mark.parametrize("until", [1e308, -1.0, 1e15], ids=["huge", "negative", "far"])
def test_a_message_ends_at_a_time_that_browsers_can_show(admin: Guest, until: float) -> None:
    body = json.dumps({"text": "hello", "level": "info", "until": until})
    answer = admin.api("PUT", "admin/message", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "portal.message")


async def test_behind_https_every_cookie_is_for_https_alone(
    stand: PortalStand, admin: Guest, tmp_path: Path
) -> None:
    token = admin.api("POST", "tokens", json={"note": "cookies", "expires_in": 600}).json()["token"]
    with twin(stand, public_url="https://juliabox.example/", folder=tmp_path) as portal:
        portal.parts.plugins.load()
        server = HTTPServer(portal.application())
        socket, port = bind_unused_port()
        server.add_sockets([socket])
        address = f"http://127.0.0.1:{port}{PREFIX}"
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            shown = await client.get("", headers={"Authorization": f"token {token}"})
            begun = await client.get("", headers={"Sec-Fetch-Mode": "navigate"})
        server.stop()
        await server.close_all_connections()
    assert shown.status_code == 200 and begun.status_code == 302
    cookies = [*shown.headers.get_list("Set-Cookie"), *begun.headers.get_list("Set-Cookie")]
    assert {one.partition("=")[0] for one in cookies} >= {"service-portal-oauth-state"}
    for cookie in cookies:
        assert "Secure" in cookie and "SameSite=Lax" in cookie, cookie


def test_the_pages_named_by_the_roles_are_pages(routes: list[Route]) -> None:
    assert set(NEEDS) <= {name for name, info in PAGES.items() if info.admin}
    assert {route.page for route in routes if route.page} == {
        name for name, info in PAGES.items() if info.admin
    }
