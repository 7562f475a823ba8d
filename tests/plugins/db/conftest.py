"""Real database servers, and plugins' objects as a registry would make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext.db import Database
from juliabox_ext.plugin import PluginContext
from juliabox_plugins.dynamodb import DynamoDB
from juliabox_plugins.rdbms import Rdbms
from support.dynalite_server import AWS
from support.one_at_a_time_moto import moto

Make = Callable[..., Any]

#: Seconds for what only a busy machine makes late: eight writers wait for each other's disk.
PATIENCE = 60.0


@pytest.fixture(scope="session")
def moto_address() -> Iterator[str]:
    with moto() as address:
        yield address


@pytest.fixture(scope="class")
def dynamodb(make: Make) -> Callable[..., Callable[[], DynamoDB]]:
    """Return a function from an address to one that makes plugin's objects on it."""

    def at(address: str, prefix: str = "") -> Callable[[], DynamoDB]:
        settings = {
            "endpoint_url": address,
            "table_prefix": prefix,
            "connect_timeout": PATIENCE,
            "read_timeout": PATIENCE,
        }
        return lambda: make(DynamoDB, **AWS, **settings)

    return at


@pytest.fixture(scope="class")
def make() -> Iterator[Make]:
    """Return a function that makes and configures a plugin's object; all are closed at the end."""
    made: list[Database] = []

    def make(plugin: type[Database], folder: Path = Path("/nonexistent"), **settings: Any) -> Any:
        name = plugin.__name__.lower()
        context = PluginContext(name, plugin.Settings.model_validate(settings), folder=folder)
        one = plugin(context)
        one.configure()
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="class")
def sqlite(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Rdbms]:
    folder = tmp_path_factory.mktemp("sqlite")
    return lambda: make(Rdbms, folder, timeout=PATIENCE)
