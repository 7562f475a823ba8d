"""A rehearsal of the server's start and first requests, for nobody.

The server is made as it always is, with an identity that is nobody's, and no port. It is asked for
a page and what belongs to it through a pair of sockets within the process, and is thrown away.
"""

import asyncio
import contextlib
import ctypes
import functools
import gc
import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from jupyter_server.serverapp import ServerApp
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from juliabox_server.singleuser import change, prepare
from juliabox_server.untouched import untouched

PREFIX = "/user/nobody/"

IDENTITY = {
    "JUPYTERHUB_USER": "nobody",
    "JUPYTERHUB_SERVER_NAME": "",
    "JUPYTERHUB_API_TOKEN": "of-nobody",
    "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-nobody",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",
    "JUPYTERHUB_ACTIVITY_URL": "http://127.0.0.1:9/hub/api/users/nobody/activity",
    "JUPYTERHUB_BASE_URL": "/",
    "JUPYTERHUB_HOST": "",
    "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
    "JUPYTERHUB_SERVICE_URL": f"http://0.0.0.0:8888{PREFIX}",
    "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{PREFIX}oauth_callback",
    "JUPYTERHUB_OAUTH_SCOPES": '["access:servers!user=nobody"]',
    "JUPYTERHUB_DEFAULT_URL": "/lab",
}

#: What the hub asks of a new server, and JupyterLab when it opens.
REQUESTS = (
    "api",
    "lab",
    "lab/api/settings",
    "lab/api/translations",
    "lab/api/workspaces/default",
    "api/contents?content=1",
    "api/kernelspecs",
    "api/kernels",
    "api/sessions",
    "api/terminals",
    "api/metrics/v1",
    "api/me",
    "api/none",
)


def rehearse(is_enough: Callable[[], bool]) -> None:
    """Make a server for nobody, ask it, and throw it away."""
    change()
    with nobody(), untouched(), own_loop() as loop:
        server = prepare()
        try:
            loop.run_sync(functools.partial(ask_all, server, is_enough))
        finally:
            loop.run_sync(server._cleanup)
            loop.run_sync(loop.asyncio_loop.shutdown_default_executor)
            del server
    gc.collect()
    # give back to the system what the rehearsal's server took
    ctypes.CDLL(None).malloc_trim(0)


async def ask_all(server: ServerApp, is_enough: Callable[[], bool]) -> None:
    """Send the requests, as a person who may use the server."""
    person = {"kind": "user", "name": "nobody", "admin": False, "groups": [], "scopes": []}
    person["scopes"] = list(server.identity_provider.hub_auth.access_scopes)

    async def person_of(*_: Any, **__: Any) -> dict[str, Any]:
        return person

    server.identity_provider.hub_auth.user_for_token = lambda *_, **__: person_of()
    for path in REQUESTS:
        if is_enough():
            break
        await ask(server, path)


async def ask(server: ServerApp, path: str) -> bytes:
    """Send a GET request through a pair of sockets; return the answer, head and body."""
    near, far = (IOStream(end) for end in socket.socketpair())
    HTTPServer(server.web_app).handle_stream(far, ("127.0.0.1", 0))
    lines = (
        f"GET {server.base_url}{path} HTTP/1.1",
        "Host: 127.0.0.1:8888",
        f"Authorization: token {IDENTITY['JUPYTERHUB_API_TOKEN']}",
        "Connection: close",
    )
    await near.write("\r\n".join((*lines, "", "")).encode())
    return await near.read_until_close()


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Have the identity of nobody; leave environment, files, signals and logs as they were."""
    environment = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    folder = tempfile.mkdtemp()
    os.environ.update(IDENTITY, JUPYTER_RUNTIME_DIR=folder)
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        os.environ.clear()
        os.environ.update(environment)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def own_loop() -> Iterator[IOLoop]:
    """Have an event loop of its own."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    loop = IOLoop.current()
    try:
        yield loop
    finally:
        loop.close(all_fds=True)
        asyncio.set_event_loop(None)
