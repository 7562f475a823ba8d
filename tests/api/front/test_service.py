"""The engine as a process of its own: its parts together, as its container starts them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
import zmq

from juliabox_ext.selection import PluginSelection
from juliabox_manager.keys import make_key
from juliabox_services.api.access import CALL_SCOPE, PUBLISH_SCOPE
from juliabox_services.api.settings import ApiSettings
from juliabox_spawner.settings import ManagerAddress
from support.api_front import PREFIX
from support.ports import free_port

ACCESS = "access:services!service=api"

#: A hub that knows one token, in a process of its own.
HUB = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Hub(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("Authorization") == "token known"
        body = json.dumps({"name": "ada", "kind": "user", "groups": [], "scopes": SCOPES}).encode()
        self.send_response(200 if known else 403)
        self.end_headers()
        self.wfile.write(body if known else b"")
    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[1])), Hub).serve_forever()
"""


class Service:
    """One engine, its database, and a hub; there is no manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.figures, self.hub_port = (free_port() for _ in range(3))
        (folder / "api").mkdir()
        key = make_key(folder / "manager.key")
        (folder / "api_token").write_text("engine")
        (folder / "api_token").chmod(0o600)
        settings = ApiSettings(
            installation="stand",
            public_url="http://127.0.0.1/",
            addresses=["127.0.0.1"],
            port=self.port,
            metrics_address="127.0.0.1",
            metrics_port=self.figures,
            folder=folder / "api",
            secrets=folder,
            hub_api=f"http://127.0.0.1:{self.hub_port}/hub/api",
            manager=ManagerAddress(
                f"tcp://127.0.0.1:{free_port()}",
                zmq.curve_public(key.secret.encode()).decode(),
                folder / "manager.key",
            ),
            plugins=PluginSelection(enabled=["rdbms"], features={"db": ["rdbms"]}),
            drain=5.0,
        )
        (folder / "api.json").write_bytes(msgspec.json.encode(settings, enc_hook=str))
        scopes = json.dumps([CALL_SCOPE, PUBLISH_SCOPE, ACCESS])
        self.hub = subprocess.Popen(
            [sys.executable, "-c", HUB.replace("SCOPES", scopes), str(self.hub_port)]
        )
        end = time.monotonic() + 60
        while not self.hub_listens():
            assert self.hub.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        self.process = self.start()

    def hub_listens(self) -> bool:
        """Whether the hub is there to be asked."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.hub_port)) == 0

    def start(self) -> subprocess.Popen[bytes]:
        """Start the engine, and wait until it is ready."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "juliabox_services.api.main"],
                env={**os.environ, "JULIABOX_API_SETTINGS": str(self.folder / "api.json")},
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 90
        while not self.healthy():
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError((self.folder / "log").read_text()[-4000:])
            time.sleep(0.1)
        return process

    def healthy(self) -> bool:
        """Whether ``juliabox-health api`` is content."""
        done = subprocess.run(
            [sys.executable, "-m", "juliabox_spawner.health", "api"],
            env={**os.environ, "JULIABOX_API_SETTINGS": str(self.folder / "api.json")},
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def ask(self, method: str, path: str, token: str = "known", **more: object) -> httpx.Response:
        """Send a request."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://127.0.0.1:{self.port}{PREFIX}{path}"
        return httpx.request(method, url, headers=headers, timeout=40, **more)  # type: ignore[arg-type]

    def end(self) -> int:
        """Tell the engine to end, and return its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        """End all processes."""
        for process in (self.process, self.hub):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return an engine that the tests share."""
    made = Service(tmp_path_factory.mktemp("service"))
    yield made
    made.close()


def test_the_engine_is_ready_and_shows_its_figures(service: Service) -> None:
    assert service.healthy()
    assert service.ask("GET", "_/health", token="").text == "ok\n"
    text = httpx.get(f"http://127.0.0.1:{service.figures}/metrics").text
    assert "juliabox_api_requests_total" in text
    assert "juliabox_api_container_starts" in text


def test_the_interface_knows_who_calls(service: Service) -> None:
    answer = service.ask("GET", "_/me")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["name"], answer.json()["publisher"]) == ("ada", True)
    assert service.ask("GET", "_/apis").json() == {"apis": []}
    for token in ("", "unknown"):
        refused = service.ask("GET", "_/me", token=token)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")


def test_calls_and_the_interface_do_not_get_in_each_others_way(service: Service) -> None:
    assert service.ask("GET", "ada/sums/fib/1").json()["code"] == "api.unknown"
    assert service.ask("GET", "_/nothing").status_code == 404
    assert service.ask("GET", "_/apis/ada/sums").json()["code"] == "api.unknown"


def test_without_the_manager_nothing_is_published_and_a_caller_is_told_to_come_again(
    service: Service,
) -> None:
    body = {"source": "f(x) = x\n", "functions": ["f"]}
    answer = service.ask("PUT", "_/apis/ada/sums", json=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "api.starting"), answer.text
    assert answer.headers["Retry-After"]


def test_no_token_is_in_the_log(service: Service) -> None:
    service.ask("GET", "_/me?token=canary-in-query", token="canary-in-header")
    assert "canary" not in (service.folder / "log").read_text()


def test_the_engine_ends_when_it_is_told_and_comes_back(service: Service) -> None:
    assert service.end() == 0
    service.process = service.start()
    assert service.ask("GET", "_/me").status_code == 200


def test_settings_that_are_none_end_it_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text('{"installation": 1}')
    done = subprocess.run(
        [sys.executable, "-m", "juliabox_services.api.main"],
        env={**os.environ, "JULIABOX_API_SETTINGS": str(tmp_path / "api.json")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "api.json" in done.stderr and "Traceback" not in done.stderr
