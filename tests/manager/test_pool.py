"""The pool on the real engine: claims, what becomes of a warm container that fails, refills."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from juliabox_manager.protocol import (
    Events,
    PoolInfo,
    PoolList,
    PoolRenew,
    SessionCreate,
    SessionInfo,
    SessionInspect,
    SessionList,
    SessionRemove,
    SessionStart,
)
from juliabox_spawner.client import ManagerClient
from support.claims import limit_files, memory_limit
from support.manager_process import (
    IMAGE,
    LIMITS,
    MIB,
    ManagerProcess,
    docker_cli,
    inside,
    installation,
    started,
)
from support.waiting import until

pytestmark = pytest.mark.engine

POOL: dict[str, Any] = {"rule": "fixed", "sizes": {IMAGE: 2}, "warm_memory": 96 * MIB}


@pytest.fixture(scope="module")
def place(tiny: str) -> Iterator[ManagerProcess]:
    with installation(7, tiny, pool=POOL) as made:
        made.start()
        yield made


@pytest.fixture
async def hub(place: ManagerProcess) -> AsyncIterator[ManagerClient]:
    client = place.client()
    await place.ready(client)
    await filled(client)
    yield client
    for info in await client.call(SessionList()):
        await client.call(SessionRemove(info.session), 60.0)
    client.close()
    print(place.log())  # shown with a failure


async def pool_is(
    hub: ManagerClient, right: Callable[[PoolInfo], bool], limit: float = 60.0
) -> PoolInfo:
    """Wait until the pool of the tiny image is as it should be."""
    end = time.monotonic() + limit
    while True:
        (info,) = await hub.call(PoolList())
        if right(info):
            return info  # type: ignore[no-any-return]
        assert time.monotonic() < end, info
        await asyncio.sleep(0.1)


async def filled(hub: ManagerClient) -> PoolInfo:
    """Wait until the pool is as it should be and all else is gone."""
    return await pool_is(hub, lambda info: info.ready == info.wanted and not info.loading)


async def gone(place: ManagerProcess, *containers: str) -> None:
    """Wait until none of some containers is there."""
    await until(lambda: not {one["Id"] for one in place.containers()} & set(containers))


def warm_ones(place: ManagerProcess) -> list[dict[str, Any]]:
    """Return docker inspect of containers with the weight of warm ones."""
    return [one for one in place.containers() if one["HostConfig"]["CpuShares"] == 2]


async def claimed(hub: ManagerClient, owner: str = "ada") -> SessionInfo:
    made: SessionInfo = await hub.call(SessionCreate(owner, "", IMAGE, LIMITS), 60.0)
    assert made.warm
    return made


async def with_limits(place: ManagerProcess, container: str) -> dict[str, Any]:
    """Return what the engine tells of a container as soon as its memory limit is its session's."""
    async with asyncio.timeout(60):
        while True:
            (seen,) = [one for one in place.containers() if one["Id"] == container]
            if seen["HostConfig"]["Memory"] == LIMITS.memory:
                return dict(seen)
            await asyncio.sleep(0.05)


async def test_limits_that_could_not_be_raised_are_raised_by_the_next_reconcile(
    hub: ManagerClient, place: ManagerProcess
) -> None:
    info = await started(hub)
    await with_limits(place, info.container)
    docker_cli("update", "--memory", "96m", "--memory-swap", "96m", info.container)
    await with_limits(place, info.container)


async def test_a_session_runs_in_a_warm_container_with_its_own_limits_and_home(
    hub: ManagerClient, place: ManagerProcess
) -> None:
    before = {one["Id"] for one in warm_ones(place)}
    (cursor,) = await hub.call(Events())
    info = await started(hub, SECRET="canary-warm")
    assert info.warm and info.ready and info.container in before
    seen = await with_limits(place, info.container)
    host = seen["HostConfig"]
    assert host["MemorySwap"] == LIMITS.memory
    assert (host["CpuShares"], host["PidsLimit"]) == (1024, LIMITS.pids)
    assert host["CpuQuota"] / host["CpuPeriod"] == LIMITS.cpu
    assert "canary-warm" not in json.dumps(seen)
    code, printed = inside(info.container, "print(open('/home/juser/.jupyter/x', 'w'))")
    assert code == 0, printed
    assert info == await hub.call(SessionInspect(info.session))
    told = await hub.call(Events(cursor.sequence, 0.0, info.session))
    stages = [event.value for event in told if event.kind == "session.stage"]
    assert stages == ["mount", "release", "running", "ready"]
    again = await filled(hub)
    assert (again.ready, again.claimed >= 1, again.reason) == (2, True, "")
    assert info.container not in {one["Id"] for one in warm_ones(place)}


async def test_a_warm_container_holds_nobodys_name_home_or_secret(
    hub: ManagerClient, place: ManagerProcess
) -> None:
    # "ada" would stand in some numbers in hexadecimal
    info = await started(hub, "grace", SECRET="canary-former")
    inside(info.container, "open('/home/juser/mine', 'w').write('grace')")
    await hub.call(SessionRemove(info.session), 60.0)
    await filled(hub)
    for one in warm_ones(place):
        assert one["HostConfig"]["Memory"] == one["HostConfig"]["MemorySwap"] == 96 * MIB
        assert "grace" not in json.dumps(one["Config"]) and "canary" not in json.dumps(one)
        listed = inside(one["Id"], "import os; print(os.listdir('/home/juser'))")
        assert listed == (0, "[]\n")
    await place.homes_closed()


async def test_two_at_once_get_two_containers_and_the_third_a_cold_one(
    hub: ManagerClient, place: ManagerProcess
) -> None:
    infos = await asyncio.gather(*(started(hub, owner) for owner in ("ada", "bob", "eve")))
    assert sorted(info.warm for info in infos) == [False, True, True]
    assert len({info.container for info in infos}) == 3
    homes = [inside(info.container, "import os; print(os.stat('/home/juser').st_dev)")[1]
             for info in infos]  # fmt: skip
    assert len(set(homes)) == 3


async def test_one_that_asks_for_less_memory_than_a_warm_one_has_starts_cold(
    hub: ManagerClient,
) -> None:
    small = type(LIMITS)(memory=64 * MIB, cpu=1.0, pids=64, disk=32 * MIB)
    made = await hub.call(SessionCreate("ada", "", IMAGE, small), 60.0)
    info = await hub.call(SessionStart(made.session, {}), 60.0)
    assert not info.warm and info.state == "running"


#: What befalls a claimed container before its start.
HARM = {
    "killed": ("kill",),
    "stopped": ("stop", "-t", "1"),
    "removed": ("rm", "-f"),
    "frozen": ("pause",),
}


@pytest.mark.parametrize("harm", HARM)
async def test_a_claimed_container_that_fails_is_replaced_within_the_same_start(
    hub: ManagerClient, place: ManagerProcess, harm: str
) -> None:
    made = await claimed(hub)
    await asyncio.to_thread(docker_cli, *HARM[harm], made.container)
    info = await hub.call(SessionStart(made.session, {"A": "1"}), 60.0)
    assert (info.session, info.state, info.warm) == (made.session, "running", False)
    assert info.container != made.container
    assert made.container not in {one["Id"] for one in place.containers()}
    assert inside(info.container, "open('/home/juser/works', 'w')")[0] == 0
    await hub.call(SessionRemove(info.session), 60.0)
    await filled(hub)
    assert len(place.containers()) == 2
    await place.homes_closed()


async def test_a_waiting_container_that_dies_is_replaced(
    hub: ManagerClient, place: ManagerProcess
) -> None:
    before = warm_ones(place)
    docker_cli("kill", before[0]["Id"])
    await gone(place, before[0]["Id"])
    await filled(hub)
    assert before[1]["Id"] in {one["Id"] for one in warm_ones(place)}


async def test_renewing_replaces_all(hub: ManagerClient, place: ManagerProcess) -> None:
    before = {one["Id"] for one in warm_ones(place)}
    await hub.call(PoolRenew())
    await gone(place, *before)
    await filled(hub)


async def test_a_warm_container_whose_network_was_opened_is_removed(
    hub: ManagerClient, place: ManagerProcess
) -> None:
    victim = warm_ones(place)[0]
    pid = str(victim["State"]["Pid"])
    flush = ["nsenter", "-t", pid, "-n", "nft", "delete", "table", "inet", "juliabox"]
    await asyncio.to_thread(subprocess.run, flush, check=True)
    await gone(place, victim["Id"])
    await filled(hub)


async def test_limits_that_the_engine_only_wrote_down_are_raised_by_the_next_manager(
    hub: ManagerClient, place: ManagerProcess
) -> None:
    """An engine that is killed between its own record and the kernel says that all is well."""
    made = await claimed(hub)
    info = await hub.call(SessionStart(made.session, {}), 60.0)
    assert info.warm
    await until_limited(info.container)
    next(limit_files(info.container)).write_text(str(POOL["warm_memory"]))
    place.kill()
    place.start()
    await place.ready(hub)
    await until_limited(info.container)


async def until_limited(container: str) -> None:
    """Wait until the kernel lets a container have its session's memory."""
    async with asyncio.timeout(60.0):
        while await asyncio.to_thread(memory_limit, container) != LIMITS.memory:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_restart_takes_over_what_waits_and_replaces_what_is_outdated(
    place: ManagerProcess,
) -> None:
    client = place.client()
    await filled(client)
    before = {one["Id"] for one in warm_ones(place)}
    made = await claimed(client)
    place.kill()
    place.start()
    await place.ready(client)
    info = await client.call(SessionStart(made.session, {}), 60.0)
    assert (info.container, info.warm) == (made.container, True)
    await with_limits(place, info.container)  # else it has the weight of a warm one
    await filled(client)
    waiting = {one["Id"] for one in warm_ones(place)}
    assert len(waiting & before) == 1
    await client.call(SessionRemove(info.session), 60.0)

    place.stop()
    place.changes["tmp_size"] = 15 * MIB
    place.write_settings()
    place.start()
    await place.ready(client)
    await gone(place, *waiting)
    await filled(client)

    place.stop()
    place.changes["pool"] = {**POOL, "memory": 96 * MIB}
    place.write_settings()
    place.start()
    await place.ready(client)
    info = await filled(client)
    assert info.wanted == 1 and 0 < info.memory <= 96 * MIB
    assert info.reason == "pool.memory admits no more"

    place.stop()
    place.changes["pool"] = {**POOL, "sizes": {}}
    place.write_settings()
    place.start()
    await place.ready(client)
    assert await client.call(PoolList()) == []
    await until(lambda: not place.containers() and not place.slots())
    client.close()


async def test_a_failing_image_is_tried_less_and_less_and_the_reason_is_told(
    tmp_path: Path,
) -> None:
    with installation(8, "sha256:" + "0" * 64, pool=POOL) as made:
        made.start()
        client = made.client()
        await made.ready(client)
        info = await pool_is(client, lambda info: info.failed > 0)
        # also while the next attempt is under way; not for so long that there are many
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert "image" in info.reason or "No such" in info.reason
            await asyncio.sleep(0.01)
            (info,) = await client.call(PoolList())
        assert info.failed <= 4
        client.close()
