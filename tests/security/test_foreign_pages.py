"""Pages of other origins, and other people, before a session's own routes (S39)."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Iterator

import httpx
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from support.fresh_http import FreshConnections
from support.inside import Inside
from support.installation import Installation
from support.visitor import NAVIGATE, XSRF

pytestmark = pytest.mark.engine

#: Each route of a session that changes something: kernels, files, terminals, the server itself.
MUTATING = [
    ("POST", "api/kernels"),
    ("POST", "api/sessions"),
    ("POST", "api/terminals"),
    ("POST", "api/contents"),
    ("PUT", "api/contents/planted.txt"),
    ("PATCH", "api/contents/mine.txt"),
    ("DELETE", "api/contents/mine.txt"),
    ("POST", "api/kernels/{kernel}/interrupt"),
    ("DELETE", "api/kernels/{kernel}"),
    ("POST", "api/shutdown"),
]


class Visit:
    """A browser's cookies after a log-in, without the browser."""

    def __init__(self, installation: Installation, name: str) -> None:
        self.url = installation.url
        password = installation.add_user(name)
        # the proxy ends idle connections after 5 s, perhaps as one is taken
        self.http = httpx.Client(
            base_url=self.url,
            follow_redirects=True,
            timeout=60,
            headers=NAVIGATE,
            transport=FreshConnections(),
        )
        found = XSRF.search(self.http.get("/hub/login").text)
        assert found
        form = {"username": name, "password": password, "_xsrf": found[1]}
        self.http.post("/hub/login", data=form, follow_redirects=False)

    def cookies(self, path: str) -> str:
        """Return what a browser would send to a path."""
        request = self.http.build_request("GET", path)
        return request.headers.get("cookie", "")

    async def open_channel(self, path: str, origin: str) -> str:
        """Open a WebSocket as a page of an origin would; return how it went."""
        request = HTTPRequest(
            self.url.replace("http", "ws", 1) + path,
            headers={"Cookie": self.cookies(path), "Origin": origin},
        )
        try:
            (await websocket_connect(request)).close()
        except HTTPClientError as error:
            return str(error.code)
        return "open"


@pytest.fixture(scope="module")
def owner(mallory: Inside, installation: Installation) -> Iterator[Visit]:
    """Mallory, this time a victim, with a session open in the browser."""
    made = Visit(installation, "mallory")
    assert made.http.get("/user/mallory/lab").status_code == 200
    yield made
    made.http.close()


@pytest.fixture(scope="module")
def kernel(mallory: Inside) -> str:
    """A kernel of the victim."""
    return mallory.kernel


def test_a_page_of_another_origin_cannot_open_a_channel(owner: Visit, kernel: str) -> None:
    for path in (
        f"/user/mallory/api/kernels/{kernel}/channels",
        "/user/mallory/api/events/subscribe",
    ):
        assert asyncio.run(owner.open_channel(path, owner.url)) == "open"
        for origin in (
            "http://evil.example",
            "null",
            "http://127.0.0.1.evil.example",
            owner.url.rpartition(":")[0] + ":1",
        ):
            assert asyncio.run(owner.open_channel(path, origin)) == "403", (path, origin)


@pytest.mark.parametrize(("method", "path"), MUTATING, ids=[f"{m}-{p}" for m, p in MUTATING])
def test_a_page_of_another_origin_cannot_change_a_session(
    owner: Visit, mallory: Inside, kernel: str, method: str, path: str
) -> None:
    mallory.person.write("mine.txt", "mine")
    url = f"/user/mallory/{path.format(kernel=kernel)}"
    headers = {
        "Origin": "http://evil.example",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "no-cors",
    }
    foreign = httpx.get(f"{owner.url}/hub/login", headers=NAVIGATE)
    found = XSRF.search(foreign.text)
    assert found
    for more in ({}, {"X-XSRFToken": found[1]}):
        answer = owner.http.request(method, url, headers={**headers, **more}, content="{}")
        assert answer.status_code == 403, answer.text[:300]
    assert mallory.person.read("mine.txt") == "mine"


def test_nobody_opens_the_session_of_another(installation: Installation, kernel: str) -> None:
    other = Visit(installation, "olaf")
    own = ("juliabox/home.tar.gz", "juliabox/packages")
    for path in ("lab", "api/status", "files/mine.txt", "proxy/8888/api", *own):
        answer = other.http.get(f"/user/mallory/{path}")
        assert answer.status_code == 403, (path, answer.status_code)
    path = f"/user/mallory/api/kernels/{kernel}/channels"
    assert asyncio.run(other.open_channel(path, other.url)) == "403"
    token = {"Authorization": f"token {'0' * 64}"}
    assert httpx.get(f"{other.url}/user/mallory/api/contents", headers=token).status_code == 403


def test_a_home_is_downloaded_by_a_link_and_by_no_foreign_script(
    owner: Visit, mallory: Inside
) -> None:
    mallory.person.write("mine.txt", "mine")
    answer = owner.http.get("/user/mallory/juliabox/home.tar.gz")
    assert answer.status_code == 200
    assert "filename*=UTF-8''mallory-home.tar.gz" in answer.headers["Content-Disposition"]
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        mine = archive.extractfile("mine.txt")
        assert mine is not None and mine.read() == b"mine"
    packages = owner.http.get("/user/mallory/juliabox/packages")
    assert isinstance(packages.json()["environments"], list)
    neighbour = {"Referer": f"{owner.url}/user/olaf/files/page.html"}
    for headers in (
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", **neighbour},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site", "Referer": "http://evil/"},
    ):
        for path in ("home.tar.gz", "packages"):
            url = f"/user/mallory/juliabox/{path}"
            refused = owner.http.get(url, headers=headers, follow_redirects=False)
            # a cookie that a script of another page sends along is nobody's
            assert refused.status_code in {302, 403}, (path, headers)
            assert b"mine" not in refused.content
