"""An engine whose containers are made by a manager of the tests, and what tests ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

from prometheus_client import CollectorRegistry

from juliabox_services.api.back import Engine
from juliabox_services.api.engine_contract import Answer, Call
from juliabox_services.api.models import Function, Options, Version
from juliabox_services.api.settings import Bounds
from support.api_workers import Containers

_saved = itertools.count(1)


def version(number: int = 1, **options: Any) -> Version:
    """Return a version of ada's API ``sums``, unless names and source are given."""
    names = {key: options.pop(key) for key in ("publisher", "api", "source") if key in options}
    made: dict[str, Any] = {"publisher": "ada", "api": "sums", "source": "fine", **names}
    return Version(
        version=number,
        functions=[Function(name="echo")],
        options=Options(**options),
        saved=float(next(_saved)),
        saved_by=made["publisher"],
        **made,
    )


class Stand:
    """An engine, its manager, and news that it told."""

    def __init__(self, bounds: Bounds) -> None:
        self.containers = Containers()
        self.registry = CollectorRegistry()
        self.news: list[tuple[str, str]] = []
        self.engine = Engine(
            bounds,
            self.containers,
            self.registry,
            lambda _version, kind, text: self.news.append((kind, text)),
        )

    async def call(
        self, of: Version, function: str, *arguments: Any, seconds: float = 20.0, **more: Any
    ) -> Answer:
        call = Call(
            request=uuid.uuid4().hex,
            function=function,
            arguments=json.dumps(arguments).encode(),
            deadline=asyncio.get_running_loop().time() + seconds,
            **more,
        )
        return await self.engine.call(of, call)

    def figure(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@contextlib.asynccontextmanager
async def standing(**bounds: Any) -> AsyncIterator[Stand]:
    """Open an engine, and close it."""
    stand = Stand(Bounds(**{"idle": 600.0, "load_timeout": 20.0, **bounds}))
    await stand.engine.open()
    try:
        yield stand
    finally:
        await stand.engine.close()
        stand.containers.close()
