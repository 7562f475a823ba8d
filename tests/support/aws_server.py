"""AWS on loopback: moto's server, and plain servers that fail as AWS or the way to it may."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import requests

REGION = "us-east-1"
KEYS = {"access_key_id": "testing", "secret_access_key": "testing", "region": REGION}


class AwsServer:
    """Moto's server, which runs in threads of this process, and clients of the tests' own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._clients: dict[str, Any] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of a plugin that uses it."""
        return {**KEYS, "endpoint_url": self.url, "read_timeout": 20, "attempts": 2}

    def client(self, service: str) -> Any:
        """Return a client that is not the plugin's."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
            )
        return self._clients[service]

    def reset(self) -> None:
        """Forget everything."""
        requests.post(f"{self.url}/moto-api/reset", timeout=60).raise_for_status()


@dataclass
class FaultyServer:
    """Gives the answer that it is told to every request; counts them."""

    url: str
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    #: Seconds before an answer.
    pause: float = 0.0
    #: Bytes of the body that are sent before the connection ends; all if negative.
    cut: int = -1
    requests: int = 0

    def refuse(self, status: int, code: str) -> None:
        """Answer as S3 does when it refuses."""
        self.status = status
        self.body = f"<Error><Code>{code}</Code><Message>no\u202et now</Message></Error>".encode()


def _handler(server: FaultyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # 1.0 has no "100 Continue", which S3 clients wait for

        def _answer(self) -> None:
            server.requests += 1
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            time.sleep(server.pause)
            self.send_response(server.status)
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(server.body)))
            self.send_header("Connection", "close")  # or the client may ask again on this one
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(server.body if server.cut < 0 else server.body[: server.cut])
            self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextlib.contextmanager
def faulty_server() -> Iterator[FaultyServer]:
    """Run a server that fails."""
    made = FaultyServer("")
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(made)) as server:
        server.daemon_threads = True
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
