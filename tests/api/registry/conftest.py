"""Databases of every kind, and what is published on one of them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext.db import Database
from juliabox_ext.plugin import PluginContext
from juliabox_plugins.dynamodb import DynamoDB
from juliabox_plugins.rdbms import Rdbms
from juliabox_services.api.publishing import Publishing
from support.dynalite_server import AWS
from support.postgres import Postgres
from support.published_stand import CheckingBack, FaintDatabase, publishing_on


@pytest.fixture
def faint() -> FaintDatabase:
    return FaintDatabase()


@pytest.fixture(params=["fake", "sqlite", "postgresql", "dynamodb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    if request.param == "fake":
        yield FaintDatabase()
        return
    prefix = f"r{uuid.uuid4().hex[:8]}_"
    if request.param == "dynamodb":
        address = request.getfixturevalue("dynalite_address")
        one = _made(DynamoDB, tmp_path, **AWS, endpoint_url=address, table_prefix=prefix)
    elif request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        one = _made(Rdbms, tmp_path, url=server.url, table_prefix=prefix)
    else:
        one = _made(Rdbms, tmp_path)
    yield one
    one.close()


def _made(plugin: type[Database], folder: Path, **settings: Any) -> Database:
    checked = plugin.Settings.model_validate(settings)
    one = plugin(PluginContext(plugin.__name__.lower(), checked, folder=folder))
    one.configure()
    return one


@pytest.fixture
def back() -> CheckingBack:
    return CheckingBack()


@asynccontextmanager
async def _opened(
    database: Database, back: CheckingBack, folder: Path
) -> AsyncIterator[Publishing]:
    one = publishing_on(database, folder, back=back)
    await one.open()
    yield one
    await one.close()


@pytest.fixture
async def publishing(
    faint: FaintDatabase, back: CheckingBack, tmp_path: Path
) -> AsyncIterator[Publishing]:
    async with _opened(faint, back, tmp_path) as one:
        yield one


@pytest.fixture
async def anywhere(
    database: Database, back: CheckingBack, tmp_path: Path
) -> AsyncIterator[Publishing]:
    """What is published, on each kind of database."""
    async with _opened(database, back, tmp_path) as one:
        yield one
