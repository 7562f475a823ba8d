"""The tables as coroutines: each piece of work runs in a thread, within a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from juliabox_ext.errors import (
    ConflictError,
    JuliaBoxError,
    NotFoundError,
    PluginError,
    UnavailableError,
)
from juliabox_services.api.tables import Tables

log = structlog.get_logger("juliabox.api.store")
T = TypeVar("T")

#: Threads that wait for the database.
THREADS = 4
#: Seconds that a piece of work may take.
PATIENCE = 10.0


class Store:
    """The way to the tables from the event loop."""

    def __init__(self, tables: Tables, patience: float = PATIENCE) -> None:
        self._tables = tables
        self._patience = patience
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="tables")

    async def run(self, work: Callable[[Tables], T]) -> T:
        """Return what ``work`` returns of the tables.

        ``ConflictError`` and ``NotFoundError`` of the database pass. Raise ``UnavailableError``
        (``api.database``) when it is down, locked, slow or refuses, with its own reason: a write
        may have happened then. Raise ``PluginError`` if no database is enabled.
        """
        loop = asyncio.get_running_loop()
        try:
            # not wait_for(), which loses a cancellation that comes together with the answer
            async with asyncio.timeout(self._patience):
                return await loop.run_in_executor(self._threads, work, self._tables)
        except (ConflictError, NotFoundError, PluginError):
            raise
        except TimeoutError:
            raise _down(f"it took over {self._patience:g} s") from None
        except JuliaBoxError as error:
            raise _down(error.message) from error
        except Exception as error:
            log.exception("a database plugin failed")
            raise _down(f"its plugin failed ({type(error).__name__})") from error

    def close(self) -> None:
        """Let no further work in."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _down(reason: str) -> UnavailableError:
    return UnavailableError(
        f"The database of the API engine cannot be used: {reason}. Calls go on meanwhile; changes, "
        "logs and figures wait",
        code="api.database",
    )
