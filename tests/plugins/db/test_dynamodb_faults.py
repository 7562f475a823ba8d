"""A service that is down, silent, throttled or refuses: told as such, soon; no write is doubled."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from juliabox_ext.db import Column, TableSchema
from juliabox_ext.errors import (
    ConfigurationError,
    ConflictError,
    InternalError,
    JuliaBoxError,
    NoRoomError,
    RequestError,
    UnavailableError,
)
from juliabox_plugins.dynamodb import DynamoDB
from support.ports import free_port

Make = Callable[..., Any]
NOTES = TableSchema("notes", (Column("id"),), (Column("count", "integer"),))
AWS = {"access_key_id": "test", "secret_access_key": "hidden", "region": "eu-west-1"}


@contextmanager
def service(status: int, code: str) -> Iterator[str]:
    """Run a server that gives one answer to all requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"__type": f"com.amazonaws#{code}", "message": "told so"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "kind", "told"),
    [
        (400, "ThrottlingException", UnavailableError, "db.timeout"),
        (400, "ProvisionedThroughputExceededException", UnavailableError, "db.timeout"),
        (500, "InternalServerError", UnavailableError, "db.unavailable"),
        (503, "Strange", UnavailableError, "db.unavailable"),
        (400, "LimitExceededException", NoRoomError, "db.full"),
        (400, "AccessDeniedException", ConfigurationError, "db.denied"),
        (400, "UnrecognizedClientException", ConfigurationError, "db.denied"),
        (400, "ValidationException", RequestError, "db.invalid"),
        (400, "Strange", InternalError, "db.failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_the_service_says_is_told(
    make: Make, status: int, code: str, kind: type[JuliaBoxError], told: str
) -> None:
    with service(status, code) as address:
        # what is told is the answer, and not that a busy machine was late with it
        settings = {"attempts": 1, "connect_timeout": 30.0, "read_timeout": 30.0}
        database = make(DynamoDB, endpoint_url=address, **settings, **AWS)
        with pytest.raises(kind) as caught:
            database.table_open(NOTES)
    assert caught.value.code == told
    assert "dynamodb" in caught.value.message and "hidden" not in caught.value.message


def test_a_service_that_is_down_is_told_soon(make: Make) -> None:
    database = make(DynamoDB, endpoint_url=f"http://127.0.0.1:{free_port()}", **AWS)
    begin = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        database.table_open(NOTES)
    assert caught.value.code == "db.unavailable"
    assert time.monotonic() - begin < 20


def test_a_service_that_is_silent_is_told_in_time(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        database = make(DynamoDB, endpoint_url=address, read_timeout=0.3, **AWS)
        begin = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            database.table_open(NOTES)
        assert caught.value.code == "db.timeout"
        assert time.monotonic() - begin < 20


@pytest.fixture
def lossy(make: Make, dynalite_address: str) -> Callable[[str], DynamoDB]:
    """Return a function that makes a database whose first answer to a request is lost."""

    def losing(operation: str) -> DynamoDB:
        database: DynamoDB = make(DynamoDB, endpoint_url=dynalite_address, read_timeout=60.0, **AWS)
        client = database._aws.client("dynamodb")
        session = client._endpoint.http_session
        lost: list[bool] = []

        def send(request: Any, **_: Any) -> Any:
            if lost:
                return None
            lost.append(True)
            answer = session.send(request)
            answer.status_code = 500
            return answer

        client.meta.events.register(f"before-send.dynamodb.{operation}", send)
        return database

    return losing


def test_a_create_whose_answer_was_lost_succeeds_once(lossy: Callable[[str], DynamoDB]) -> None:
    database = lossy("PutItem")
    table = database.table_open(TableSchema("created", NOTES.keys, NOTES.attributes))
    database.record_create(table, {"id": "a", "count": 1})
    with pytest.raises(ConflictError):
        database.record_create(table, {"id": "a", "count": 2})
    assert database.record_fetch(table, id="a")["count"] == 1


def test_a_save_whose_answer_was_lost_is_done_once(lossy: Callable[[str], DynamoDB]) -> None:
    database = lossy("UpdateItem")
    table = database.table_open(TableSchema("saved", NOTES.keys, NOTES.attributes))
    database.record_create(table, {"id": "a", "count": 1})
    assert database.record_save(table, {"id": "a", "count": 2, "revision": 1}) == 2
    with pytest.raises(ConflictError):
        database.record_save(table, {"id": "a", "count": 3, "revision": 1})


def test_library_of_aws_is_not_loaded_before_it_is_needed() -> None:
    code = (
        "import sys; import juliabox_plugins.dynamodb, juliabox_plugins.usage;"
        "print(any(name.startswith('boto') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
