"""What the proxy itself answers: JSON with a code for programs, and no traceback."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support.hub_stand import proxy_program
from support.ports import free_port

CROOKED = ["%FF", "%", "%zz", "a%E0%A4%A", "%C0%AF"]
APIS = "/services/api/ada/sums"


class Part(http.server.BaseHTTPRequestHandler):
    """Hub and engine: both say which they are, and the engine marks what it says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        engine = self.path.startswith("/services/api/")
        body = b'{"error": "mine"}' if engine else b"<p>hub</p>"
        said = {"overload": 503, "malformed": 400, "unmarked": 404}
        self.send_response(said.get(self.path.rpartition("/")[2], 200))
        self.send_header("Content-Type", "application/json" if engine else "text/html")
        more = 1000 if self.path.endswith(("endless", "dies")) else 0
        self.send_header("Content-Length", str(len(body) + more))
        if engine and not self.path.endswith(("unmarked", "malformed", "endless")):
            self.send_header("X-Request-Id", "f" * 32)
        self.end_headers()
        self.wfile.write(body)
        if self.path.endswith("endless"):
            self.rfile.read(1)  # until whoever asked is gone
        self.close_connection = bool(more)

    do_POST = do_GET  # the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Proxy:
    """A proxy that leads to a hub, and to an engine where it is told so."""

    port: int
    api_port: int
    log: Path
    #: Where hub and engine answer.
    behind: str

    def ask(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        """Send an address as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, headers=headers)
        return connection.getresponse()

    def lead(self, path: str, target: str) -> None:
        """Add a route."""
        url = f"http://127.0.0.1:{self.api_port}/api/routes{path}"
        headers = {"Authorization": "token proxy"}
        made = httpx.post(url, headers=headers, json={"target": target}, timeout=60)
        assert made.status_code == 201


@contextmanager
def running(folder: Path, apis: str) -> Iterator[Proxy]:
    hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Part)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    there = f"http://127.0.0.1:{hub.server_address[1]}"
    for name in ("proxy_token", "routes_token"):
        (folder / name).write_text("proxy")
    made = Proxy(free_port(), free_port(), folder / "log", there)
    environment = {
        **os.environ,
        "JULIABOX_PROXY_API_ADDRESS": "127.0.0.1",
        "JULIABOX_PROXY_ADDRESS": "127.0.0.1",
        "JULIABOX_PROXY_PORT": str(made.port),
        "JULIABOX_PROXY_API_PORT": str(made.api_port),
        "JULIABOX_PROXY_SECRETS": str(folder),
        "JULIABOX_PROXY_PROGRAM": str(proxy_program()),
        "JULIABOX_HUB_URL": there,
        "JULIABOX_BASE_URL": "/",
        "JULIABOX_APIS": apis,
    }
    command = [sys.executable, "-m", "juliabox_spawner.proxy_start"]
    with made.log.open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: made.ask("/_chp_healthz").status == 200)
        made.lead("/", made.behind)
        yield made
    finally:
        process.kill()
        process.wait()
        hub.shutdown()
        hub.server_close()


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running(tmp_path_factory.mktemp("proxy"), "1") as made:
        yield made


@pytest.fixture
def engine(proxy: Proxy) -> None:
    proxy.lead("/services/api", proxy.behind)


def told(answer: http.client.HTTPResponse) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/json"
    # a page of any origin may read when to come again
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"
    return answer.status, json.loads(answer.read())["code"]


@pytest.mark.parametrize("escape", CROOKED)
def test_a_crooked_address_of_a_call_is_refused_with_a_code(proxy: Proxy, escape: str) -> None:
    assert told(proxy.ask(f"{APIS}/add/{escape}")) == (400, "api.address")
    assert told(proxy.ask(f"{APIS}/add/{escape}?x=1", "POST")) == (400, "api.address")


@pytest.mark.parametrize("path", [*(f"/user/ada/files/{one}" for one in CROOKED), "//", "//a:b/"])
def test_any_other_crooked_address_is_a_bad_request_without_a_traceback(
    proxy: Proxy, path: str
) -> None:
    for headers in ({}, {"Connection": "Upgrade", "Upgrade": "websocket"}):
        assert proxy.ask(path, **headers).status == 400
    assert proxy.ask("/hub/%C3%A9").status == 200
    assert "Error" not in proxy.log.read_text()


@pytest.mark.usefixtures("engine")
def test_what_the_engine_says_is_let_through(proxy: Proxy) -> None:
    answer = proxy.ask(f"{APIS}/add/1")
    assert (answer.status, answer.read()) == (200, b'{"error": "mine"}')
    answer = proxy.ask(f"{APIS}/overload")
    assert (answer.status, answer.read()) == (503, b'{"error": "mine"}')


@pytest.mark.usefixtures("engine")
def test_a_request_that_the_engine_cannot_read_stays_the_callers_fault(proxy: Proxy) -> None:
    """The engine's server says so before there is a request with an id."""
    answer = proxy.ask(f"{APIS}/malformed")
    assert answer.headers["Retry-After"] is None
    assert told(answer) == (400, "api.body")


@pytest.mark.usefixtures("engine")
def test_words_of_others_are_replaced_whole_and_at_once(proxy: Proxy) -> None:
    answer = proxy.ask(f"{APIS}/unmarked")
    assert (answer.reason, told(answer)) == ("Service Unavailable", (503, "api.silent"))
    assert told(proxy.ask(f"{APIS}/endless")) == (503, "api.silent")


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("path", [f"{APIS}/dies", "/hub/dies"])
def test_a_part_that_dies_in_the_middle_of_its_answer_leaves_nobody_waiting(
    proxy: Proxy, path: str
) -> None:
    answer = proxy.ask(path)
    assert answer.status == 200
    with pytest.raises(http.client.IncompleteRead):
        answer.read()


def test_a_websocket_with_a_crooked_address_is_closed_for_good(proxy: Proxy) -> None:
    asks = b"GET /%FF HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        client.sendall(asks)
        while client.recv(1000):
            pass
        # a proxy that only says that it says no more goes on listening
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            for _ in range(50):
                client.sendall(b"x")
                time.sleep(0.1)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(asks)
    assert proxy.ask("/_chp_healthz").status == 200
    assert "Uncaught" not in proxy.log.read_text()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_calls_an_engine_that_is_away_is_told_to_come_again(proxy: Proxy, method: str) -> None:
    """Be it that the proxy does not reach it, or that there is no route to it yet."""
    assert told(proxy.ask(f"{APIS}/unmarked", method)) == (503, "api.silent")
    proxy.lead("/services/api", f"http://127.0.0.1:{free_port()}")
    answer = proxy.ask(f"{APIS}/add/1", method)
    assert answer.headers["Retry-After"] == "2"
    assert told(answer) == (503, "api.silent")


def test_what_is_no_call_is_answered_in_pages(proxy: Proxy) -> None:
    proxy.lead("/gone", f"http://127.0.0.1:{free_port()}")
    for path, status in (("/services/apis", 200), ("/hub/home", 200), ("/gone", 503)):
        answer = proxy.ask(path)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html")


def test_without_an_engine_each_call_is_told_so(tmp_path: Path) -> None:
    with running(tmp_path, "") as proxy:
        for path in (f"{APIS}/add/1", "/services/api/_/apis", "/services/api", "/services/%61pi/x"):
            for method in ("GET", "POST"):
                assert told(proxy.ask(path, method)) == (404, "api.off")
        assert proxy.ask("/hub/home").read() == b"<p>hub</p>"
