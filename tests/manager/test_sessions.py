"""Sessions on the real engine, with real disks, network policy and a manager process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import subprocess
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from juliabox_ext.errors import (
    ConflictError,
    InternalError,
    JuliaBoxError,
    NotFoundError,
    PolicyError,
)
from juliabox_manager.protocol import (
    START_STAGES,
    Event,
    Events,
    ImageEnsure,
    ImageList,
    SessionCreate,
    SessionFind,
    SessionInfo,
    SessionInspect,
    SessionList,
    SessionRemove,
    SessionRetire,
    SessionStart,
    SessionStop,
    SessionUsage,
    SessionUsages,
    Stats,
    VolumeList,
    VolumeRemove,
    VolumeRestore,
)
from juliabox_spawner.client import ManagerClient
from support.manager_process import (
    IMAGE,
    LIMITS,
    MIB,
    ManagerProcess,
    docker_cli,
    inside,
    started,
)
from support.waiting import until

pytestmark = pytest.mark.engine

#: A file in its container that a server waits for before it ends.
ENOUGH = "/tmp/enough"


async def sh(command: list[str]) -> str:
    """Run a program and return what it prints."""
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True
    )
    return done.stdout


async def started_to_die(hub: ManagerClient, **environment: str) -> str:
    """Start a session whose server dies at once; return its id.

    On a busy machine the manager may learn of its death before the start is over, and so fails it.
    """
    made = await hub.call(SessionCreate("ada", "", IMAGE, LIMITS))
    try:
        await hub.call(SessionStart(made.session, environment), 60.0)
    except InternalError as error:
        assert error.code == "session.failed"
    return made.session  # type: ignore[no-any-return]


async def ended(hub: ManagerClient, session: str, limit: float = 60.0) -> SessionInfo:
    """Wait until a session has ended, by the manager's events."""
    end = time.monotonic() + limit
    after = 0
    while time.monotonic() < end:
        info = await hub.call(SessionInspect(session))
        if info.state == "ended":
            return info  # type: ignore[no-any-return]
        for event in await hub.call(Events(after, 1.0, session)):
            after = event.sequence
    raise AssertionError(f"session {session} has not ended")


async def test_a_session_runs_and_its_files_are_there_the_next_time(
    hub: ManagerClient, managed: ManagerProcess
) -> None:
    (cursor,) = await hub.call(Events())
    info = await started(hub, SECRET="canary-1")
    assert (info.state, info.port, info.stale) == ("running", 8888, False)
    code, _ = inside(info.container, "open('/home/juser/notes', 'w').write('kept')")
    assert code == 0
    code, printed = inside(info.container, "print(open('/proc/1/environ').read())")
    assert "canary-1" not in printed
    found = await hub.call(SessionFind("ada", ""))
    assert found == info
    events: list[Event] = await hub.call(Events(cursor.sequence))
    assert [e.value for e in events if e.kind == "session.stage"] == list(START_STAGES)
    assert [e.value for e in events if e.kind == "session.state"] == [
        "created",
        "starting",
        "running",
    ]
    stopped = await hub.call(SessionStop(info.session, 5.0), 30.0)
    assert (stopped.state, stopped.exit.reason) == ("ended", "It was stopped.")
    await managed.nothing_left()

    again = await started(hub)
    assert again.session != info.session
    code, printed = inside(again.container, "print(open('/home/juser/notes').read())")
    assert printed.strip() == "kept"
    assert inside(again.container, "print(open('/home/juser/stopped-in-order').read())")[0] == 0


async def test_docker_inspect_shows_every_hardening_setting_and_no_secret(
    hub: ManagerClient, managed: ManagerProcess
) -> None:
    # "ada" would stand in some numbers in hexadecimal
    info = await started(hub, "grace", JUPYTERHUB_API_TOKEN="canary-2")
    (seen,) = managed.containers()
    host, config = seen["HostConfig"], seen["Config"]
    assert seen["Image"] == managed.image_id
    assert seen["Name"] == f"/{managed.name}-s-{info.session}"
    assert config["User"] == "1000:1000"
    assert "grace" not in config["Hostname"]
    assert host["CapDrop"] == ["ALL"] and not host["CapAdd"]
    assert host["SecurityOpt"][0] == "no-new-privileges:true"
    assert json.loads(host["SecurityOpt"][1].removeprefix("seccomp="))["syscalls"]
    assert host["Privileged"] is False and host["ReadonlyRootfs"] is True
    assert (host["Memory"], host["MemorySwap"]) == (LIMITS.memory, LIMITS.memory)
    assert host["CpuQuota"] / host["CpuPeriod"] == LIMITS.cpu
    assert host["PidsLimit"] == LIMITS.pids
    assert {u["Name"]: u["Hard"] for u in host["Ulimits"]} == {"core": 0, "nofile": 16384}
    assert host["LogConfig"]["Config"] == {"max-size": "1m", "max-file": "2"}
    assert host["IpcMode"] == "private" and host["CgroupnsMode"] == "private"
    assert not host["PidMode"] and not host["UTSMode"] and not host["UsernsMode"]
    assert host["NetworkMode"] == f"{managed.name}-sessions"
    assert not host["PortBindings"] and host["PublishAllPorts"] is False
    assert not host["Devices"] and not host["Binds"] and not host["VolumesFrom"]
    assert host["RestartPolicy"]["Name"] == "no" and host["AutoRemove"] is False
    assert host["OomScoreAdj"] == 500
    assert host["MaskedPaths"] and host["ReadonlyPaths"]
    (mount,) = seen["Mounts"]
    assert mount["Source"] == str(managed.state / "slots" / info.session)
    assert (mount["Destination"], mount["RW"], mount["Propagation"]) == ("/home", False, "rslave")
    assert "canary-2" not in json.dumps(seen)
    written = b"".join(
        path.read_bytes() for path in managed.state.joinpath("manager").iterdir() if path.is_file()
    )
    assert b"canary-2" not in written
    assert "canary-2" not in managed.log()


#: Each must fail inside a session; the code raises or exits with a number other than 0.
FORBIDDEN = {
    "mount": "assert c.mount(b't', b'/tmp', b'tmpfs', 0, None) == 0",
    "user-namespace": "assert c.unshare(0x10000000) == 0",
    "join-namespace": "assert c.setns(os.open('/proc/1/ns/net', 0), 0) == 0",
    "device-node": "os.mknod('/tmp/disk', 0o60600, os.makedev(7, 0))",
    "set-uid": "os.setuid(0)",
    "core-pattern": "open('/proc/sys/kernel/core_pattern', 'w').write('|/bin/x')",
    "sysrq": "open('/proc/sysrq-trigger', 'w').write('h')",
    "cgroup": "open('/sys/fs/cgroup/memory/memory.limit_in_bytes', 'w').write('-1')",
    "bpf": "assert c.syscall(321, 0, 0, 0) >= 0",
    "keyctl": "assert c.syscall(250, 0, -3, 0) >= 0",
    "io-uring": "assert c.syscall(425, 1, ctypes.create_string_buffer(120)) >= 0",
    "raw-socket": "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "slot": "open('/home/file', 'w')",
    "entry-socket": "import socket; socket.socket(socket.AF_UNIX).connect('/home/entry.sock')",
    "root": "open('/usr/lib/file', 'w')",
    "tmp-size": "fill('/tmp/big', 17)",
    "tmp-inodes": "[os.close(os.open(f'/tmp/{n}', os.O_CREAT)) for n in range(70_000)]",
    "home-size": "fill('/home/juser/big', 40)",
    "ipv6": "import socket; socket.socket(socket.AF_INET6).bind(('::1', 0))",
}


#: Writes MiB by MiB on to the disk and leaves nothing: all of it counts as memory of the session.
FILL = """
def fill(path, mib):
  try:
    with open(path, 'wb', buffering=0) as file:
      for _ in range(mib):
        file.write(b'x' * (1 << 20))
        os.fdatasync(file)
  finally:
    os.remove(path)
"""


async def test_nothing_forbidden_works_from_inside(hub: ManagerClient) -> None:
    info = await started(hub)
    code, status = inside(info.container, "print(open('/proc/self/status').read())")
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert code == 0
    assert int(told["CapEff"], 16) == int(told["CapBnd"], 16) == int(told["CapPrm"], 16) == 0
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
    assert told["Uid"].split() == ["1000"] * 4
    tries = "\n".join(
        f"try:\n  {code}\n  print('WORKED', {name!r})\nexcept BaseException as e:\n  "
        f"print('refused', {name!r}, repr(e))"
        for name, code in FORBIDDEN.items()
    )
    start = f"import os, ctypes; c = ctypes.CDLL(None)\n{FILL}"
    code, printed = inside(info.container, start + tries)
    assert code == 0, printed
    assert "WORKED" not in printed
    assert printed.count("refused") == len(FORBIDDEN), printed
    assert printed.count(f"OSError({errno.ENOSPC}, ") == 3, printed


async def processes(container: str) -> int:
    """Count the processes of a container."""
    return len((await sh(["docker", "top", container])).splitlines()) - 1


async def test_a_fork_bomb_stops_at_its_limit_and_neighbours_start(hub: ManagerClient) -> None:
    info = await started(hub)
    bomb = "import os, time\nn = 0\nwhile True:\n  try:\n    if os.fork() == 0: time.sleep(60)\n"
    bomb += "    n += 1\n  except OSError: break\nprint('children', n, flush=True); time.sleep(60)"
    docker_cli("exec", "-d", info.container, "/usr/bin/python3.11", "-c", bomb)

    async def gone_off() -> bool:
        return await processes(info.container) >= 32

    await until(gone_off)
    await started(hub, "neighbour")
    assert await processes(info.container) <= LIMITS.pids
    await hub.call(SessionStop(info.session, 1.0), 30.0)


async def test_a_memory_bomb_ends_its_session_alone_and_the_reason_is_told(
    hub: ManagerClient,
) -> None:
    neighbour = await started(hub, "neighbour")
    seen = await ended(hub, await started_to_die(hub, TINY_BOMB="1"))
    assert seen.exit.oom_killed
    assert seen.exit.reason == "It ran out of memory (limit 128 MiB)."
    assert (await hub.call(SessionInspect(neighbour.session))).state == "running"


async def test_a_session_that_crashes_as_it_starts_tells_its_last_lines(hub: ManagerClient) -> None:
    seen = await ended(hub, await started_to_die(hub, TINY_CRASH="no such kernel"))
    assert seen.exit.code in {1, 3}
    assert any("no such kernel" in line for line in seen.exit.last_lines)
    assert len(seen.exit.last_lines) <= 20


@pytest.fixture
async def heedless(hub: ManagerClient, managed: ManagerProcess) -> AsyncIterator[ManagerClient]:
    """The same client, of a manager that looks at its sessions once in an hour."""

    async def restart() -> None:
        managed.stop()
        managed.write_settings()
        managed.start()
        await managed.ready(hub)

    managed.changes["reconcile_interval"] = 3600.0
    await restart()
    yield hub
    del managed.changes["reconcile_interval"]
    await restart()


async def test_a_session_killed_from_outside_is_noticed_at_once(
    heedless: ManagerClient, managed: ManagerProcess
) -> None:
    info = await started(heedless)
    docker_cli("kill", info.container)
    seen = await ended(heedless, info.session)
    assert seen.exit.reason == "It was killed from outside."
    assert managed.containers() == managed.mounts() == []
    await managed.homes_closed()


async def test_a_stubborn_server_is_killed_after_its_grace(hub: ManagerClient) -> None:
    info = await started(hub, TINY_STOP_AFTER="/nothing")
    begun = time.monotonic()
    seen = await hub.call(SessionStop(info.session, 1.0), 30.0)
    assert time.monotonic() - begun >= 1.0
    assert (seen.state, seen.exit.code) == ("ended", 137)


async def test_quotas_hold_against_a_flood_of_creates(hub: ManagerClient) -> None:
    made = await asyncio.gather(
        *(hub.call(SessionCreate("ada", f"s{n}", IMAGE, LIMITS), 60.0) for n in range(40)),
        return_exceptions=True,
    )
    good = [info for info in made if isinstance(info, SessionInfo)]
    codes = {error.code for error in made if isinstance(error, JuliaBoxError)}
    assert (len(good), codes) == (3, {"no_room.owner"})
    assert len(await hub.call(SessionList())) == 3


async def test_double_clicks_and_two_hubs_get_one_container(
    hub: ManagerClient, managed: ManagerProcess
) -> None:
    other = managed.client()
    verb = SessionCreate("ada", "", IMAGE, LIMITS)
    infos = await asyncio.gather(*(client.call(verb) for client in (hub, other, hub)))
    assert len({info.session for info in infos}) == 1
    start = SessionStart(infos[0].session, {"A": "1"})
    infos = await asyncio.gather(*(client.call(start, 60.0) for client in (hub, other, hub)))
    assert {info.state for info in infos} == {"running"}
    assert len(managed.containers()) == 1
    with pytest.raises(ConflictError) as refused:
        await hub.call(SessionStart(infos[0].session, {"A": "2"}))
    assert refused.value.code == "session.running"
    with pytest.raises(ConflictError) as refused:
        await other.call(verb)
    assert refused.value.code == "session.exists"
    other.close()


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3, 0.5, 0.7], ids=lambda d: f"after-{d}s")
async def test_a_stop_during_the_start_leaves_nothing(
    hub: ManagerClient, managed: ManagerProcess, delay: float
) -> None:
    made = await hub.call(SessionCreate("ada", "", IMAGE, LIMITS))
    starting = asyncio.create_task(hub.call(SessionStart(made.session, {}), 60.0))
    await asyncio.sleep(delay)
    seen = await hub.call(SessionStop(made.session, 0.5), 30.0)
    assert seen.state == "ended"
    try:
        await starting
    except ConflictError as error:
        assert error.code in {"session.stopped", "session.ended", "session.stopping"}
    await managed.nothing_left()
    await started(hub)


async def test_a_new_start_right_after_a_stop_waits_for_it(hub: ManagerClient) -> None:
    info = await started(hub, TINY_STOP_AFTER=ENOUGH)
    stopping = asyncio.create_task(hub.call(SessionStop(info.session, 50.0), 60.0))

    async def begun() -> bool:
        return bool((await hub.call(SessionInspect(info.session))).state == "stopping")

    await until(begun)
    starting = asyncio.create_task(started(hub))
    await asyncio.sleep(0.3)
    assert not starting.done()
    assert inside(info.container, f"open({ENOUGH!r}, 'w')")[0] == 0
    assert (await starting).state == "running"
    await stopping


async def test_a_retired_session_saves_its_work_beside_the_next_one(
    hub: ManagerClient, managed: ManagerProcess
) -> None:
    old = await started(hub, TINY_STOP_AFTER=ENOUGH)
    path = "'/home/juser/stopped-in-order'"
    inside(old.container, f"import pathlib; pathlib.Path({path}).unlink(missing_ok=True)")
    await hub.call(SessionRetire(old.session, 50.0))
    new = await started(hub)
    assert new.session != old.session
    assert len(managed.containers()) == 2
    await until(lambda: len(managed.loops()) == 1)  # an earlier one may be held for a moment
    seen = await hub.call(SessionInspect(old.session))
    assert (seen.state, seen.retired) == ("stopping", True)
    saved = f"import os; print(os.path.exists({path}))"
    assert inside(new.container, saved)[1] == "False\n"
    assert inside(old.container, f"open({ENOUGH!r}, 'w')")[0] == 0

    async def alone() -> bool:
        return len(await hub.call(SessionList())) == 1

    await until(alone)
    assert inside(new.container, saved)[1] == "True\n"
    assert [one.session for one in await hub.call(SessionList())] == [new.session]
    assert managed.slots() == [new.session]
    await hub.call(SessionRetire(new.session, 0.0))
    await hub.call(VolumeRemove("ada"))
    assert managed.containers() == managed.mounts() == []
    await managed.homes_closed()


async def test_two_servers_of_one_owner_share_the_home(
    hub: ManagerClient, managed: ManagerProcess
) -> None:
    first, second = await asyncio.gather(started(hub), started(hub, server="second"))
    inside(first.container, "open('/home/juser/shared', 'w').write('both')")
    assert inside(second.container, "print(open('/home/juser/shared').read())")[1] == "both\n"
    await until(lambda: len(managed.loops()) == 1)  # an earlier one may be held for a moment
    with pytest.raises(ConflictError, match=first.session):
        await hub.call(VolumeRemove("ada"))
    await hub.call(SessionRemove(first.session), 30.0)
    assert inside(second.container, "print(open('/home/juser/shared').read())")[1] == "both\n"


async def test_a_removed_volume_can_be_restored_and_a_new_one_is_empty(hub: ManagerClient) -> None:
    info = await started(hub, "eve")
    inside(info.container, "open('/home/juser/mine', 'w').write('eve')")
    await hub.call(SessionRemove(info.session), 30.0)
    await hub.call(VolumeRemove("eve"))
    info = await started(hub, "eve")
    assert "mine" not in inside(info.container, "import os; print(os.listdir('/home/juser'))")[1]
    await hub.call(SessionRemove(info.session), 30.0)
    await hub.call(VolumeRemove("eve"))
    volumes = await hub.call(VolumeList("eve"))
    assert {volume.state for volume in volumes} == {"removed"}
    assert (await hub.call(VolumeRestore("eve"))).owner == "eve"


async def test_images_and_stats_tell_what_there_is(
    hub: ManagerClient, managed: ManagerProcess
) -> None:
    (image,) = await hub.call(ImageList())
    assert (image.image, image.id, image.present) == (IMAGE, managed.image_id, True)
    assert await hub.call(ImageEnsure(IMAGE)) == image
    await started(hub)
    stats = await hub.call(Stats())
    assert (stats.sessions, stats.memory_promised) == (1, LIMITS.memory)
    assert stats.memory_total > MIB and stats.disk_free > MIB


async def test_an_unknown_session_is_not_found_and_removing_it_does_nothing(
    hub: ManagerClient,
) -> None:
    for verb in (SessionInspect("f" * 16), SessionStart("f" * 16, {}), SessionStop("f" * 16)):
        with pytest.raises(NotFoundError):
            await hub.call(verb)
    assert await hub.call(SessionRemove("f" * 16)) is None


async def test_a_flushed_network_policy_is_set_again(hub: ManagerClient) -> None:
    info = await started(hub)
    pid = docker_cli("inspect", "-f", "{{.State.Pid}}", info.container).strip()
    enter = ["nsenter", "-t", pid, "-n", "nft"]
    await sh([*enter, "delete", "table", "inet", "juliabox"])

    async def set_again() -> bool:
        return "inet juliabox" in await sh([*enter, "list", "ruleset"])

    await until(set_again)


async def test_a_container_without_a_record_is_removed(
    hub: ManagerClient, managed: ManagerProcess
) -> None:
    name = f"{managed.name}-s-{'e' * 16}"
    docker_cli("create", "--name", name, "--network", "none",
               "--label", f"juliabox.installation={managed.name}",
               "--label", f"juliabox.session={'e' * 16}", managed.image_id)  # fmt: skip
    with contextlib.suppress(AssertionError):  # it may be removed as soon as it is made
        docker_cli("start", name)

    async def removed() -> bool:
        return not await asyncio.to_thread(managed.containers)

    await until(removed)


async def stop_that_lasts_longer_than_a_start(
    hub: ManagerClient, session: str
) -> asyncio.Task[SessionInfo]:
    """Stop a session that is stuck, and return that work when another one has started meanwhile.

    The manager gives up on the stuck one after ten seconds, which a start may take on a machine
    that stands still for a while, but not each time.
    """
    for number in range(4):
        stopping = asyncio.create_task(hub.call(SessionStop(session, 0.5), 60.0))
        await asyncio.sleep(0.2)
        other = await started(hub, f"other-{number}")
        if not stopping.done():
            return stopping
        await asyncio.gather(stopping, return_exceptions=True)
        await hub.call(SessionRemove(other.session), 60.0)
    raise AssertionError("each other start waits for the stuck session")


async def test_a_frozen_home_makes_its_session_stuck_and_no_other(
    hub: ManagerClient, managed: ManagerProcess
) -> None:
    info = await started(hub, "frozen")
    target = managed.state / "slots" / info.session / "juser"
    await sh(["fsfreeze", "-f", str(target)])
    try:
        # not sync(), which would hang all of the machine
        writer = "open('/home/juser/x', 'w').write('x')"
        docker_cli("exec", "-d", info.container, "/usr/bin/python3.11", "-c", writer)
        await asyncio.sleep(0.5)
        stopping = await stop_that_lasts_longer_than_a_start(hub, info.session)
        try:
            seen = await stopping
        except JuliaBoxError as error:
            assert (error.code, error.retryable) == ("session.stuck", True)
            assert (await hub.call(SessionInspect(info.session))).state == "stopping"
        else:
            assert seen.state == "ended"
    finally:
        # its slot's mount may be gone by now; the others are not frozen, which is an error
        for place in (target, *(managed.state / "mounts").iterdir()):
            with contextlib.suppress(subprocess.CalledProcessError):
                await sh(["fsfreeze", "-u", str(place)])
    assert (await ended(hub, info.session)).state == "ended"


@pytest.fixture
def bad_image(managed: ManagerProcess) -> Any:
    """Let the allow-list name an image that the engine lacks, for one restart."""
    path = managed.state / "manager.json"
    before = path.read_text()
    settings = json.loads(before)
    settings["images"]["juliabox/lost"] = "sha256:" + "0" * 64
    settings["tmp_size"] += MIB
    path.write_text(json.dumps(settings))
    yield
    path.write_text(before)


async def test_settings_that_changed_make_a_session_stale_and_a_missing_image_is_told(
    hub: ManagerClient, managed: ManagerProcess, bad_image: None
) -> None:
    info = await started(hub)
    managed.stop()
    managed.start()
    await managed.ready(hub)
    seen = await hub.call(SessionInspect(info.session))
    assert seen == msgspec.structs.replace(info, stale=True, stage="", ready=False)
    with pytest.raises(NotFoundError, match="juliabox up") as refused:
        await hub.call(SessionCreate("eve", "", "juliabox/lost", LIMITS))
    assert refused.value.code == "image.missing"
    assert len(await hub.call(SessionList())) == 1


async def test_what_a_session_uses_is_told_beside_its_limits(
    hub: ManagerClient, managed: ManagerProcess
) -> None:
    info = await started(hub)
    inside(info.container, "open('/home/juser/big', 'wb').write(b'x' * 4_000_000)")
    busy = asyncio.create_task(
        asyncio.to_thread(
            inside,
            info.container,
            "import os\nx = bytearray(20_000_000)\nopen('/home/juser/begun', 'w')\n"
            "while not os.path.exists('/home/juser/stop'): pass",
        )
    )
    await until(lambda: inside(info.container, "open('/home/juser/begun')")[0] == 0)
    first = await hub.call(SessionUsage(info.session))
    (second,) = await hub.call(SessionUsages([info.session, "0" * 16]))
    inside(info.container, "open('/home/juser/stop', 'w')")
    await busy
    for used in (first, second):
        assert 20_000_000 < used.memory < used.memory_limit == LIMITS.memory
        assert 2 <= used.pids < used.pids_limit == LIMITS.pids
        assert used.disk is not None
        assert 4_000_000 < used.disk < used.disk_size <= LIMITS.disk
        # how much a busy machine gives it is not ours to say
        assert 0.01 < used.cpu < 2
    await hub.call(SessionStop(info.session, 0.0), 30.0)
    with pytest.raises(ConflictError, match="does not run") as refused:
        await hub.call(SessionUsage(info.session))
    assert refused.value.code == "session.not_running"
    assert await hub.call(SessionUsages()) == []


async def test_events_tell_whose_session_ran_how_long_and_which_could_not_start(
    hub: ManagerClient, managed: ManagerProcess
) -> None:
    (cursor,) = await hub.call(Events())
    info = await started(hub)
    await hub.call(SessionStop(info.session, 0.0), 30.0)
    with pytest.raises(PolicyError):
        await hub.call(SessionCreate("bob", "gpu", "nobody/knows", LIMITS))
    told = await hub.call(Events(cursor.sequence))
    end = next(event for event in told if event.value == "ended")
    assert (end.session, end.owner, end.server, end.image) == (info.session, "ada", "", IMAGE)
    assert info.started == end.started < end.time
    assert end.started < (await hub.call(SessionInspect(info.session))).ended <= end.time
    (failure,) = [event for event in told if event.kind == "session.failed"]
    assert (failure.owner, failure.server, failure.value) == ("bob", "gpu", "image.not_allowed")
    assert "nobody/knows" in failure.message
