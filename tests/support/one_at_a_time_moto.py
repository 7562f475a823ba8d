"""Moto's server, which does one request after another.

Moto compares and writes without a lock, so two conditional writes at once can both succeed, and
who reads an object of S3 that is just replaced finds its file closed. AWS does each in one step; so
does this server, and what a test finds lost was lost by us.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server


class QuietHandler(MotoRequestHandler):
    """Logs no request: there are thousands."""

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Do nothing."""


class OneAtATime:
    """An application that answers one request after another."""

    def __init__(self) -> None:
        self._application = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        with self._lock:
            answer = self._application(environ, start_response)
            try:
                return list(answer)
            finally:
                close = getattr(answer, "close", None)
                if close is not None:
                    close()


@contextmanager
def moto() -> Iterator[str]:
    """Run a server; yield its address."""
    server = make_server("127.0.0.1", 0, OneAtATime(), threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
