"""Work on tables as coroutines: each piece of it runs in a thread, within a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import structlog

from juliabox_ext.errors import JuliaBoxError, PluginError, UnavailableError

log = structlog.get_logger("juliabox.database")
R = TypeVar("R")
T = TypeVar("T")


class DatabaseWork(Generic[R]):
    """The way from the event loop to ``records``, whose methods block.

    ``down`` makes the error of a database that cannot be used, of a reason; errors of the kinds in
    ``passing`` are no such failure, and reach the caller as they are.
    """

    def __init__(
        self,
        records: R,
        down: Callable[[str], UnavailableError],
        *,
        threads: int,
        patience: float,
        passing: tuple[type[JuliaBoxError], ...] = (PluginError,),
    ) -> None:
        self.records = records
        self._down = down
        self._patience = patience
        self._passing = passing
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="database")

    async def run(self, work: Callable[[R], T]) -> T:
        """Return what ``work`` returns of the records.

        Raise what ``down`` makes when the database is down, locked, slow or refuses, with its own
        reason: a write may have happened then. Raise ``PluginError`` if no database is enabled.
        """
        loop = asyncio.get_running_loop()
        try:
            # not wait_for(), which loses a cancellation that comes together with the answer
            async with asyncio.timeout(self._patience):
                return await loop.run_in_executor(self._threads, work, self.records)
        except self._passing:
            raise
        except TimeoutError:
            raise self._down(f"it took over {self._patience:g} s") from None
        except JuliaBoxError as error:
            raise self._down(error.message) from error
        except Exception as error:
            log.exception("a database plugin failed")
            raise self._down(f"its plugin failed ({type(error).__name__})") from error

    def close(self) -> None:
        """Let no further work in."""
        self._threads.shutdown(wait=False, cancel_futures=True)
