"""Who is admitted: allowed keys alone, and nobody when the admission is dead (S30)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import zmq
import zmq.asyncio
from structlog.testing import capture_logs
from zmq.utils import z85

from juliabox_ext.errors import ConfigurationError, InternalError
from juliabox_manager import server
from juliabox_manager.protocol import ZAP_DOMAIN
from juliabox_manager.zap import ZAP_ENDPOINT, Admission
from support.door import Door, Peer, new_keys, ping


async def test_an_allowed_key_is_answered_under_the_name_of_the_settings(tmp_path: Path) -> None:
    door = Door(tmp_path, {"hub": ["*"], "operator": ["ping"]})
    async with door.open():
        for name in ("operator", "hub"):
            # a routing id that claims another name changes nothing
            with door.peer(name, prepare=lambda s: s.setsockopt(zmq.ROUTING_ID, b"hub")) as peer:
                assert (await peer.ask(ping())).error is None
    assert [client for client, _ in door.handled] == ["operator", "hub"]


async def test_nothing_is_delivered_of_a_peer_without_curve(tmp_path: Path) -> None:
    door = Door(tmp_path)
    async with door.open():
        with Peer.connected(door, None) as peer:
            await peer.send(ping())
            assert await peer.hears_nothing()
    assert door.handled == []


async def test_nothing_is_delivered_of_a_peer_with_a_password(tmp_path: Path) -> None:
    def prepare(socket: zmq.asyncio.Socket) -> None:
        socket.plain_username, socket.plain_password = b"hub", b"hub"

    door = Door(tmp_path)
    async with door.open():
        with Peer.connected(door, None, prepare=prepare) as peer:
            await peer.send(ping())
            assert await peer.hears_nothing()
    assert door.handled == []


async def test_nothing_is_delivered_of_an_unknown_key(tmp_path: Path) -> None:
    door = Door(tmp_path)
    async with door.open():
        with Peer.connected(door, new_keys()) as peer:
            await peer.send(ping())
            assert await peer.hears_nothing()
    assert door.handled == []


async def test_nothing_is_delivered_to_a_server_with_another_key(tmp_path: Path) -> None:
    door = Door(tmp_path)
    async with door.open():
        with Peer.connected(door, door.clients["hub"], new_keys().public) as peer:
            await peer.send(ping())
            assert await peer.hears_nothing()
    assert door.handled == []


async def test_a_dead_admission_admits_nobody_and_ends_the_server(tmp_path: Path) -> None:
    door = Door(tmp_path)
    running = asyncio.create_task(door.server.run())
    await door.server.listening.wait()
    next(task for task in asyncio.all_tasks() if task.get_name() == "zap").cancel()
    with pytest.raises(InternalError, match="zap task ended"):
        await asyncio.wait_for(running, 60)
    assert not door.server.admitting


async def test_the_server_delivers_nothing_without_an_admission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libzmq by itself admits every key when nobody answers its questions."""

    class Absent:
        def close(self) -> None:
            pass

    def start(*_: object) -> tuple[Absent, asyncio.Task[None]]:
        return Absent(), asyncio.create_task(asyncio.sleep(60))

    monkeypatch.setattr(server, "start_admission", start)
    door = Door(tmp_path)
    with capture_logs() as lines:
        async with door.open():
            with door.peer() as peer:
                await peer.send(ping())
                assert await peer.hears_nothing()
    assert door.handled == []
    # not even up to the check of the client's name
    assert not [line for line in lines if line.get("audit")]


async def test_a_socket_whose_admission_never_answers_delivers_nothing(tmp_path: Path) -> None:
    door = Door(tmp_path)
    context = zmq.asyncio.Context()
    deaf = context.socket(zmq.ROUTER)
    deaf.bind(ZAP_ENDPOINT)
    router = context.socket(zmq.ROUTER)
    router.curve_server = True
    router.curve_secretkey = door.keys.secret.encode()
    router.curve_publickey = door.keys.public.encode()
    router.zap_domain = ZAP_DOMAIN.encode()
    router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    try:
        for _ in ("deaf", "gone"):
            port = router.bind_to_random_port("tcp://127.0.0.1")
            with door.peer(endpoint=f"tcp://127.0.0.1:{port}") as peer:
                await peer.send(ping())
                assert not await router.poll(300)
            deaf.close(linger=0)
    finally:
        context.destroy(linger=0)


@pytest.mark.parametrize(
    "frames",
    [
        [b"1.0", b"1", b"global", b"1.2.3.4", b"", b"CURVE", b"KEY"],
        [b"1.0", b"1", ZAP_DOMAIN.encode(), b"1.2.3.4", b"", b"NULL"],
        [b"1.0", b"1", ZAP_DOMAIN.encode(), b"1.2.3.4", b"", b"PLAIN", b"KEY"],
        [b"1.0", b"1", ZAP_DOMAIN.encode(), b"1.2.3.4", b"", b"CURVE", b"KEY", b"more"],
        [b"1.0", b"1", ZAP_DOMAIN.encode(), b"1.2.3.4", b"", b"CURVE", b""],
        [b"1.0", b"1"],
    ],
    ids=["domain", "null", "plain", "frames", "no-key", "short"],
)
async def test_the_handler_refuses_any_question_but_ours(frames: list[bytes]) -> None:
    keys = new_keys()
    context = zmq.asyncio.Context()
    admission = Admission(context, {"hub": keys.public})
    running = asyncio.create_task(admission.run())
    asker = context.socket(zmq.REQ)
    asker.connect(ZAP_ENDPOINT)
    try:
        raw_key = z85.decode(keys.public.encode())
        await asker.send_multipart([raw_key if frame == b"KEY" else frame for frame in frames])
        answer = await asyncio.wait_for(asker.recv_multipart(), 60)
        assert answer[2] == b"400"
        assert answer[4] == b""
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        context.destroy(linger=0)


def test_a_public_key_that_is_none_is_refused_by_the_clients_name() -> None:
    context = zmq.asyncio.Context()
    try:
        with pytest.raises(ConfigurationError, match="'hub'"):
            Admission(context, {"hub": "no key"})
    finally:
        context.destroy(linger=0)
