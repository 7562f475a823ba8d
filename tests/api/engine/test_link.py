"""The connection with one worker: nothing is sent by one that was lost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import zmq

from juliabox_manager import protocol as p
from juliabox_manager.keys import KeyPair
from juliabox_services.api import wire
from juliabox_services.api.link import BACKLOG, RESUME, Cause, Exchange, Link, LinkEnded
from support.api_workers import KEY, WORKERS, Container, Containers
from support.waiting import until


class Place:
    """A worker, and what connects with it."""

    def __init__(self) -> None:
        self.there = Containers()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.public, self.secret = (half.decode() for half in zmq.curve_keypair())
        self.told: list[Cause] = []
        self.container: Container

    async def start(self) -> None:
        made = await self.there.call(p.ApiCreate("ada", "sums", 1, p.Limits(2**29, 1.0, 64, 0)))
        environment = {KEY: self.secret, WORKERS: "1"}
        await self.there.call(p.ApiStart(made.container, environment))
        self.container = self.there.there[made.container]

    def link(self, key: str = "") -> Link:
        own = KeyPair(*(half.decode() for half in zmq.curve_keypair()))
        endpoint = f"tcp://127.0.0.1:{self.container.port}"
        return Link(
            self.context,
            endpoint,
            server_key=key or self.public,
            keys=own,
            most=1000,
            lost=self.told.append,
        )


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    await made.start()
    yield made
    made.there.close()
    made.context.destroy(linger=0)


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def soon() -> float:
    return asyncio.get_running_loop().time() + 20.0


async def test_a_request_is_answered(place: Place) -> None:
    link = place.link()
    await link.connected()
    exchange = link.begin(b"a", wire.health_message(b"a"), soon())
    assert wire.healthy(await exchange.next()).loaded
    link.close()
    assert place.told == []


async def test_another_key_never_connects(place: Place) -> None:
    link = place.link(key=zmq.curve_keypair()[0].decode())
    # it tries no more at last, which on a machine that stands still is before the half second ends
    with pytest.raises((TimeoutError, LinkEnded)):
        async with asyncio.timeout(0.5):
            await link.connected()
    exchange = link.begin(b"a", wire.health_message(b"a"), soon())
    with pytest.raises(LinkEnded) as caught:
        await exchange.next()
    assert not caught.value.sent
    link.close()


async def test_what_is_begun_after_the_worker_has_gone_is_known_not_to_have_reached_it(
    place: Place,
) -> None:
    link = place.link()
    await link.connected()
    place.container.die()
    await until(lambda: place.told == ["lost"])
    exchange = link.begin(b"a", wire.health_message(b"a"), soon())
    with pytest.raises(LinkEnded) as caught:
        await exchange.next()
    assert (caught.value.cause, caught.value.sent) == ("lost", False)


async def test_a_worker_that_listens_no_more_is_given_up(place: Place) -> None:
    place.container.die()
    await until(lambda: refused(place.container.port))  # libzmq lets go of it in a thread
    link = place.link()
    with pytest.raises(LinkEnded) as caught:
        async with asyncio.timeout(20):
            await link.connected()
    assert caught.value.cause == "lost"


async def test_the_deadline_ends_the_connection(place: Place) -> None:
    link = place.link()
    await link.connected()
    message = wire.call_message(b"a", wire.call_header("hang"), b"[]", b"{}", b"")
    exchange = link.begin(b"a", message, asyncio.get_running_loop().time() + 0.2)
    over: list[bool] = []
    exchange.then(lambda: over.append(True))
    with pytest.raises(LinkEnded) as caught:
        await exchange.next()
    assert (caught.value.cause, caught.value.sent, over) == ("timeout", True, [True])
    assert place.told == ["timeout"]
    assert link.ended


async def test_reading_an_answer_that_is_over_does_not_hurry_the_next_one(place: Place) -> None:
    """What comes next on the connection is held back for its own reader."""
    link = place.link()
    await link.connected()

    def count(request: bytes, number: int) -> Exchange:
        header, arguments = wire.call_header("count"), b"[%d]" % number
        message = wire.call_message(request, header, arguments, b"{}", b"")
        return link.begin(request, message, soon())

    over = count(b"a", 2 * RESUME)
    await until(lambda: over.ended)
    other = count(b"b", 2 * BACKLOG)
    await until(lambda: other.full)
    held = other.size
    read = [await over.next() for _ in range(2 * RESUME + 1)]
    await asyncio.sleep(0.1)
    assert (other.size, read[-1].last) == (held, True)
    items = 0
    while not (await other.next()).last:
        items += 1
    assert items == 2 * BACKLOG
    link.close()
