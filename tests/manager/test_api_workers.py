"""The workers of the API engine in containers that the manager made: cold, warm, several in one."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker
import msgspec
import pytest
import zmq

from juliabox_cli.image_build import ensure_images
from juliabox_manager.protocol import ApiContainer, ApiList, ApiRetire, Limits, PoolInfo, PoolList
from juliabox_spawner.client import ManagerClient
from support.api_worker import Link
from support.manager_process import API_IMAGE, MIB, ManagerProcess, api_started, installation

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(memory=512 * MIB, cpu=1.0, pids=128, disk=0)
SOURCE = "fib(n) = (a = 0; b = 1; for _ in 1:n; a, b = b, a + b; end; a)"


@pytest.fixture(scope="module")
def place(tiny: str) -> Iterator[ManagerProcess]:
    """An installation with one warm API container of the real image; the host is its API engine."""
    engine = docker.from_env(timeout=600)
    image = ensure_images(ROOT, engine=engine)["julia-api"]
    engine.close()
    ceilings = msgspec.to_builtins(LIMITS)
    with installation(5, tiny, api={"image_id": image, "pool": 1, "ceilings": ceilings}) as made:
        made.changes["api"]["trusted"] = [host_of(made)]
        made.write_settings()
        made.start()
        yield made


def host_of(place: ManagerProcess) -> str:
    """Return this machine's own address on the network: the first that containers may get."""
    upper = list(ipaddress.ip_network(place.subnet).subnets())[1]
    return str(upper.network_address)


@pytest.fixture
async def engine(place: ManagerProcess) -> AsyncIterator[ManagerClient]:
    """The manager's client, as the API engine is."""
    client = place.client()
    await place.ready(client, 60.0)
    yield client
    for one in await client.call(ApiList()):
        await client.call(ApiRetire(one.container), 60.0)
    client.close()
    print(place.log())  # shown with a failure


async def a_warm_one(engine: ManagerClient) -> PoolInfo:
    """Wait until an API container is warm."""
    for _ in range(3000):
        for one in await engine.call(PoolList()):
            if one.image == API_IMAGE and one.ready:
                return one  # type: ignore[no-any-return]
        await asyncio.sleep(0.1)
    raise AssertionError(await engine.call(PoolList()))


async def with_workers(
    client: ManagerClient, number: int, **more: str
) -> tuple[ApiContainer, bytes, float]:
    """Start a container with workers; return it, the key that lets in, and the seconds it took."""
    public, secret = zmq.curve_keypair()
    begun = time.monotonic()
    info = await api_started(
        client,
        limits=LIMITS,
        JULIABOX_WORKER_KEY=secret.decode(),
        JULIABOX_WORKERS=str(number),
        JULIABOX_RESULT_BYTES=str(MIB),
        **more,
    )
    return info, public, time.monotonic() - begun


def fib(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, key: bytes) -> int:
    """Load the source into a worker and call it."""
    link = Link(context, endpoint, key)
    try:
        assert link.load(SOURCE, "fib").kind == "loaded"
        return int(link.call("fib", 30).value)
    finally:
        link.close()


async def test_a_warm_container_is_claimed_at_once_and_its_worker_answers(
    engine: ManagerClient,
) -> None:
    pool = await a_warm_one(engine)
    info, key, seconds = await with_workers(engine, 1)
    print(f"warm: {seconds:.2f} s, {pool.memory // MIB} MiB")
    assert info.warm
    assert 0 < pool.memory < 256 * MIB
    with zmq.Context() as context:
        endpoint = f"tcp://{info.address}:{info.port}"
        assert await asyncio.to_thread(fib, context, endpoint, key) == 832_040


async def test_cold_containers_answer_on_the_ports_of_all_their_workers(
    engine: ManagerClient,
) -> None:
    info, key, seconds = await with_workers(engine, 2)
    if info.warm:
        info, key, seconds = await with_workers(engine, 2)
    print(f"cold, two workers: {seconds:.2f} s")
    assert not info.warm
    with zmq.Context() as context:
        for number in range(2):
            endpoint = f"tcp://{info.address}:{info.port + number}"
            assert await asyncio.to_thread(fib, context, endpoint, key) == 832_040


async def test_the_key_of_a_worker_is_nowhere_but_in_its_container(
    engine: ManagerClient, place: ManagerProcess
) -> None:
    _, key, _ = await with_workers(engine, 1, CANARY="canary-of-the-environment")
    told = json.dumps(place.containers()) + place.log()
    assert "canary-of-the-environment" not in told
    assert key.decode() not in told
    records = (place.state / "manager" / "manager.sqlite").read_bytes()
    assert b"canary-of-the-environment" not in records
