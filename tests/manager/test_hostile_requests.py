"""A stolen hub asks for the host: nothing of it reaches a verb (S1 to S4, and fuzz of S31)."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from juliabox_ext.errors import RequestError
from juliabox_manager import protocol
from juliabox_manager.contained import ContainedVolumes
from juliabox_manager.engine import Engine
from juliabox_manager.homes import Homes
from juliabox_manager.netpolicy import NetworkPolicy
from juliabox_manager.service import Manager
from juliabox_manager.slots import Slots
from juliabox_manager.store import Store
from support.door import LIMITS, SESSION, Door, ping, raw, request_id, resident_bytes, valid_create
from support.hostile_requests import FORBIDDEN, hostile_bodies, valid_api
from support.state_folder import home_disks

#: Lengths of the soak, by environment; the ordinary run takes a short sample.
SOAK_MESSAGES = int(os.environ.get("JULIABOX_FUZZ_MESSAGES", "1000000"))

BODIES = list(hostile_bodies())


def test_the_curated_list_is_long_and_has_no_request_twice() -> None:
    assert len({msgspec.msgpack.encode(body) for _, body in BODIES}) >= 300


async def test_no_hostile_request_reaches_a_verb_and_each_is_answered_and_audited(
    tmp_path: Path,
) -> None:
    door = Door(tmp_path)
    with capture_logs() as lines:
        await _ask_all(door)
    assert door.counts() == {"Ping": 1}
    audited = [line for line in lines if line.get("audit") and line["client"] == "hub"]
    assert len(audited) == len(BODIES)


async def _ask_all(door: Door) -> None:
    async with door.open():
        with door.peer() as peer:
            for name, body in BODIES:
                frame = raw(body)
                reply = await peer.ask(frame)
                assert reply.error is not None, name
                assert reply.error.family == "RequestError", name
                assert reply.id == msgspec.msgpack.decode(frame)["id"], name
                assert len(reply.error.message) < 400, name
                assert "Traceback" not in reply.error.message, name
            assert (await peer.ask(ping())).error is None


async def test_what_is_well_formed_and_not_allowed_makes_no_call_to_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real manager behind the door, before an engine that counts who comes (S1 to S4)."""
    calls = 0

    def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        writer.close()

    door = Door(tmp_path)
    settings = door.settings()
    engine = await asyncio.start_unix_server(count, tmp_path / "engine.sock")
    store = Store(tmp_path / "manager.sqlite")
    await store.open()
    homes = Homes([ContainedVolumes(home_disks(settings.state))])
    manager = Manager(
        settings,
        store,
        Engine(f"unix://{tmp_path}/engine.sock", settings.installation, settings.network.name),
        Slots(tmp_path / "slots"),
        homes,
        NetworkPolicy(settings.network),
    )
    # its first reconcile would have to ask the engine
    monkeypatch.setattr(Manager, "ready", True)
    door.behaviour = manager.handle
    async with door.open():
        with door.peer() as peer:
            for _, body in BODIES:
                assert (await peer.ask(raw(body))).error is not None
            assert not door.handled
            for expected, body in _not_allowed():
                reply = await peer.ask(raw(body))
                assert reply.error is not None, body
                assert reply.error.family == expected, (body, reply.error)
    assert len(door.handled) == len(_not_allowed())
    assert calls == 0
    await manager.close()
    await homes.close()
    engine.close()


def _not_allowed() -> list[tuple[str, dict[str, Any]]]:
    images = (
        "evil/image",
        "juliabox/julia:latest",
        "juliabox/julia@sha256:" + "0" * 64,
        "juliabox",
    )
    tops = {"memory": 2**30 + 1, "cpu": 2.1, "pids": 257, "disk": 2**30 + 1}
    verbs = ("session.inspect", "session.stop")
    return [
        *(("PolicyError", valid_create(image=image)) for image in images),
        *(("PolicyError", {"verb": "image.ensure", "image": image}) for image in images),
        *(
            ("PolicyError", valid_create(limits={**LIMITS, field: top}))
            for field, top in tops.items()
        ),
        *(("NotFoundError", {"verb": verb, "session": SESSION}) for verb in verbs),
        ("NotFoundError", {"verb": "session.start", "session": SESSION, "environment": {}}),
        ("NotFoundError", {"verb": "session.find", "owner": "eve", "server": ""}),
        ("NotFoundError", {"verb": "volume.restore", "owner": ".."}),
        # this instance runs no APIs
        ("PolicyError", valid_api()),
        ("NotFoundError", {"verb": "api.start", "container": SESSION, "environment": {}}),
    ]


@pytest.mark.parametrize("field", sorted(FORBIDDEN))
def test_the_envelope_has_no_field_for_it(field: str) -> None:
    with pytest.raises(RequestError, match="unknown field"):
        protocol.decode_request(raw({"verb": "ping"}, **{field: FORBIDDEN[field]}))


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
_NAMES = st.sampled_from(
    [*FORBIDDEN, "owner", "server", "image", "limits", "session", "environment", "verb", "wait"]
)


@st.composite
def changed_requests(draw: st.DrawFn) -> bytes:
    """A valid request with some fields replaced, added or taken away."""
    bodies = [
        valid_create(),
        {"verb": "session.start", "session": SESSION, "environment": {"A": "b"}},
        {"verb": "session.stop", "session": SESSION, "grace": 1.0},
        {"verb": "volume.remove", "owner": "ada"},
        valid_api(),
        {"verb": "api.start", "container": SESSION, "environment": {"A": "b"}},
        {"verb": "events", "after": 0, "wait": 0.0},
    ]
    body: dict[str, Any] = dict(draw(st.sampled_from(bodies)))
    for name, value in draw(st.dictionaries(_NAMES, _TREES, max_size=3)).items():
        body[name] = value
    for name in draw(st.lists(_NAMES, max_size=1)):
        body.pop(name, None)
    return raw(
        body,
        **draw(st.dictionaries(st.sampled_from(["deadline", "version", "x"]), _TREES, max_size=1)),
    )


_FRAMES = st.one_of(st.binary(max_size=300), _TREES.map(msgspec.msgpack.encode), changed_requests())


def _check_decoder(frame: bytes) -> None:
    """Refused with a typed error, or admitted and then exactly what the schema can say."""
    try:
        request = protocol.decode_request(frame)
    except RequestError:
        return
    assert protocol.decode_request(protocol.encode(request)) == request
    assert 0 < request.deadline <= 600
    sent = msgspec.msgpack.decode(frame, strict=False)
    assert set(sent) <= {"id", "body", "deadline", "version"}
    # verbs on APIs name a container by the manager's own id, which no other container has
    allowed = {"path", "container"} if sent["body"]["verb"].startswith("api.") else {"path"}
    assert not set(sent["body"]) & (set(FORBIDDEN) - allowed)
    limits = getattr(request.body, "limits", None)
    if limits is not None:
        assert set(sent["body"]["limits"]) == set(LIMITS)
        assert 16 <= limits.pids <= 65536
        assert 0.01 <= limits.cpu <= 1024


# what a stolen hub would send: 100,000 of them in a soak
@settings(max_examples=5 * settings().max_examples, suppress_health_check=[HealthCheck.too_slow])
@given(_FRAMES)
def test_the_decoder_admits_only_what_the_schema_can_say(frame: bytes) -> None:
    _check_decoder(frame)


def _mutated(source: random.Random) -> list[bytes]:
    """Return a message of one or more frames: a valid request, broken in some way."""
    frame = bytearray(raw(source.choice(BODIES)[1] if source.random() < 0.5 else valid_create(x=1)))
    kind = source.randrange(6)
    if kind == 0:
        for _ in range(source.randrange(1, 8)):
            frame[source.randrange(len(frame))] = source.randrange(256)
    elif kind == 1:
        del frame[source.randrange(len(frame)) :]
    elif kind == 2:
        frame = bytearray(source.randbytes(source.randrange(0, 600)))
    elif kind == 3:
        frame[source.randrange(len(frame)) : 0] = source.randbytes(source.randrange(1, 30))
    elif kind == 4:
        return [bytes(frame)] * source.randrange(2, 6)
    else:
        frame = bytearray(source.choice((b"\x91", b"\x81\xa1a", b"\xdd\xff\xff\xff\xff")) * 3000)
    return [bytes(frame)]


async def _fuzz(door: Door, messages: int, source: random.Random) -> int:
    """Send messages as fast as they are read; return the growth of resident memory in bytes."""
    grown = before = 0
    async with door.open():
        with door.peer() as peer:
            last = request_id()

            async def drain() -> None:
                while (await peer.reply(60)).id != last:
                    pass

            reader = asyncio.create_task(drain())
            for number in range(messages):
                await peer.send(*_mutated(source))
                if number == messages // 10:
                    before = resident_bytes()
            await peer.send(protocol.encode(protocol.Request(last, protocol.Ping())))
            await reader
            grown = resident_bytes() - before
    return grown


async def test_fuzzed_messages_reach_no_changing_verb_and_keep_memory(
    tmp_path: Path, chance: random.Random
) -> None:
    door = Door(tmp_path)
    assert await _fuzz(door, 5000, chance) < 20 * 2**20
    # a flipped byte may leave a valid request; then it is one that the schema can say
    assert all(_check_decoder(_encoded(verb)) is None for _, verb in door.handled)


def _encoded(verb: protocol.Verb) -> bytes:
    return protocol.encode(protocol.Request(request_id(), verb))  # type: ignore[arg-type]


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_a_million_fuzzed_messages_keep_memory(tmp_path: Path, chance: random.Random) -> None:
    assert await _fuzz(Door(tmp_path), SOAK_MESSAGES, chance) < 20 * 2**20
