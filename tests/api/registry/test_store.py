"""Work on the tables is bounded in time, and what is cancelled ends."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import cast

import pytest

from juliabox_ext.errors import NotFoundError, UnavailableError
from juliabox_ext.registry import Registry
from juliabox_services.api.store import Store
from juliabox_services.api.tables import Tables
from support.published_stand import FaintDatabase, OneDatabase


def _store(patience: float = 10.0) -> Store:
    return Store(Tables(cast(Registry, OneDatabase(FaintDatabase()))), patience)


async def test_a_cancellation_that_comes_with_the_answer_is_not_lost() -> None:
    store, go = _store(), threading.Event()
    task = asyncio.create_task(store.run(lambda _: go.wait(5)))
    await asyncio.sleep(0.05)
    go.set()
    time.sleep(0.2)  # noqa: ASYNC251 the answer is there before the loop turns
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    store.close()


async def test_a_database_that_does_not_answer_is_given_up() -> None:
    store, go = _store(0.05), threading.Event()
    with pytest.raises(UnavailableError, match=r"over 0\.05 s") as refused:
        await store.run(lambda _: go.wait(5))
    assert refused.value.code == "api.database"
    go.set()
    store.close()


async def test_a_plugin_that_breaks_is_told_and_what_is_absent_passes() -> None:
    store = _store()

    def broken(_: Tables) -> None:
        raise ZeroDivisionError

    def absent(_: Tables) -> None:
        raise NotFoundError("none", code="db.absent")

    with pytest.raises(UnavailableError, match="ZeroDivisionError"):
        await store.run(broken)
    with pytest.raises(NotFoundError):
        await store.run(absent)
    store.close()
