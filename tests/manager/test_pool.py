"""The pool on the real engine: claims, what becomes of ones that fail, restarts, sizes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import pytest

from juliabox_manager.protocol import (
    PoolInfo,
    PoolList,
    PoolRenew,
    SessionCreate,
    SessionInfo,
    SessionRemove,
    SessionStart,
)
from juliabox_spawner.client import ManagerClient
from support import tiny_image
from support.manager_process import (
    IMAGE,
    LIMITS,
    MIB,
    ManagerProcess,
    docker_cli,
    inside,
    installation,
)

pytestmark = pytest.mark.engine

POOL = {"rule": "fixed", "size": 2, "warm_memory": 96 * MIB}


@pytest.fixture(scope="module")
def made() -> Iterator[ManagerProcess]:
    with installation(90, tiny_image.make(), pool=POOL) as managed:
        managed.start()
        yield managed


@pytest.fixture
async def hub(made: ManagerProcess) -> AsyncIterator[ManagerClient]:
    client = made.client()
    await made.ready(client)
    await full(client)
    yield client
    client.close()


async def until(look: Callable[[PoolInfo], bool], client: ManagerClient) -> PoolInfo:
    """Wait until the pool of the image is as wanted."""
    end = time.monotonic() + 40
    while True:
        infos = await client.call(PoolList(), 10.0)
        if infos and look(infos[0]):
            return infos[0]
        assert time.monotonic() < end, infos
        await asyncio.sleep(0.1)


async def full(client: ManagerClient) -> PoolInfo:
    return await until(lambda info: info.ready == 2 and not info.loading, client)


async def claim(client: ManagerClient, owner: str, **environment: str) -> SessionInfo:
    session = await client.call(SessionCreate(owner, "", IMAGE, LIMITS), 60.0)
    return await client.call(SessionStart(session.session, environment), 60.0)


def spare(made: ManagerProcess) -> list[dict[str, Any]]:
    """Return what the engine tells of running containers with a warm one's limits."""
    found = [one for one in made.containers() if one["State"]["Running"]]
    return [one for one in found if one["HostConfig"]["Memory"] == 96 * MIB]


def processes(container: str) -> list[int]:
    """Return the processes of a container, on the host, its first one first."""
    listed = docker_cli("top", container, "-o", "pid").split()[1:]
    return sorted(int(pid) for pid in listed)


async def test_a_session_takes_a_warm_container_with_its_own_limits(
    made: ManagerProcess, hub: ManagerClient
) -> None:
    before = {one["Id"]: one for one in spare(made)}
    assert len(before) == 2
    for one in before.values():
        assert one["HostConfig"]["CpuShares"] == 2
        assert "ada" not in str(one)
        assert not list(
            (made.state / "slots" / one["Name"].rpartition("-s-")[2] / "juser").iterdir()
        )
    info = await claim(hub, "ada", SECRET="s3cret")
    assert (
        info.container in before and info.ready and info.session in before[info.container]["Name"]
    )
    code, printed = inside(
        info.container,
        "import os; print(os.path.ismount('/home/juser'), os.path.exists('/home/entry.sock'))",
    )
    assert (code, printed.split()) == (0, ["True", "False"])
    (now,) = [one for one in made.containers() if one["Id"] == info.container]
    limits = now["HostConfig"]
    assert limits["Memory"] == limits["MemorySwap"] == LIMITS.memory
    assert (limits["PidsLimit"], limits["CpuShares"]) == (LIMITS.pids, 1024)
    assert limits["CpuQuota"] == 100_000 * LIMITS.cpu
    assert "s3cret" not in str(now)
    await hub.call(SessionRemove(info.session), 30.0)
    after = await full(hub)
    assert after.claimed == 1
    assert info.container not in {one["Id"] for one in spare(made)}


async def test_two_people_never_get_the_same_container(hub: ManagerClient) -> None:
    infos = await asyncio.gather(*(claim(hub, owner) for owner in ("bea", "cem", "dan")))
    assert len({info.container for info in infos}) == 3
    for info in infos:
        await hub.call(SessionRemove(info.session), 30.0)


@pytest.mark.parametrize("harm", ["killed", "silent"])
async def test_a_warm_container_that_fails_gives_way_to_a_cold_one(
    made: ManagerProcess, hub: ManagerClient, harm: str
) -> None:
    session = await hub.call(SessionCreate("eva", "", IMAGE, LIMITS), 60.0)
    if harm == "killed":
        docker_cli("kill", session.container)
    else:
        for pid in processes(session.container):
            os.kill(pid, signal.SIGSTOP)
    info = await hub.call(SessionStart(session.session, {"A": "b"}), 60.0)
    assert info.session == session.session and info.container != session.container
    assert info.ready
    assert session.container not in {one["Id"] for one in made.containers()}
    await hub.call(SessionRemove(info.session), 30.0)


async def test_a_restarted_manager_takes_the_pool_over(
    made: ManagerProcess, hub: ManagerClient
) -> None:
    before = {one["Id"] for one in spare(made)}
    made.kill()
    made.start()
    await made.ready(hub)
    await full(hub)
    assert {one["Id"] for one in spare(made)} == before
    info = await claim(hub, "fay")
    assert info.container in before
    await hub.call(SessionRemove(info.session), 30.0)


async def test_a_container_whose_limits_were_raised_is_not_taken_over(
    made: ManagerProcess, hub: ManagerClient
) -> None:
    victim, kept = (one["Id"] for one in spare(made))
    docker_cli("update", "--memory", "128m", "--memory-swap", "128m", victim)
    made.kill()
    made.start()
    await made.ready(hub)
    await full(hub)
    now = {one["Id"] for one in made.containers()}
    assert kept in now and victim not in now


async def test_the_pool_is_replaced_when_settings_change_or_it_is_asked_for(
    made: ManagerProcess, hub: ManagerClient
) -> None:
    before = {one["Id"] for one in spare(made)}
    await hub.call(PoolRenew(), 10.0)
    await until(lambda info: info.ready < 2, hub)
    await full(hub)
    renewed = {one["Id"] for one in spare(made)}
    assert not renewed & before
    made.stop()
    made.changes["tmp_size"] = 17 * MIB
    made.write_settings()
    made.start()
    await made.ready(hub)
    await full(hub)
    assert not {one["Id"] for one in made.containers()} & renewed


async def test_the_memory_that_the_operator_allows_bounds_the_pool(
    made: ManagerProcess, hub: ManagerClient
) -> None:
    made.stop()
    made.changes["pool"] = {**POOL, "memory": 100 * MIB}
    made.write_settings()
    made.start()
    await made.ready(hub)
    info = await until(lambda info: info.ready == 1 and not info.loading, hub)
    assert info.wanted == 2 and "pool.memory" in info.reason
    made.stop()
    made.changes["pool"] = POOL
    made.write_settings()
    made.start()
    await made.ready(hub)
    assert msgspec.structs.replace(await full(hub), memory=0).reason == ""
