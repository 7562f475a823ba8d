"""What a notebook is told when the API engine gives no answer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from support.ports import free_port

PROGRAM = Path(__file__).resolve().parents[2] / "images/julia/juliabox_apis.py"


def told(port: int) -> str:
    """Ask for a removal at a port of this machine; return what the person reads."""
    address = f"http://127.0.0.1:{port}/services/api"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "remove"],
        input=json.dumps({"name": "sums"}),
        env={**os.environ, "JULIABOX_API_URL": address, "JUPYTERHUB_USER": "ada"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return done.stdout


@contextmanager
def hanging_up() -> Iterator[int]:
    """A server that reads a request and goes away; yields its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_what_never_reached_the_engine_has_changed_nothing() -> None:
    assert "Nothing was changed" in told(free_port())


def test_of_what_the_engine_got_and_did_not_answer_nothing_is_claimed() -> None:
    with hanging_up() as port:
        text = told(port)
    assert "Nothing was changed" not in text
    assert "JuliaBox.apis()" in text
