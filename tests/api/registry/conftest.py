"""A database that the tests share by kind, and what is published on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from juliabox_ext.db import Database
from juliabox_ext.plugin import PluginContext
from juliabox_plugins.rdbms import Rdbms
from juliabox_services.api.publishing import Publishing
from support.published_stand import CheckingBack, FaintDatabase, publishing_on


@pytest.fixture
def faint() -> FaintDatabase:
    return FaintDatabase()


@pytest.fixture(params=["fake", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "fake":
        yield FaintDatabase()
        return
    one = Rdbms(PluginContext("rdbms", Rdbms.Settings(), folder=tmp_path))
    one.configure()
    yield one
    one.close()


@pytest.fixture
def back() -> CheckingBack:
    return CheckingBack()


@pytest.fixture
async def publishing(
    faint: FaintDatabase, back: CheckingBack, tmp_path: Path
) -> AsyncIterator[Publishing]:
    one = publishing_on(faint, tmp_path, back=back)
    await one.open()
    yield one
    await one.close()
