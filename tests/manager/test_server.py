"""The server's promises: once per request, bounded, typed, silent about secrets (S31, S33)."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
import zmq.asyncio
from structlog.testing import capture_logs

from juliabox_ext.errors import ConfigurationError, ConflictError, NoRoomError, UnavailableError
from juliabox_manager import protocol, server
from juliabox_manager.verbs import VERBS, verbs_allowed
from support.door import SESSION, Door, ping, raw, request_id, resident_bytes
from support.waiting import LoopClock, until

REMOVE = {"verb": "session.remove", "session": SESSION}


def again(body: Any, name: str, **envelope: Any) -> bytes:
    return msgspec.msgpack.encode({"id": name, "body": body, **envelope})


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path, {"hub": ["*"], "portal": ["session.*", "ping"]})


class Gate:
    """A behaviour that waits until it is opened."""

    def __init__(self, result: Any = None) -> None:
        self.opened, self.result = asyncio.Event(), result

    async def __call__(self, _client: str, _verb: protocol.Verb) -> Any:
        await self.opened.wait()
        return self.result


async def test_a_repeated_request_in_flight_shares_the_work(door: Door) -> None:
    door.behaviour = gate = Gate()
    frame = raw(REMOVE)
    async with door.open():
        with door.peer() as first, door.peer() as second:
            await first.send(frame)
            await first.send(frame)
            await second.send(frame)
            await first.all_read()
            await second.all_read()
            gate.opened.set()
            assert (await first.reply()).error is None
            assert (await second.reply()).error is None
            assert await first.hears_nothing()
    assert door.counts() == {"SessionRemove": 1}


async def test_a_repeated_request_gets_the_recorded_answer_even_of_another_server(
    door: Door, tmp_path: Path
) -> None:
    async def refuse(_client: str, _verb: protocol.Verb) -> Any:
        raise ConflictError("it is busy", code="conflict.busy")

    door.behaviour = refuse
    frame = raw(REMOVE)
    async with door.open():
        with door.peer() as peer:
            before = await peer.ask(frame)
    door.server = door.new_server()
    door.behaviour = door.answer_at_once
    async with door.open():
        with door.peer() as peer:
            assert await peer.ask(frame) == before
    assert before.error == protocol.ErrorInfo("ConflictError", "conflict.busy", "it is busy")
    assert door.counts() == {"SessionRemove": 1}


async def test_a_reading_verb_is_answered_afresh_and_never_recorded(door: Door) -> None:
    frame = ping()
    async with door.open():
        with door.peer() as peer:
            await peer.ask(frame)
            await peer.ask(frame)
    assert door.counts() == {"Ping": 2}
    assert not door.answers.kept


async def test_an_id_is_of_one_client_and_of_one_request(door: Door) -> None:
    name = request_id()
    other = {"verb": "session.remove", "session": "f" * 16}
    async with door.open():
        with door.peer() as peer, door.peer("portal") as portal:
            assert (await peer.ask(again(REMOVE, name))).error is None
            assert (await portal.ask(again(REMOVE, name))).error is None
            recorded = await peer.ask(again(other, name))
            door.behaviour = gate = Gate()
            await peer.send(again(REMOVE, name := request_id()))
            in_flight = await peer.ask(again(other, name))
            gate.opened.set()
    assert door.counts() == {"SessionRemove": 3}
    for reply in (recorded, in_flight):
        assert reply.error is not None
        assert reply.error.code == "request.id_reused"


async def test_a_deadline_ends_the_waiting_and_the_retry_gets_the_answer(door: Door) -> None:
    door.behaviour = gate = Gate()
    name = request_id()
    async with door.open():
        with door.peer() as peer:
            late = await peer.ask(again(REMOVE, name, deadline=0.2))
            assert late.error is not None
            assert late.error.family == "DeadlineError"
            gate.opened.set()
            await asyncio.sleep(0.1)
            assert (await peer.ask(again(REMOVE, name))).error is None
    assert door.counts() == {"SessionRemove": 1}


async def test_a_client_may_use_its_own_verbs_alone(door: Door) -> None:
    with capture_logs() as lines:
        async with door.open():
            with door.peer("portal") as peer:
                assert (await peer.ask(raw(REMOVE))).error is None
                reply = await peer.ask(raw({"verb": "volume.remove", "owner": "ada"}))
    assert reply.error is not None
    assert reply.error.family == "PolicyError"
    assert door.counts() == {"SessionRemove": 1}
    refusal = next(line for line in lines if line.get("audit"))
    assert (refusal["client"], refusal["verb"]) == ("portal", "volume.remove")


@pytest.mark.parametrize("pattern", ["session.fly", "docker.*", "", "*.*", "sess"])
def test_a_pattern_that_names_no_verb_is_a_configuration_error(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match=r"known: .*session\.create"):
        verbs_allowed("hub", [pattern])


def test_every_verb_has_a_name_and_a_result() -> None:
    assert set(VERBS.values()) == set(protocol.RESULTS)


async def test_requests_in_flight_are_bounded_for_each_client(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_IN_FLIGHT", 5)
    door.behaviour = gate = Gate()
    async with door.open():
        with door.peer() as peer, door.peer("portal") as portal:
            for _ in range(5):
                await peer.send(raw(REMOVE))
            refused = await peer.ask(raw(REMOVE))
            await portal.send(raw(REMOVE))
            assert await portal.hears_nothing(0.1)
            gate.opened.set()
            assert (await portal.reply()).error is None
            assert [(await peer.reply()).error for _ in range(5)] == [None] * 5
            assert (await peer.ask(raw(REMOVE))).error is None
    assert refused.error is not None
    assert refused.error.family == NoRoomError.__name__


async def test_a_fault_crosses_as_a_reference_and_its_traceback_stays_in_the_log(
    door: Door,
) -> None:
    async def break_down(_client: str, _verb: protocol.Verb) -> Any:
        raise RuntimeError("the hidden cause")

    door.behaviour = break_down
    with capture_logs() as lines:
        async with door.open():
            with door.peer() as peer:
                reply = await peer.ask(raw(REMOVE))
    assert reply.error is not None
    assert reply.error.family == "InternalError"
    assert "hidden cause" not in reply.error.message
    assert any(line.get("reference") == reply.id[:8] for line in lines)


async def test_an_answer_that_cannot_be_sent_becomes_an_internal_error(door: Door) -> None:
    results: list[Any] = [object(), "x" * (protocol.MAX_REPLY_BYTES + 1)]

    async def answer(_client: str, _verb: protocol.Verb) -> Any:
        return results.pop()

    door.behaviour = answer
    async with door.open():
        with door.peer() as peer:
            for _ in ("large", "unknown type"):
                reply = await peer.ask(raw(REMOVE))
                assert reply.error is not None
                assert reply.error.family == "InternalError"


async def test_nothing_is_done_while_answers_cannot_be_read(door: Door) -> None:
    door.answers.broken = True
    async with door.open():
        with door.peer() as peer:
            reply = await peer.ask(raw(REMOVE))
            assert (await peer.ask(ping())).error is None
    assert reply.error is not None
    assert reply.error.family == UnavailableError.__name__
    assert door.counts() == {"Ping": 1}


async def test_an_environment_is_in_no_log_and_no_record(door: Door) -> None:
    start = {"verb": "session.start", "session": SESSION, "environment": {"TOKEN": "canary-1234"}}
    bad = {**start, "environment": {"TOKEN": "canary-1234", "a b": "canary-1234"}}

    async def refuse(_client: str, _verb: protocol.Verb) -> Any:
        raise ConflictError("no")

    door.behaviour = refuse
    with capture_logs() as lines:
        async with door.open():
            with door.peer() as peer:
                replies = [await peer.ask(raw(body)) for body in (start, bad)]
    assert "canary" not in repr(lines) + repr(replies) + repr(door.answers.kept)


# -- S31 -----------------------------------------------------------------------------------------


async def test_oversize_many_frames_and_junk_leave_the_server_well(door: Door) -> None:
    with capture_logs() as lines:
        async with door.open():
            with door.peer() as peer:
                await peer.ask(ping())
                before = resident_bytes()
                await peer.send(b"x" * (protocol.MAX_REQUEST_BYTES + 1))
                assert await peer.hears_nothing()
            assert not [line for line in lines if line.get("audit")], "libzmq drops it unread"
            with door.peer() as peer:
                await peer.send(*[b"x"] * 200_000)
                await peer.send(ping(), ping())
                for frame in (b"", b"\x91" * 200_000, b"\xff" * 100, b"\xdf\xff\xff\xff\xff"):
                    await peer.send(frame)
                await peer.send(ping())
                assert (await peer.reply(60)).error is None
            await _send_junk(door.server.endpoint)
            with door.peer() as peer:
                assert (await peer.ask(ping())).error is None
            assert resident_bytes() - before < 100 * 2**20
    assert door.counts() == {"Ping": 3}
    reasons = [line["reason"] for line in lines if line.get("audit")]
    assert reasons == [*["frames"] * 2, *["schema"] * 4]
    assert not [line for line in lines if line["log_level"] == "error"]


async def _send_junk(endpoint: str) -> None:
    port = int(endpoint.rsplit(":", 1)[1])
    for junk in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 70,
        b"\x00" * 4096,
        b"\xff\0\0\0\0\0\0\0\1\x7f",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(junk)
        writer.close()
        del reader


async def test_silent_peers_are_closed_and_hold_up_nobody(door: Door) -> None:
    async with door.open():
        port = int(door.server.endpoint.rsplit(":", 1)[1])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        with door.peer() as peer:
            assert (await peer.ask(ping())).error is None
        for connection in silent:
            connection.settimeout(server.HANDSHAKE_MS / 1000 + 20)
            while await asyncio.to_thread(connection.recv, 64):
                pass
            connection.close()


# -- S33 -----------------------------------------------------------------------------------------


async def test_a_peer_that_does_not_read_holds_up_nobody(door: Door) -> None:
    async def much(_client: str, verb: protocol.Verb) -> Any:
        return "x" * 2**18 if isinstance(verb, protocol.Stats) else None

    door.behaviour = much
    async with door.open():
        # the peer's own queue is short, so that the server's fills up
        with door.peer(prepare=lambda s: s.setsockopt(zmq.RCVHWM, 1)) as lazy, door.peer() as peer:
            before = resident_bytes()
            for _ in range(400):
                await lazy.send(raw({"verb": "stats"}))
                await asyncio.sleep(0)
            await until(lambda: door.counts()["Stats"] >= 200)
            await asyncio.sleep(1)
            assert (await peer.ask(ping())).error is None
            assert resident_bytes() - before < 200 * 2**20
    assert door.counts()["Stats"] <= 400


async def test_closing_answers_what_ends_in_time_and_stays_silent_about_the_rest(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CLOSE_GRACE", 20.0)
    clock = LoopClock(asyncio.get_running_loop())
    closes = asyncio.Event()

    async def work(_client: str, verb: protocol.Verb) -> Any:
        await (closes if isinstance(verb, protocol.SessionRemove) else asyncio.Event()).wait()

    door.behaviour = work
    async with door.open() as running:
        with door.peer() as peer:
            await peer.send(raw({"verb": "session.stop", "session": SESSION}))
            await peer.send(frame := raw(REMOVE))
            await peer.all_read()
            closing = asyncio.create_task(running.close())
            asyncio.get_running_loop().call_later(0.1, closes.set)
            reply = await peer.reply()
            assert reply.id == msgspec.msgpack.decode(frame)["id"]
            assert not closing.done()
            clock.later(20.0)  # less than the deadline of what does not end
            await closing
            assert await peer.hears_nothing()
    assert len(door.answers.kept) == 1
