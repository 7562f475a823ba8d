"""The program that times a hub's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from benchmarks.probe import probing


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request of a connection with nothing."""
    while await reader.readline():
        while (await reader.readline()).strip():
            pass
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    writer.close()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hub/api"


async def test_the_probe_asks_until_the_block_ends_and_tells_each_time(url: str) -> None:
    async with probing(url) as latencies:
        await asyncio.sleep(2)
    assert len(latencies.due) == len(latencies.took) > 0
    assert latencies.due == sorted(latencies.due)
    assert all(one > 0 for one in latencies.took)
