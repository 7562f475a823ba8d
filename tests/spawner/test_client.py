"""The client of the manager: one answer per call, whatever is lost in between (S32, S33)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext.errors import (
    ConflictError,
    DeadlineError,
    InternalError,
    RequestError,
    UnavailableError,
)
from juliabox_manager import protocol
from juliabox_spawner import client as client_module
from juliabox_spawner.client import ManagerClient
from support.door import Door, new_keys
from support.fault_proxy import FaultProxy, Faults
from support.ports import free_port
from support.waiting import measured, until


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry after a fifth of a second instead of two."""
    monkeypatch.setattr(client_module, "FIRST_PATIENCE", 0.2)
    monkeypatch.setattr(client_module, "MAX_PATIENCE", 0.5)


def remove(number: int) -> protocol.SessionRemove:
    return protocol.SessionRemove(f"{number:016x}")


async def test_a_result_arrives_typed(door: Door) -> None:
    async with door.open():
        with door.client() as client:
            assert await client.call(protocol.Ping()) == protocol.Pong(True, "one")


async def test_an_error_arrives_with_its_class_code_and_message(door: Door) -> None:
    async def refuse(_client: str, _verb: protocol.Verb) -> Any:
        raise ConflictError("session is stopping", code="conflict.stopping")

    door.behaviour = refuse
    async with door.open():
        with door.client() as client, pytest.raises(ConflictError, match="is stopping") as caught:
            await client.call(remove(1))
    assert caught.value.code == "conflict.stopping"


async def test_a_result_of_another_shape_tells_of_different_versions(door: Door) -> None:
    async def strange(_client: str, _verb: protocol.Verb) -> Any:
        return {"wings": 2}

    door.behaviour = strange
    async with door.open():
        with door.client() as client, pytest.raises(InternalError, match="juliabox up"):
            await client.call(protocol.Ping())


async def test_a_request_too_large_is_refused_before_it_is_sent(door: Door) -> None:
    environment = {f"A{number}": "x" * 32768 for number in range(9)}
    async with door.open():
        with door.client() as client, pytest.raises(RequestError, match="environment"):
            await client.call(protocol.SessionStart("0" * 16, environment))
    assert door.handled == []


@pytest.mark.alone
async def test_no_manager_is_told_in_time_and_what_to_do(door: Door) -> None:
    client = ManagerClient("tcp://127.0.0.1:9", door.keys.public, door.clients["hub"].secret)
    for took in measured(2.0):
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match="juliabox doctor"):
            await client.call(protocol.Ping(), timeout=0.5)
        took.append(time.monotonic() - begun)
        assert took[-1] > 0.4
    client.close()


async def test_a_refused_key_is_told_in_time(door: Door) -> None:
    async with door.open():
        client = ManagerClient(door.server.endpoint, door.keys.public, new_keys().secret)
        with pytest.raises(UnavailableError, match="juliabox doctor"):
            await client.call(protocol.Ping(), timeout=0.5)
        client.close()


async def test_a_slow_verb_ends_with_the_managers_deadline_error(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a busy machine takes longer than a second for the answer's way back
    monkeypatch.setattr(client_module, "_RETURN_SECONDS", 30.0)
    monkeypatch.setattr(client_module, "_RETURN_SHARE", 0.95)
    go_on = asyncio.Event()

    async def slow(_client: str, _verb: protocol.Verb) -> Any:
        await go_on.wait()

    door.behaviour = slow
    async with door.open():
        with door.client() as client:
            with pytest.raises(DeadlineError):
                # the manager is told to end after 1.5 s
                await client.call(remove(1), timeout=30)
            go_on.set()
            await until(lambda: door.answers.kept)
    assert len(door.answers.kept) == 1


async def test_a_call_given_up_before_the_manager_came_is_never_carried_out(
    door: Door, tmp_path: Path
) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    client = ManagerClient(endpoint, door.keys.public, door.clients["hub"].secret)
    with pytest.raises(UnavailableError):
        await client.call(remove(1), timeout=0.3)
    async with door.open(door.new_server(endpoint)):
        await client.call(protocol.Ping())
    assert door.counts() == {"Ping": 1}
    client.close()


async def test_a_thousand_calls_share_one_socket(door: Door) -> None:
    async with door.open():
        with door.client() as client:
            for _ in range(5):
                calls = [client.call(protocol.Ping()) for _ in range(200)]
                assert len(await asyncio.gather(*calls)) == 1000 / 5
    assert door.counts() == {"Ping": 1000}


@pytest.mark.alone
async def test_closing_fails_the_calls_under_way_and_refuses_more(door: Door) -> None:
    async def forever(_client: str, _verb: protocol.Verb) -> Any:
        await asyncio.sleep(60)

    door.behaviour = forever
    async with door.open(), _gone_soon(door):
        with door.client() as client:
            call = asyncio.create_task(client.call(remove(1)))
            await until(lambda: door.handled)
            begun = time.monotonic()
            client.close()
            assert time.monotonic() - begun < 5.0
            with pytest.raises(UnavailableError, match="closed"):
                await call
            with pytest.raises(UnavailableError, match="closed"):
                await client.call(protocol.Ping())


@contextlib.asynccontextmanager
async def _gone_soon(door: Door) -> AsyncIterator[None]:
    """End what still runs when the server closes."""
    yield
    for task in asyncio.all_tasks():
        if task.get_name().startswith("request "):
            task.cancel()


@pytest.mark.alone
@pytest.mark.usefixtures("impatient")
async def test_the_loop_is_never_blocked_while_the_manager_is_away(door: Door) -> None:
    client = ManagerClient("tcp://127.0.0.1:9", door.keys.public, door.clients["hub"].secret)
    for took in measured(0.7):
        calls = [asyncio.create_task(client.call(protocol.Ping(), timeout=1.5)) for _ in range(20)]
        longest = 0.0
        while not all(call.done() for call in calls):
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - begun)
        await asyncio.gather(*calls, return_exceptions=True)
        took.append(longest)
    client.close()


# -- S32, S33 ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_lost_doubled_replayed_and_reordered_messages_change_nothing(
    door: Door, chance: random.Random
) -> None:
    async def work(_client: str, _verb: protocol.Verb) -> Any:
        await asyncio.sleep(0.05)

    door.behaviour = work
    faults = Faults(lose_request=0.2, lose_reply=0.3, double=0.3, replay=0.3, delay=0.2)
    async with door.open(), FaultProxy(door, faults, chance).open() as proxy:
        client = ManagerClient(proxy.endpoint, proxy.keys.public, door.clients["hub"].secret)
        verbs = [remove(number) for number in range(150)]
        answers = await asyncio.gather(*(client.call(verb, timeout=60) for verb in verbs))
        client.close()
    assert answers == [None] * 150
    assert sorted(verb.session for _, verb in door.handled) == [verb.session for verb in verbs]
    assert min(faults.happened.values()) > 20, faults.happened


@pytest.mark.usefixtures("impatient")
async def test_a_lost_reply_is_given_again_though_the_state_has_changed(
    door: Door, chance: random.Random
) -> None:
    """The first run decides: a repetition must not see what the first has changed."""
    removed: set[str] = set()

    async def once(_client: str, verb: protocol.Verb) -> Any:
        if verb.session in removed:  # type: ignore[attr-defined]
            raise ConflictError("removed already")
        removed.add(verb.session)  # type: ignore[attr-defined]

    door.behaviour = once
    faults = Faults(lose_reply=0.5)
    async with door.open(), FaultProxy(door, faults, chance).open() as proxy:
        client = ManagerClient(proxy.endpoint, proxy.keys.public, door.clients["hub"].secret)
        calls = (client.call(remove(number), timeout=60) for number in range(40))
        assert await asyncio.gather(*calls) == [None] * 40
        client.close()


@pytest.mark.usefixtures("impatient")
async def test_calls_outlive_a_restart_of_the_manager(door: Door) -> None:
    async def work(_client: str, _verb: protocol.Verb) -> Any:
        await asyncio.sleep(0.3)

    door.behaviour = work
    # a port that nobody else takes before the next manager has it
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    async with door.open(door.new_server(endpoint)):
        client = ManagerClient(endpoint, door.keys.public, door.clients["hub"].secret)
        await client.call(protocol.SessionRemove("f" * 16))
        calls = [asyncio.create_task(client.call(remove(n), timeout=60)) for n in range(50)]
        await asyncio.sleep(0.1)
    # these are sent while nobody listens
    calls += [asyncio.create_task(client.call(remove(n), timeout=60)) for n in range(50, 60)]
    await asyncio.sleep(0.5)
    async with door.open(door.new_server(endpoint)):
        assert await asyncio.gather(*calls) == [None] * 60
        client.close()
    assert door.counts() == {"SessionRemove": 61}


async def test_a_manager_that_is_starting_is_asked_again(door: Door) -> None:
    asked = 0

    async def starting(_client: str, _verb: protocol.Verb) -> Any:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise UnavailableError("just started", code="manager.starting")

    door.behaviour = starting
    async with door.open():
        with door.client() as client:
            assert await client.call(remove(1)) is None
            asked = -1000
            with pytest.raises(UnavailableError, match="just started"):
                await client.call(remove(2), timeout=3)
