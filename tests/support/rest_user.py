"""A person who uses the service by REST alone: the hub's API, and their own server's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from support.installation import Installation

#: Seconds for a start on a busy machine.
START = 180.0


class RestUser:
    """One person of an installation, added with a token of their own."""

    def __init__(self, installation: Installation, name: str) -> None:
        self.installation = installation
        self.name = name
        operator = (installation.state / "secrets/operator/hub_token").read_text().strip()
        self.operator = {"Authorization": f"token {operator}"}
        made = self.hub("POST")
        assert made.status_code in {201, 409}, made.text
        token = self.hub("POST", "/tokens", json={"note": "test"}).json()["token"]
        self.own = {"Authorization": f"token {token}"}

    # -- the hub --------------------------------------------------------------------------------

    def hub(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        """Call the hub's API on this person, as the operator."""
        url = f"{self.installation.url}/hub/api/users/{self.name}{path}"
        return httpx.request(method, url, headers=self.operator, timeout=60, **options)

    def start(self, **user_options: str) -> httpx.Response:
        """Ask for a start of the default server; the answer may come when it is ready."""
        return self.hub("POST", "/server", json=user_options)

    def stop(self) -> httpx.Response:
        """Ask for a stop of the default server."""
        return self.hub("DELETE", "/server")

    def server(self) -> dict[str, Any] | None:
        """Return the hub's record of the default server, or None if it neither runs nor starts."""
        found: dict[str, Any] | None = self.hub("GET").raise_for_status().json()["servers"].get("")
        return found

    def started(self, **user_options: str) -> RestUser:
        """Start, and wait until JupyterLab answers through the proxy."""
        answer = self.start(**user_options)
        assert answer.status_code in {201, 202}, answer.text
        self.await_answer()
        return self

    def stopped(self) -> None:
        """Stop, and wait until the hub knows of no server."""
        answer = self.stop()
        assert answer.status_code in {202, 204, 404}, answer.text
        wait_for(lambda: self.server() is None, 90, "the server did not stop")

    # -- the server -----------------------------------------------------------------------------

    def jupyter(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call this person's server through the proxy."""
        url = f"{self.installation.url}/user/{self.name}/{path}"
        return httpx.request(method, url, headers=self.own, timeout=60, **options)

    def answers(self) -> bool:
        """Whether the server answers through the proxy now."""
        with contextlib.suppress(httpx.HTTPError):
            return self.jupyter("GET", "api/status").status_code == 200
        return False

    def await_answer(self, seconds: float = START) -> float:
        """Wait until the server answers; return the seconds that it took."""
        return wait_for(self.answers, seconds, f"the server of {self.name} does not answer")

    def write(self, path: str, text: str) -> None:
        """Save a text file in the home."""
        content = {"type": "file", "format": "text", "content": text}
        self.jupyter("PUT", f"api/contents/{path}", json=content).raise_for_status()

    def read(self, path: str) -> str:
        """Return a text file of the home."""
        answer = self.jupyter("GET", f"api/contents/{path}").raise_for_status()
        return str(answer.json()["content"])

    def new_kernel(self) -> str:
        """Start a kernel of the default kind and return its id."""
        return str(self.jupyter("POST", "api/kernels", json={}).raise_for_status().json()["id"])

    def run(self, kernel: str, code: str) -> str:
        """Run code in a kernel and return what it printed or gave."""
        return asyncio.run(asyncio.wait_for(self._run(kernel, code), 120))

    async def _run(self, kernel: str, code: str) -> str:
        address = self.installation.url.replace("http", "ws", 1)
        request = HTTPRequest(
            f"{address}/user/{self.name}/api/kernels/{kernel}/channels", headers=self.own
        )
        socket = await websocket_connect(request)
        asked = uuid.uuid4().hex
        header = {"msg_id": asked, "msg_type": "execute_request", "username": "", "session": asked,
                  "version": "5.3", "date": ""}  # fmt: skip
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {},
                   "allow_stdin": False, "stop_on_error": True}  # fmt: skip
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content,
                   "channel": "shell", "buffers": []}  # fmt: skip
        await socket.write_message(json.dumps(message))
        printed = ""
        while True:
            received = await socket.read_message()
            assert received is not None, f"the kernel's channel closed after {printed!r}"
            told = json.loads(received)
            if told["parent_header"].get("msg_id") != asked:
                continue
            kind, inner = told["msg_type"], told["content"]
            if kind == "stream":
                printed += inner["text"]
            elif kind in {"execute_result", "display_data"}:
                printed += inner["data"].get("text/plain", "")
            elif kind == "error":
                printed += inner["evalue"]
            elif kind == "status" and inner["execution_state"] == "idle":
                socket.close()
                return printed


def wait_for(condition: Callable[[], Any], seconds: float, message: str) -> float:
    """Wait until a condition holds; return the seconds that it took.

    A service that does not answer is asked again.
    """
    began = time.monotonic()
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if condition():
                return time.monotonic() - began
        assert time.monotonic() - began < seconds, f"{message} within {seconds:g} s"
        time.sleep(0.1)
