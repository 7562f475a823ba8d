"""API containers on the real engine: made, reached, counted and ended apart from sessions."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.protocol import (
    ApiContainer,
    ApiCreate,
    ApiList,
    ApiRetire,
    ApiStart,
    Events,
    PoolInfo,
    PoolList,
    SessionCreate,
    SessionInspect,
    SessionList,
    SessionRemove,
    SessionRetire,
    SessionStart,
    SessionStop,
    SessionUsage,
    SessionUsages,
    Stats,
    Verb,
    VolumeList,
)
from juliabox_spawner.client import ManagerClient
from support import tiny_image
from support.machine import policy_in_place
from support.manager_process import (
    API_CEILINGS,
    API_IMAGE,
    API_LIMITS,
    IMAGE,
    LIMITS,
    MIB,
    ManagerProcess,
    api_started,
    inside,
    installation,
    started,
)
from support.waiting import until

pytestmark = pytest.mark.engine

API: dict[str, Any] = {"containers": 3, "containers_per_publisher": 2, "warm_memory": 64 * MIB}


@pytest.fixture(scope="module")
def place(tiny: str) -> Iterator[ManagerProcess]:
    """An installation that runs API containers; none is kept warm."""
    with installation(3, tiny, api={**API, "image_id": tiny_image.make_api()}) as made:
        made.start()
        yield made


@pytest.fixture
async def client(place: ManagerProcess) -> AsyncIterator[ManagerClient]:
    """A client of its manager; what a test leaves is removed."""
    made = place.client()
    await place.ready(made)
    yield made
    for info in await made.call(SessionList()):
        await made.call(SessionRemove(info.session), 60.0)
    await none_left(made)
    made.close()
    print(place.log())  # shown with a failure


async def none_left(client: ManagerClient) -> None:
    """Retire all API containers and wait until they are gone."""
    for one in await client.call(ApiList()):
        await client.call(ApiRetire(one.container), 60.0)
    for _ in range(600):
        if not await client.call(ApiList()):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(await client.call(ApiList()))


async def until_it(
    client: ManagerClient, container: str, right: Callable[[ApiContainer], bool]
) -> ApiContainer:
    """Wait until an API container is as it should be."""
    async with asyncio.timeout(60):
        while True:
            for one in await client.call(ApiList()):
                if one.container == container and right(one):
                    return one  # type: ignore[no-any-return]
            await asyncio.sleep(0.05)


def seen(place: ManagerProcess, info: ApiContainer) -> dict[str, Any]:
    """Return docker inspect of an API container."""
    (found,) = [
        one
        for one in place.containers()
        if one["Config"]["Labels"]["juliabox.session"] == info.container
    ]
    return found


async def refused(client: ManagerClient, verb: Verb) -> str:
    """Return the code of what refuses a verb."""
    with pytest.raises(JuliaBoxError) as error:
        await client.call(verb, 60.0)
    return error.value.code


# -- what one is ----------------------------------------------------------------------------------


async def test_an_api_container_runs_as_confined_as_a_session_and_holds_nothing_of_its_publisher(
    client: ManagerClient, place: ManagerProcess
) -> None:
    info = await api_started(client, JULIABOX_WORKER_KEY="canary-key")
    assert (info.publisher, info.api, info.version) == ("ada", "fib", 1)
    assert (info.state, info.port, info.exit, info.stale) == ("running", 8888, None, False)
    assert (info.address != "", info.started > 0, info.warm) == (True, True, False)
    found, session = seen(place, info), await started(client)
    (other,) = [one for one in place.containers() if one["Id"] == session.container]
    host, theirs = found["HostConfig"], other["HostConfig"]
    same = ("CapDrop", "ReadonlyRootfs", "SecurityOpt", "Tmpfs", "UsernsMode", "PortBindings")
    assert {name: host[name] for name in same} == {name: theirs[name] for name in same}
    assert (host["Memory"], host["PidsLimit"]) == (API_LIMITS.memory, API_LIMITS.pids)
    assert found["Config"]["Labels"]["juliabox.kind"] == "api"
    assert found["Config"]["Hostname"] == f"api-{info.container[:8]}"
    assert "canary-key" not in json.dumps(found)
    assert [volume.sessions for volume in await client.call(VolumeList())] == [[session.session]]
    code, printed = inside(found["Id"], "open('/home/juser/x', 'w')")
    assert code != 0 and "Read-only" in printed
    assert policy_in_place(found)


async def test_its_events_are_of_its_own_kind_and_tell_publisher_and_api(
    client: ManagerClient,
) -> None:
    (cursor,) = await client.call(Events())
    info = await api_started(client)
    await none_left(client)
    told = await client.call(Events(cursor.sequence, 0.0, info.container))
    assert [(event.kind, event.value) for event in told] == [
        ("api.state", state) for state in ("created", "starting", "running", "stopping", "ended")
    ]
    assert {(event.owner, event.server) for event in told} == {("ada", "fib")}


async def test_a_start_is_joined_by_a_repetition_and_refused_with_another_key(
    client: ManagerClient,
) -> None:
    made = await client.call(ApiCreate("ada", "fib", 1, API_LIMITS), 60.0)
    start = ApiStart(made.container, {"JULIABOX_WORKER_KEY": "one"})
    one, two = await asyncio.gather(client.call(start, 60.0), client.call(start, 60.0))
    assert one == two
    other = ApiStart(made.container, {"JULIABOX_WORKER_KEY": "two"})
    assert await refused(client, other) == "session.running"


# -- apart from sessions --------------------------------------------------------------------------


async def test_no_verb_on_sessions_knows_an_api_container(client: ManagerClient) -> None:
    info = await api_started(client)
    name = info.container
    assert await client.call(SessionList()) == []
    assert await client.call(SessionUsages()) == []
    for verb in (
        SessionInspect(name),
        SessionStart(name, {}),
        SessionStop(name),
        SessionUsage(name),
    ):
        assert await refused(client, verb) == "not_found.session"
    for harmless in (SessionRetire(name, 0.0), SessionRemove(name)):
        await client.call(harmless)
    (still,) = await client.call(ApiList())
    assert still == info


async def test_no_verb_on_apis_knows_a_session(client: ManagerClient) -> None:
    info = await started(client)
    assert await client.call(ApiList()) == []
    assert await refused(client, ApiStart(info.session, {})) == "not_found.api_container"
    await client.call(ApiRetire(info.session, 0.0))
    assert await client.call(SessionInspect(info.session)) == info


async def test_they_count_neither_as_sessions_nor_as_their_publishers(
    client: ManagerClient,
) -> None:
    before = await client.call(Stats())
    for _ in range(2):
        await api_started(client)
    for server in ("one", "two", "three"):
        await started(client, server=server)
    stats = await client.call(Stats())
    assert (stats.sessions - before.sessions, stats.api_containers) == (3, 2)
    promised = stats.memory_promised - before.memory_promised
    assert promised == 3 * LIMITS.memory + 2 * API_LIMITS.memory


async def test_a_session_of_the_image_of_apis_is_refused(client: ManagerClient) -> None:
    verb = SessionCreate("ada", "", API_IMAGE, LIMITS)
    assert await refused(client, verb) == "image.not_allowed"


# -- how many -------------------------------------------------------------------------------------


async def test_a_publisher_and_the_instance_have_no_more_than_they_may(
    client: ManagerClient,
) -> None:
    create = ApiCreate("ada", "fib", 1, API_LIMITS)
    many = await asyncio.gather(
        *(client.call(create, 60.0) for _ in range(5)), return_exceptions=True
    )
    made = [one for one in many if isinstance(one, ApiContainer)]
    assert len({one.container for one in made}) == len(made) == 2
    assert {one.code for one in many if isinstance(one, JuliaBoxError)} == {"no_room.api_publisher"}
    await client.call(ApiCreate("bob", "fib", 1, API_LIMITS), 60.0)
    assert await refused(client, ApiCreate("bob", "fib", 1, API_LIMITS)) == (
        "no_room.api_containers"
    )
    await none_left(client)
    await client.call(create, 60.0)


@pytest.mark.parametrize("name", ["memory", "cpu", "pids"])
async def test_a_limit_above_its_ceiling_is_refused(client: ManagerClient, name: str) -> None:
    limits = {"memory": 257 * MIB, "cpu": 1.5, "pids": 129}
    changed = type(API_LIMITS)(
        **{one: getattr(API_LIMITS, one) for one in ("memory", "cpu", "pids", "disk")}
        | {name: limits[name]}
    )
    verb = ApiCreate("ada", "fib", 1, changed)
    assert await refused(client, verb) == f"policy.limit.{name}"


# -- ends -----------------------------------------------------------------------------------------


async def test_one_that_dies_is_told_of_until_it_is_retired(
    client: ManagerClient, place: ManagerProcess
) -> None:
    info = await api_started(client)
    os.kill(int(seen(place, info)["State"]["Pid"]), signal.SIGKILL)
    ended = await until_it(client, info.container, lambda one: one.state == "ended")
    assert ended.exit is not None and ended.exit.code == 137
    assert ended.address == ""
    assert place.containers() == [] == place.slots()
    assert await refused(client, ApiStart(info.container, {})) == "session.ended"
    await client.call(ApiRetire(info.container))
    assert await client.call(ApiList()) == []


async def test_one_whose_worker_does_not_come_up_tells_why(client: ManagerClient) -> None:
    made = await client.call(ApiCreate("ada", "fib", 1, API_LIMITS), 60.0)
    with pytest.raises(JuliaBoxError, match="no Julia today") as error:
        await client.call(ApiStart(made.container, {"TINY_CRASH": "no Julia today"}), 60.0)
    assert error.value.code == "session.failed"


async def test_one_that_does_not_end_by_itself_is_killed_at_once(
    client: ManagerClient, place: ManagerProcess
) -> None:
    info = await api_started(client, TINY_STOP_AFTER="/nothing")
    await client.call(ApiRetire(info.container, 0.0))
    await until(lambda: not place.containers())


async def test_a_grace_is_given_and_a_second_retirement_cuts_it_short(
    client: ManagerClient,
) -> None:
    info = await api_started(client, TINY_STOP_AFTER="/nothing")
    await client.call(ApiRetire(info.container, 60.0))
    stopping = await until_it(client, info.container, lambda one: one.state == "stopping")
    assert stopping.retired
    async with asyncio.timeout(30):
        await none_left(client)


# -- managers come and go -------------------------------------------------------------------------


async def test_a_running_one_outlives_the_manager_and_is_told_of_as_before(
    client: ManagerClient, place: ManagerProcess
) -> None:
    info = await api_started(client)
    place.kill()
    place.start()
    await place.ready(client)
    assert await client.call(ApiList()) == [info]
    assert policy_in_place(seen(place, info))
    os.kill(int(seen(place, info)["State"]["Pid"]), signal.SIGKILL)
    await until_it(client, info.container, lambda one: one.state == "ended")


async def test_where_apis_are_switched_off_none_goes_on(
    client: ManagerClient, place: ManagerProcess
) -> None:
    info = await api_started(client)
    api = place.changes.pop("api")
    try:
        place.stop()
        place.write_settings()
        place.start()
        await place.ready(client)
        ended = await until_it(client, info.container, lambda one: one.state == "ended")
        assert ended.stale and place.containers() == []
        verb = ApiCreate("ada", "fib", 1, API_LIMITS)
        assert await refused(client, verb) == "policy.api"
    finally:
        place.changes["api"] = api
        place.stop()
        place.write_settings()
        place.start()
        await place.ready(client)


# -- the pool -------------------------------------------------------------------------------------


async def pool_of_apis(client: ManagerClient, right: Callable[[PoolInfo], bool]) -> PoolInfo:
    """Wait until the pool of the API image is as it should be."""
    async with asyncio.timeout(60):
        while True:
            for one in await client.call(PoolList()):
                if one.image == API_IMAGE and right(one):
                    return one  # type: ignore[no-any-return]
            await asyncio.sleep(0.1)


@pytest.fixture
async def pooled(client: ManagerClient, place: ManagerProcess) -> AsyncIterator[ManagerClient]:
    """The same client, of a manager that keeps one API container warm, and no session."""
    place.changes["api"]["pool"] = 1
    place.stop()
    place.write_settings()
    place.start()
    await place.ready(client)
    await pool_of_apis(client, lambda one: one.ready == 1)
    yield client
    place.changes["api"]["pool"] = 0
    place.stop()
    place.write_settings()
    place.start()
    await place.ready(client)
    await until(
        lambda: not [one for one in place.containers() if one["HostConfig"]["CpuShares"] == 2]
    )


async def test_a_warm_one_is_claimed_by_an_api_and_never_by_a_session(
    pooled: ManagerClient, place: ManagerProcess
) -> None:
    (blank,) = place.containers()
    assert blank["Config"]["Labels"]["juliabox.kind"] == "api"
    assert blank["HostConfig"]["Memory"] == API["warm_memory"]
    assert blank["HostConfig"]["PidsLimit"] == API_CEILINGS.pids
    session = await started(pooled)
    assert not session.warm
    info = await api_started(pooled, JULIABOX_WORKER_KEY="canary-warm")
    found = seen(place, info)
    assert info.warm and found["Id"] == blank["Id"]
    # its limits are raised beside its start
    await until(lambda: seen(place, info)["HostConfig"]["Memory"] == API_LIMITS.memory)
    assert "canary-warm" not in json.dumps(found)
    again = await pool_of_apis(pooled, lambda one: one.ready == 1)
    assert (again.wanted, again.claimed, again.missed) == (1, 1, 0)


async def test_a_warm_one_is_taken_over_by_the_next_manager(
    pooled: ManagerClient, place: ManagerProcess
) -> None:
    (blank,) = place.containers()
    place.kill()
    place.start()
    await place.ready(pooled)
    await pool_of_apis(pooled, lambda one: one.ready == 1)
    info = await api_started(pooled)
    assert info.warm and seen(place, info)["Id"] == blank["Id"]


async def test_the_pools_of_sessions_are_as_large_as_without_apis(pooled: ManagerClient) -> None:
    assert [one.image for one in await pooled.call(PoolList())] == [API_IMAGE]
    info = await started(pooled)
    assert (info.image, info.warm) == (IMAGE, False)
