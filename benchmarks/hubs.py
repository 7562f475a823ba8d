"""A hub under measurement, as its users' programs see it: the REST API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Hub:
    """A hub's REST API with a token that may start any user's server.

    Each user has a client of their own, made and connected before any clock starts: what is
    measured shares the processors with this program, which does as little as it can meanwhile.
    """

    label: str
    url: str
    token: str
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def users(self, names: list[str]) -> AsyncIterator[None]:
        """Make users that do not exist yet, and have their clients open until the block ends."""
        for name in names:
            self.clients[name] = httpx.AsyncClient(
                base_url=self.url,
                headers={"Authorization": f"token {self.token}"},
                timeout=180,
                verify=False,
            )
            answer = await self._ask(name, "POST", f"/hub/api/users/{name}")
            if answer.status_code not in (201, 409):
                raise RuntimeError(f"{self.label}: user {name}: {answer.text}")
        try:
            yield
        finally:
            for name in names:
                with contextlib.suppress(httpx.HTTPError, RuntimeError):
                    await self.stop(name)
                await self.clients.pop(name).aclose()

    async def connect(self, names: list[str]) -> None:
        """Have a connection of each user open, as a browser has one when somebody clicks."""
        for name in names:
            await self._ask(name, "GET", "/hub/api/")
        await asyncio.sleep(0.2)

    async def spawn(self, name: str) -> float:
        """Start a user's default server and return the seconds until the hub says it is ready."""
        began = time.perf_counter()
        answer = await self._ask(name, "POST", f"/hub/api/users/{name}/server")
        took = time.perf_counter() - began
        if answer.status_code == 201:
            return took
        if answer.status_code != 202:
            raise RuntimeError(f"{self.label}: {name}: {answer.status_code}: {answer.text[:300]}")
        await self._await_ready(name)
        return time.perf_counter() - began

    async def _await_ready(self, name: str) -> None:
        """Follow the progress of a start that took longer than the hub lets a request wait."""
        path = f"/hub/api/users/{name}/server/progress"
        async with self.clients[name].stream("GET", path) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data:"):
                    continue
                event = json.loads(line[5:])
                if event.get("ready"):
                    return
                if event.get("failed"):
                    raise RuntimeError(f"{self.label}: {name}: {event.get('message')}")
        raise RuntimeError(f"{self.label}: {name}: the progress stream ended early")

    async def spawn_all(self, names: list[str]) -> list[float]:
        """Start the servers of all of them at once; a start that fails ends the measurement."""
        await self.connect(names)
        return await asyncio.gather(*(self.spawn(name) for name in names))

    async def stop(self, name: str) -> float:
        """Stop a user's server and return the seconds until the hub says that it is gone."""
        began = time.perf_counter()
        answer = await self._ask(name, "DELETE", f"/hub/api/users/{name}/server")
        while answer.status_code == 202:
            await asyncio.sleep(0.05)
            user = (await self._ask(name, "GET", f"/hub/api/users/{name}")).json()
            if not user["servers"]:
                break
        return time.perf_counter() - began

    async def end(self, name: str) -> None:
        """Stop the server of a user who has no client open here."""
        async with self.users([name]):
            pass

    async def stop_all(self, names: list[str]) -> None:
        """Stop the servers of all of them."""
        await asyncio.gather(*(self.stop(name) for name in names))

    async def write(self, name: str, path: str, text: str) -> None:
        """Write a file through a user's running server."""
        body = {"type": "file", "format": "text", "content": text}
        answer = await self._ask(name, "PUT", f"/user/{name}/api/contents/{path}", json=body)
        answer.raise_for_status()

    async def read(self, name: str, path: str) -> str:
        """Read a file through a user's running server."""
        answer = await self._ask(name, "GET", f"/user/{name}/api/contents/{path}")
        answer.raise_for_status()
        return str(answer.json()["content"])

    async def _ask(self, name: str, method: str, path: str, **options: Any) -> httpx.Response:
        return await self.clients[name].request(method, path, **options)
