"""What code in a real session sees of its confinement (S8), and that each control is missed."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import pytest

from juliabox_manager.protocol import Limits
from support import confinement
from support.inside import Inside

pytestmark = pytest.mark.engine

PROGRAM = Path(__file__).parent / "inside" / "attempts.py"
Body = dict[str, Any]


@pytest.fixture(scope="module")
def limits(mallory: Inside) -> Limits:
    """What the installation's configuration gives."""
    return mallory.person.installation.limits


def test_every_control_is_in_force_in_a_real_session(tried: Inside, limits: Limits) -> None:
    seen = tried.python(PROGRAM)
    assert confinement.missing(seen, limits) == set(), json.dumps(seen, indent=1)
    for name, in_force in confinement.HOME.items():
        assert in_force(seen, limits), (name, seen["mounts"]["/home/juser"])
    print(seen["attempts"])


def _set(key: str, value: Any) -> Callable[[Body], None]:
    return lambda host: host.__setitem__(key, value)


def _security(*kept: str) -> Callable[[Body], None]:
    """Keep security options by their beginning, and add those that are given whole."""

    def change(host: Body) -> None:
        options = host["SecurityOpt"]
        host["SecurityOpt"] = [one for one in options if one.startswith(kept)] + [
            one for one in kept if one.endswith("unconfined")
        ]

    return change


def _writable_slot(host: Body) -> None:
    host["Mounts"][0]["ReadOnly"] = False


def _docker_socket(host: Body) -> None:
    socket = "/var/run/docker.sock"
    host["Mounts"].append({"Type": "bind", "Source": socket, "Target": socket})


def _tmpfs(path: str, options: str) -> Callable[[Body], None]:
    return lambda host: host["Tmpfs"].__setitem__(path, options)


#: One control taken away -> what of it must be missed, at least.
MUTANTS: dict[str, tuple[Callable[[Body], None], str]] = {
    "capabilities kept": (_set("CapDrop", []), "capabilities"),
    "capability added": (_set("CapAdd", ["SYS_ADMIN"]), "capabilities"),
    "privileged": (_set("Privileged", True), "capabilities"),
    "new privileges": (_security("seccomp="), "no new privileges"),
    "no seccomp": (_security("no-new", "seccomp=unconfined"), "seccomp"),
    "the engine's own seccomp": (_security("no-new"), "seccomp without io_uring"),
    "writable root": (_set("ReadonlyRootfs", False), "read-only root"),
    "writable slot": (_writable_slot, "read-only slot"),
    "unmasked": (lambda host: host.update(MaskedPaths=[], ReadonlyPaths=[]), "masked paths"),
    "no memory limit": (lambda host: host.update(Memory=0, MemorySwap=0), "memory"),
    "swap": (lambda host: host.update(MemorySwap=2 * host["Memory"]), "swap"),
    "no pids limit": (_set("PidsLimit", 0), "pids"),
    "no cpu limit": (_set("CpuQuota", 0), "cpu"),
    "no ulimits": (_set("Ulimits", []), "core files"),
    "no oom order": (_set("OomScoreAdj", 0), "out-of-memory order"),
    "unsized tmp": (_tmpfs("/tmp", "rw,nosuid,nodev,mode=1777"), "/tmp"),
    "suid in tmp": (_tmpfs("/tmp", "rw,suid,dev,mode=1777,size=64m,nr_inodes=1000"), "/tmp"),
    "large shm": (_set("ShmSize", 2**30), "/dev/shm"),
    "host's processes": (_set("PidMode", "host"), "own processes"),
    "host's ipc": (_set("IpcMode", "host"), "ipc namespace"),
    "host's network": (lambda host: host.update(NetworkMode="host", Sysctls={}), "net namespace"),
    "host's name": (_set("UTSMode", "host"), "uts namespace"),
    "host's cgroups": (_set("CgroupnsMode", "host"), "cgroup namespace"),
    # no mutant for "no ipv6": on a network without IPv6 the engine may turn it off by itself
    "engine's socket": (_docker_socket, "no host socket"),
    "root": (lambda host: host.update(User="0:0"), "user"),
}


@pytest.fixture(scope="module")
def like(mallory: Inside) -> Iterator[Body]:
    """The body that makes a container just like a session that runs, with a slot of its own."""
    # the state folder is a shared mount, as a slot needs it
    slot = mallory.person.installation.state / "slot-of-a-mutant"
    (slot / "juser").mkdir(parents=True, exist_ok=True)
    slot.chmod(0o755)
    found = mallory.inspected
    host = copy.deepcopy(found["HostConfig"])
    host["Mounts"][0]["Source"] = str(slot)
    host["NetworkMode"] = "none"
    yield {
        "Image": found["Image"],
        "User": found["Config"]["User"],
        "Hostname": "mutant",
        "WorkingDir": "/",
        "Entrypoint": ["/usr/bin/tini", "--", "/opt/venv/bin/python", "-c", PROGRAM.read_text()],
        "HostConfig": host,
        "Healthcheck": {"Test": ["NONE"]},
    }
    shutil.rmtree(slot)


def _run(body: Body, change: Callable[[Body], None], name: str) -> Any:
    """Return what the attempts tell in a container like a session's, changed in one thing."""
    body = copy.deepcopy(body)
    change(body["HostConfig"])
    body["User"] = body["HostConfig"].pop("User", body["User"])
    if body["HostConfig"]["NetworkMode"] == "host" or body["HostConfig"].get("UTSMode") == "host":
        body.pop("Hostname")
    client = docker.from_env().api
    made = client.create_container_from_config(body, f"jbt-{os.getpid()}-{name}")["Id"]
    try:
        client.start(made)
        client.wait(made, timeout=180)
        printed = client.logs(made, stderr=False).decode()
        return json.loads(printed) if printed else client.logs(made).decode()
    finally:
        client.remove_container(made, force=True)
        client.close()


def test_each_control_that_is_taken_away_is_missed(like: Body, limits: Limits) -> None:
    """Else the test above could not notice its loss."""

    def missed(name: str) -> set[str]:
        change, _ = MUTANTS[name]
        try:
            seen = _run(like, change, name.replace(" ", "-").replace("'", ""))
        except docker.errors.APIError as error:
            pytest.fail(f"{name}: {error}")
        assert isinstance(seen, dict), (name, seen)
        return confinement.missing(seen, limits)

    whole = _run(like, lambda host: None, "whole")
    assert confinement.missing(whole, limits) == set(), whole
    with ThreadPoolExecutor(3) as pool:
        found = dict(zip(MUTANTS, pool.map(missed, MUTANTS), strict=True))
    print("\n".join(f"{name}: {sorted(controls)}" for name, controls in found.items()))
    assert {name for name, (_, control) in MUTANTS.items() if control not in found[name]} == set()
