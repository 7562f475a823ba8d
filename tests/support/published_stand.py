"""What is published, on a database and before a back that tests decide about."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from juliabox_ext.db import Database
from juliabox_ext.errors import JuliaBoxError, UnavailableError
from juliabox_ext.registry import Registry
from juliabox_ext.testing.db_fake import FakeDatabase
from juliabox_services.api.engine_contract import Answer, Back, Call, Checked, Load
from juliabox_services.api.models import ApiName, Frame, Function, Options, SaveRequest, Version
from juliabox_services.api.publishing import Publishing
from juliabox_services.api.settings import ApiSettings, Bounds
from juliabox_spawner.settings import ManagerAddress

GREETING = 'hello(name) = "Hello, $name"\n'


class OneDatabase:
    """What the tables ask of a registry."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def one(self, _: str) -> Database:
        return self.database

    def load(self) -> None:
        pass

    def close(self) -> None:
        pass


class FaintDatabase(FakeDatabase):
    """Does what it is told, and, as often as asked, says that it did not."""

    lost = 0

    def record_save(self, table: Any, data: Mapping[str, Any]) -> int:
        revision = super().record_save(table, data)
        if self.lost:
            self.lost -= 1
            raise UnavailableError("too slow", code="db.timeout")
        return revision


@dataclass
class CheckingBack(Back):
    """Finds functions by their definitions, and keeps what it was told."""

    #: Publisher and API -> the version that answers, None for none.
    active: dict[tuple[str, str], Version | None] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)
    #: Versions that were made ready, and which answered then.
    prepared: list[tuple[int, Version | None]] = field(default_factory=list)
    fault: JuliaBoxError | None = None
    #: What a check takes, and then until it may go on.
    seconds: float = 0.01
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    #: Docstring of each function that it finds.
    doc: str = ""

    def __post_init__(self) -> None:
        self.go_on.set()

    async def call(self, version: Version, call: Call) -> Answer:
        raise NotImplementedError

    async def check(self, publisher: str, api: str, source: str, functions: list[str]) -> Checked:
        if self.fault is not None:
            raise self.fault
        msgspec.convert(api, ApiName)  # the manager refuses every other name
        self.checks.append(source)
        await asyncio.sleep(self.seconds)
        await self.go_on.wait()
        if "(((" in source:
            frames = [Frame(function="top-level scope", line=1)]
            return Checked(code="source.syntax", message="incomplete", frames=frames)
        defined = re.findall(r"^(\w+)\(", source, re.MULTILINE)
        for name in functions:
            if name not in defined:
                return Checked(code="source.missing", message=f"no {name}", printed="hm")
        return Checked(functions=[Function(name=name, doc=self.doc) for name in functions])

    async def prepare(self, version: Version, seconds: float) -> None:
        self.prepared.append((version.version, self.active.get((version.publisher, version.api))))

    def activate(self, version: Version | None, publisher: str, api: str) -> None:
        self.active[publisher, api] = version

    def load(self, publisher: str, api: str) -> Load:
        return Load(containers=1, outstanding=0)

    async def drain(self, seconds: float) -> None:
        pass


def api_settings(folder: Path, bounds: Bounds | None = None) -> ApiSettings:
    """Return settings of an engine that is not started."""
    return ApiSettings(
        installation="test",
        public_url="http://127.0.0.1:8000/",
        addresses=["127.0.0.1"],
        port=0,
        metrics_address="127.0.0.1",
        metrics_port=0,
        folder=folder,
        secrets=folder,
        hub_api="http://127.0.0.1:1/hub/api",
        manager=ManagerAddress(endpoint="", server_key="", secret_key=folder / "key"),
        bounds=bounds or Bounds(),
    )


def publishing_on(
    database: Database, folder: Path, bounds: Bounds | None = None, back: Back | None = None
) -> Publishing:
    """Return what is published in a database, not yet opened."""
    registry = cast(Registry, OneDatabase(database))
    return Publishing(api_settings(folder, bounds), back or CheckingBack(), registry)


def request(source: str = GREETING, *functions: str, **more: Any) -> SaveRequest:
    """Return a request to save a source."""
    options = more.pop("options", None)
    return SaveRequest(
        source=source,
        functions=list(functions) or ["hello"],
        options=options if options is None else Options(**options),
        **more,
    )


def sources(count: int) -> Iterator[str]:
    """Yield sources that differ."""
    for number in range(count):
        yield f"{GREETING}# {number}\n"
