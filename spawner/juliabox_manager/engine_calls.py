"""Calls of the Docker engine, each bounded in time, none blocking, their errors typed.

They run in a pool of threads, each with a client of its own, so that a slow call holds up nobody
else. Errors: ``UnavailableError`` when the engine does not answer, ``NotFoundError``,
``ConflictError``, ``NoRoomError`` for its full disk, ``InternalError`` with its message otherwise.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException

from juliabox_ext.errors import (
    ConflictError,
    InternalError,
    JuliaBoxError,
    NoRoomError,
    NotFoundError,
    UnavailableError,
)

T = TypeVar("T")

#: Seconds for a call that only looks, and for one that makes, starts, kills or removes.
LOOK: Final = 10.0
ACT: Final = 60.0

#: Calls at once. A stuck container holds a thread for at most ``ACT`` seconds.
_THREADS: Final = 64


class EngineCalls:
    """Threads with a client each for the engine at an address."""

    def __init__(self, url: str) -> None:
        """Name the engine; nothing is contacted before the first call."""
        self._url = url
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="engine")
        self._clients = threading.local()
        self._version = "auto"

    def close(self) -> None:
        """Let go of the threads; calls under way are abandoned."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def make(self, call: Callable[[Any], T], limit: float) -> T:
        """Make a call with a client of the Docker SDK, within ``limit`` seconds."""
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._pool, self._attempt, call, limit)
        try:
            # the socket's own limit comes first; this one is for a client stuck elsewhere
            async with asyncio.timeout(limit + 5):
                return await work
        except TimeoutError:
            raise _silent(limit) from None

    def _attempt(self, call: Callable[[Any], T], limit: float) -> T:
        try:
            try:
                return call(self._client(limit))
            except requests.ConnectionError as error:
                if isinstance(error, requests.Timeout) or "timed out" in str(error):
                    raise
                # an idle connection that the engine closed, by a restart say: once more, afresh
                self._clients.__dict__.clear()
                return call(self._client(limit))
        except APIError as error:  # first: it is a RequestException, too
            raise _refused(error) from error
        except requests.Timeout:
            raise _silent(limit) from None
        except (requests.RequestException, OSError) as error:
            self._clients.__dict__.clear()
            raise _down(error) from error
        except DockerException as error:
            raise _down(error) from error

    def _client(self, limit: float) -> Any:
        client = getattr(self._clients, "client", None)
        if client is None:
            client = self._clients.client = self.new_client()
        client.timeout = limit
        return client

    def new_client(self) -> Any:
        """Return a client that no other call uses."""
        client = docker.APIClient(self._url, version=self._version, timeout=int(LOOK))
        # asked once; an engine that is replaced by another keeps speaking it
        self._version = client.api_version
        return client


def _silent(limit: float) -> UnavailableError:
    return UnavailableError(
        f"the Docker engine did not answer within {limit:g} seconds; try again",
        code="engine.timeout",
    )


def _down(error: Exception) -> UnavailableError:
    return UnavailableError(
        f"the Docker engine does not answer ({error}); see that it runs, then try again",
        code="engine.unavailable",
    )


def _refused(error: APIError) -> JuliaBoxError:
    told = str(error.explanation or error)
    if "no space left on device" in told:
        return NoRoomError(f"the Docker engine's disk is full: {told}", code="no_room.engine_disk")
    match error.status_code:
        case 404:
            return NotFoundError(f"the Docker engine: {told}", code="not_found.engine")
        case 304:
            return ConflictError(f"the Docker engine: {told}", code="engine.unchanged")
        case 409:
            return ConflictError(f"the Docker engine: {told}", code="engine.conflict")
    return InternalError(f"the Docker engine refused: {told}", code="engine.refused")
