"""What a page of the portal never does: change without XSRF token, leak a token, show a trace."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Iterator

import httpx
import pytest
from tornado.web import RequestHandler

from juliabox_services.portal.app import ROUTES
from juliabox_services.portal.models import PAGES
from support.portal_routes import address, data_address
from support.portal_stand import PREFIX, Guest, PortalStand
from support.visitor import add_person

SAMPLE = {
    r"api/tokens/([A-Za-z0-9]{1,64})": "api/tokens/a1",
    r"api/packages/([a-z0-9-]{0,64})": "api/packages/",
}
SAMPLE |= {route: route.replace("([^/]+)", "a1") for route in ROUTES if "([^/]+)" in route}


def mutating() -> Iterator[tuple[str, str]]:
    for route, handler in ROUTES.items():
        for method in ("post", "put", "patch", "delete"):
            if getattr(handler, method) is not getattr(RequestHandler, method):
                yield method.upper(), SAMPLE.get(route, route)


def readable() -> list[str]:
    found = [
        SAMPLE.get(route, route)
        for route, handler in ROUTES.items()
        if handler.get is not RequestHandler.get
    ]
    pages = [address(info) for info in PAGES.values()]
    data = [data_address(info) for info in PAGES.values()]
    return [*found, *pages, *data]


MUTATING = list(mutating())


def test_the_routes_that_change_something_are_found() -> None:
    assert len(MUTATING) == 17


@pytest.mark.parametrize(("method", "path"), MUTATING, ids=str)
@pytest.mark.parametrize("token", ["missing", "foreign", "forged"])
def test_every_route_that_changes_something_demands_the_xsrf_token_of_the_log_in(
    admin: Guest, intruder: Guest, method: str, path: str, token: str
) -> None:
    headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    if token != "missing":
        headers["X-XSRFToken"] = intruder.xsrf if token == "foreign" else secrets.token_hex(20)
    answer = admin.http.request(method, f"{PREFIX}{path}", headers=headers, content=b"{}")
    assert answer.status_code == 403, answer.text
    assert answer.json()["code"] == "http.403"


@pytest.fixture(scope="session")
def intruder(stand: PortalStand) -> Guest:
    """Somebody else who is logged in."""
    return Guest(stand).enter("intruder", add_person(stand, "intruder"))


@pytest.mark.parametrize("path", readable())
def test_nobody_reads_anything_without_a_log_in(stand: PortalStand, path: str) -> None:
    answer = Guest(stand).http.get(f"{PREFIX}{path}", headers={"Sec-Fetch-Mode": "cors"})
    assert answer.status_code == 403, answer.text
    refused = Guest(stand).http.get(
        f"{PREFIX}{path}", headers={"Authorization": f"token {secrets.token_hex(16)}"}
    )
    assert refused.status_code in {302, 403}


@pytest.mark.parametrize("path", ["", "tokens", "admin/", "nothing", "api/me", "api/nothing"])
def test_every_answer_has_the_security_headers(admin: Guest, path: str) -> None:
    answer = admin.api("GET", path.removeprefix("api/")) if path.startswith("api/") else (
        admin.open(path)
    )  # fmt: skip
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Tornado" not in answer.headers["Server"]


def test_a_page_of_another_site_gets_nothing_by_the_cookies(admin: Guest) -> None:
    for mode in ("cors", "no-cors", "same-origin"):
        headers = {"Sec-Fetch-Mode": mode, "Sec-Fetch-Site": "cross-site"}
        answer = admin.http.get(f"{PREFIX}api/me", headers=headers)
        assert answer.status_code == 403, mode
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["api/servers/start", "api/tokens", "api/admin/message"])
def test_a_body_that_is_too_large_is_refused(admin: Guest, path: str) -> None:
    answer = admin.api(
        "PUT" if path.endswith("message") else "POST",
        path.removeprefix("api/"),
        content=b'{"note": "' + b"x" * 100_000 + b'"}',
    )
    assert answer.status_code == 413, answer.text


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", b"[" * 60_000, b'{"server": 7}', b'{"server": null}'],
    ids=["empty", "list", "open", "no text", "deep", "number", "null"],
)  # fmt: skip
def test_a_body_that_is_none_is_refused_in_a_sentence(admin: Guest, body: bytes) -> None:
    answer = admin.api("POST", "servers/remove", content=body)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"code", "message"}
    assert "Traceback" not in answer.text


def test_a_log_in_ends_on_a_page_of_the_portal_and_nowhere_else(stand: PortalStand) -> None:
    for path in ("?next=https://evil.example/", "//evil.example/", "%2f%2fevil.example"):
        guest = Guest(stand)
        guest.log_in("admin")
        answer = guest.http.get(f"{PREFIX}{path}", headers={"Sec-Fetch-Mode": "navigate"})
        seen = 0
        while answer.is_redirect and seen < 10:
            location = str(answer.headers["Location"])
            assert location.startswith("/") and not location.startswith("//"), location
            answer = guest.http.get(location, headers={"Sec-Fetch-Mode": "navigate"})
            seen += 1


@pytest.mark.parametrize("query", ["code=x&state=y", "state=y", "error=access_denied", "code=x"])
def test_the_end_of_a_log_in_that_was_never_begun_is_refused(
    stand: PortalStand, query: str
) -> None:
    answer = Guest(stand).http.get(f"{PREFIX}oauth_callback?{query}")
    assert answer.status_code in {400, 403}
    assert "Traceback" not in answer.text


def test_a_token_in_an_address_counts_for_nothing_not_even_for_a_web_socket(
    stand: PortalStand, admin: Guest
) -> None:
    token = admin.api("POST", "tokens", json={"note": "canary"}).json()["token"]
    for mode in ("navigate", "websocket", "cors"):
        answer = Guest(stand).http.get(
            f"{PREFIX}api/me?token={token}", headers={"Sec-Fetch-Mode": mode}
        )
        assert answer.status_code == 403
    assert token not in stand.portal_log


def test_no_token_is_in_a_log_or_an_address(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    guest = person("canary")
    addresses: list[str] = []
    guest.http.event_hooks["request"] = [lambda request: addresses.append(str(request.url))]
    made = guest.api("POST", "tokens", json={"note": "canary"}).json()["token"]
    for path in readable():
        guest.open(path)
    cookie = guest.http.cookies.get("service-portal", path=PREFIX)
    assert cookie
    # cookies are signed, with the token in base64 between bars
    encoded = cookie.strip('"').split("|")[4].split(":")[1]
    own = base64.b64decode(encoded).decode()
    secrets_of_parts = [stand.tokens["portal_token"], stand.tokens["operator_token"]]
    log = stand.portal_log + stand.log
    for secret in (made, own, guest.xsrf, *secrets_of_parts):
        assert secret not in log
        assert not any(secret in address for address in addresses)
    assert not re.search(r"[?&]token=(?!\[secret\])", log)


def test_figures_and_health_are_not_reachable_by_the_proxy(stand: PortalStand) -> None:
    for path in ("metrics", "healthz"):
        assert Guest(stand).http.get(f"{PREFIX}{path}").status_code == 404
    figures = httpx.get(f"http://127.0.0.1:{stand.figures_port}/metrics", timeout=60).text
    assert 'juliabox_portal_requests_total{route="PageHandler",status="200"}' in figures
    assert "juliabox_portal_recorder_lag_seconds" in figures


def test_only_one_s_own_sessions_may_show_their_head_in_a_frame(admin: Guest) -> None:
    head = admin.open("head/")
    assert head.status_code == 200 and "jb-slim" in head.text
    assert "frame-ancestors 'self'" in head.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in head.headers
    absent = admin.open("head/nothing")
    assert absent.status_code == 404 and absent.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in absent.headers["Content-Security-Policy"]
