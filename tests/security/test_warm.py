"""What a warm container holds before anybody claims it, and that it is a session like any after."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from juliabox_manager.protocol import SESSION_PORT
from support.inside import Inside, in_network_of, inspect
from support.installation import Installation
from support.machine import PARTS, policy_in_place
from support.warm import Pools

pytestmark = pytest.mark.engine

REACH = Path(__file__).parent / "inside" / "reach.py"
DOOR = Path(__file__).parent / "inside" / "door.py"

#: Listens on a session's port, in whatever network it runs.
LISTEN = f"""
import socket, time
door = socket.create_server(("", {SESSION_PORT}))
print("listening", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def warm(pools: Pools, mallory: Inside, victor: Inside) -> dict[str, Any]:
    """A warm container beside two sessions, as the engine tells it."""
    pools.await_ready()
    (found, *_) = pools.containers()
    return found


def _processes(container: dict[str, Any]) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return arguments and environment of each process of a container."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if container["Id"] in (path / "cgroup").read_text():
                words = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
                lines = (path / "environ").read_bytes().decode(errors="replace").split("\0")
                pairs = dict(line.split("=", 1) for line in lines if "=" in line)
                found[path.name] = (words, pairs)
    return found


def _cgroup(container: dict[str, Any], controller: str, name: str) -> str:
    for line in Path(f"/proc/{container['State']['Pid']}/cgroup").read_text().splitlines():
        _, controllers, place = line.split(":", 2)
        if controller in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{controller}{place}/{name}").read_text().strip()
    raise AssertionError(f"no control group of {controller}")


def test_it_holds_no_secret_no_home_and_nobody_s_name(
    warm: dict[str, Any], installation: Installation, mallory: Inside
) -> None:
    text = json.dumps(warm)
    assert not re.search("mallory|victor", text)
    environment = {name for one in _processes(warm).values() for name in one[1]}
    assert not {name for name in environment if re.search("TOKEN|SECRET|JUPYTERHUB_|USER", name)}
    # the same look sees them in a session: in a kernel that its server starts. The first one was
    # started ahead, before there was an environment
    assert mallory.kernel
    another = mallory.person.new_kernel()
    claimed = {name for one in _processes(mallory.inspected).values() for name in one[1]}
    mallory.person.jupyter("DELETE", f"api/kernels/{another}").raise_for_status()
    assert "JUPYTERHUB_API_TOKEN" in claimed
    root = Path(f"/proc/{warm['State']['Pid']}/root")
    assert list((root / "home/juser").iterdir()) == []
    mounts = Path(f"/proc/{warm['State']['Pid']}/mountinfo").read_text()
    assert " /home/juser " not in mounts
    assert [one["Destination"] for one in warm["Mounts"]] == ["/home"]
    held = " ".join(
        path.read_text(errors="replace")
        for folder in ("tmp", "run/juliabox", "dev/shm")
        for path in (root / folder).rglob("*")
        if path.is_file()
    )
    for path in (installation.state / "secrets").rglob("*"):
        if path.is_file():
            assert path.read_text(errors="replace").strip() not in held, path


def test_it_may_take_little_and_goes_last(warm: dict[str, Any], installation: Installation) -> None:
    limits = installation.limits
    assert 0 < int(_cgroup(warm, "memory", "memory.limit_in_bytes")) < limits.memory
    assert 0 < int(_cgroup(warm, "pids", "pids.max")) <= limits.pids
    assert int(_cgroup(warm, "cpu", "cpu.cfs_quota_us")) > 0
    assert int(_cgroup(warm, "cpu", "cpu.shares")) < 1024
    for process in _processes(warm):
        with contextlib.suppress(OSError):
            assert int(Path(f"/proc/{process}/oom_score_adj").read_text()) >= 500


@pytest.fixture
def listening(warm: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """An open port in a warm container's network, where its server will listen."""
    enter = ["nsenter", "-t", str(warm["State"]["Pid"]), "-n"]
    with subprocess.Popen(
        [*enter, sys.executable, "-c", LISTEN], stdout=subprocess.PIPE
    ) as program:
        assert program.stdout and program.stdout.readline()
        (network,) = warm["NetworkSettings"]["Networks"].values()
        yield str(network["IPAddress"]), SESSION_PORT
        program.kill()


def test_its_network_is_closed_to_neighbours_and_to_the_host(
    warm: dict[str, Any], listening: tuple[str, int], mallory: Inside, installation: Installation
) -> None:
    assert policy_in_place(warm)
    wanted = json.dumps([listening])
    hub = inspect(f"{installation.name}-hub")["State"]["Pid"]
    assert in_network_of(hub, REACH, "1", wanted) == [list(listening)]
    assert mallory.python(REACH, "1", wanted) == []
    others = {part: inspect(f"{installation.name}-{part}")["State"]["Pid"] for part in PARTS}
    for pid in (others["manager"], others["portal"], os.getpid()):
        assert in_network_of(pid, REACH, "1", wanted) == []
    # and it reaches nobody
    (network,) = mallory.inspected["NetworkSettings"]["Networks"].values()
    neighbour = json.dumps([[str(network["IPAddress"]), SESSION_PORT]])
    assert in_network_of(warm["State"]["Pid"], REACH, "1", neighbour) == []


#: What tells two containers apart, whoever they are.
OWN = {
    "Id", "Created", "Name", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "State",
    "NetworkSettings", "ExecIDs",
}  # fmt: skip


def _shares(container: dict[str, Any]) -> int:
    return container["HostConfig"]["CpuShares"] or 1024


def _comparable(container: dict[str, Any]) -> dict[str, Any]:
    """Return what the engine tells, without what must differ between any two sessions."""
    session = container["Config"]["Labels"]["juliabox.session"]
    kept = {name: value for name, value in container.items() if name not in OWN}
    labels = container["Config"]["Labels"]
    # what it was made with says how it was made; a claim cannot change it
    kept["Config"] = {**kept["Config"], "Labels": sorted(labels)}
    # 0 is the engine's default, which a container cannot be given again once it had another
    kept["HostConfig"] = {**kept["HostConfig"], "CpuShares": _shares(container)}
    text = json.dumps(kept, sort_keys=True)
    for own in (session, session[:8], container["Id"]):
        text = text.replace(own, "OWN")
    text = re.sub(r"[0-9a-f]{64}-init|overlay2/[0-9a-f]{64}", "LAYER", text)
    found: dict[str, Any] = json.loads(text)
    return found


#: What the kernel holds a session to, by control group.
HELD = {
    "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.swappiness",
               "memory.oom_control"),
    "pids": ("pids.max",),
    "cpu": ("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us"),
    "devices": ("devices.list",),
}  # fmt: skip


def test_after_a_claim_the_engine_tells_of_it_what_it_tells_of_a_cold_session(
    mallory: Inside, victor: Inside
) -> None:
    claimed, cold = _comparable(inspect(mallory.container)), _comparable(inspect(victor.container))
    assert claimed == cold


def test_after_a_claim_the_kernel_holds_it_to_what_it_holds_a_cold_session_to(
    mallory: Inside, victor: Inside
) -> None:
    for controller, names in HELD.items():
        for name in names:
            pair = [_cgroup(one.inspected, controller, name) for one in (mallory, victor)]
            if name == "memory.oom_control":
                pair = [re.sub(r"oom_kill \d+", "", one) for one in pair]
            assert pair[0] == pair[1], name
    for name in ("oom_score_adj", "limits", "ns/user", "attr/current"):
        with contextlib.suppress(OSError):
            pair = [_of_process(one.pid, name) for one in (mallory, victor)]
            assert pair[0] == pair[1], name


def _of_process(pid: int, name: str) -> str:
    path = Path(f"/proc/{pid}/{name}")
    return str(path.readlink()) if path.is_symlink() else path.read_text()


def _mounts(one: Inside) -> list[list[str]]:
    """Return place, kind and options of each mount, as the session sees it."""
    found = []
    for line in Path(f"/proc/{one.pid}/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        place, options = fields.split()[4:6]
        kind, _, more = rest.split(" ", 2)
        shown = re.sub(r"(lower|upper|work)dir=[^,]*", "", more) if kind == "overlay" else ""
        found.append([place, options, kind, shown])
    return sorted(found)


def test_after_a_claim_its_mounts_are_those_of_a_cold_session(
    mallory: Inside, victor: Inside
) -> None:
    assert _mounts(mallory) == _mounts(victor)


def test_after_a_claim_nothing_runs_in_it_that_does_not_run_in_a_cold_session(
    mallory: Inside, victor: Inside
) -> None:
    def programs(one: Inside) -> set[str]:
        words = [" ".join(told[0]) for told in _processes(one.inspected).values()]
        # kernels have a file each, and a name of their own in arguments
        hidden = r"[0-9a-f]{8}-[0-9a-f-]{27}|/\S*/kernel-\S+|\b\d+\b|mallory|victor"
        words = [re.sub(hidden, "OWN", text) for text in words]
        # whether one was started ahead in the cold session depends on the machine's spare time
        ahead = r"-I -m juliabox_kernel\.waiting|-m juliabox_kernel -f|\b(wait|serve)\b"
        return {re.sub(ahead, "KERNEL", text) for text in words}

    assert mallory.kernel and victor.kernel
    end = time.monotonic() + 60
    while programs(mallory) != programs(victor):
        assert time.monotonic() < end, programs(mallory) ^ programs(victor)
        time.sleep(0.5)


def test_nobody_in_it_gets_a_second_environment(tried: Inside, installation: Installation) -> None:
    """The way in is closed for good, and a program of the person's cannot open it."""
    assert tried.python(DOOR) == {"connect": "ENOENT", "bind": "EROFS", "others": []}
    session = tried.inspected["Config"]["Labels"]["juliabox.session"]
    slot = installation.state / "slots" / session
    assert sorted(path.name for path in slot.iterdir()) == ["juser"]
