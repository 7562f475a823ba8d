"""What an installation has on its engine and its machine, seen without asking any of its parts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound

from support.installation import Installation
from support.rest_user import wait_for

#: Weight of a container that waits for somebody.
WARM_SHARES = 2

PARTS = ("hub", "manager", "portal", "api", "proxy")


@dataclass(frozen=True)
class Seen:
    """One look: session containers, mounts below the state folder, loop devices, slot folders.

    Warm containers, which are nobody's, are left out, and so are API containers.
    """

    containers: dict[str, dict[str, Any]]
    mounts: dict[str, str]
    loops: list[str]
    slots: list[str]

    @property
    def running(self) -> set[str]:
        """Sessions whose container runs."""
        return {name for name, one in self.containers.items() if one["State"]["Running"]}

    @property
    def homes(self) -> dict[str, str]:
        """Device of the home that is mounted in the slot of a session."""
        return {
            Path(point).parent.name: device
            for point, device in self.mounts.items()
            if Path(point).parent.parent.name == "slots"
        }

    def doubles(self) -> list[str]:
        """Return sessions that run on a home that another running session has, too."""
        devices = [device for name, device in self.homes.items() if name in self.running]
        return [
            name for name, device in self.homes.items()
            if name in self.running and devices.count(device) > 1
        ]  # fmt: skip

    def wrong(self, people: int) -> list[str]:
        """Return what does not fit so many running sessions, each of another person."""
        sessions = set(self.containers)
        found = {
            f"{len(sessions)} containers": len(sessions) != people,
            f"{len(sessions - self.running)} dead containers": sessions != self.running,
            f"two containers on one home: {self.doubles()}": bool(self.doubles()),
            f"homes in the slots {sorted(self.homes)}": set(self.homes) != sessions,
            f"mounts {sorted(self.mounts)}": len(self.mounts) != 2 * people,
            f"loop devices {self.loops}": len(self.loops) != people,
            f"slots {self.slots}": set(self.slots) != sessions,
        }
        open_ = [name for name, one in self.containers.items() if not policy_in_place(one)]
        return [text for text, bad in found.items() if bad] + [
            f"no network policy in {name}" for name in open_
        ]


def look(installation: Installation) -> Seen:
    """Look at the engine, at the mounts of host and manager, and at the loop devices."""
    client = docker.from_env().api
    try:
        labels = {"label": [f"juliabox.installation={installation.name}", "juliabox.session"]}
        containers, others = {}, set()
        for item in client.containers(all=True, filters=labels):
            with contextlib.suppress(NotFound):
                found = client.inspect_container(item["Id"])
                session = found["Config"]["Labels"]["juliabox.session"]
                api = found["Config"]["Labels"].get("juliabox.kind") == "api"
                if api or found["HostConfig"]["CpuShares"] == WARM_SHARES:
                    others.add(session)
                else:
                    containers[session] = found
        tables = [Path("/proc/self/mountinfo")]
        with contextlib.suppress(NotFound):
            pid = client.inspect_container(f"{installation.name}-manager")["State"]["Pid"]
            tables += [Path(f"/proc/{pid}/mountinfo")] if pid else []
    finally:
        client.close()
    mounts: dict[str, str] = {}
    for table in tables:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines():
                fields = line.split()
                if fields[4].startswith(f"{installation.state}/"):
                    mounts[fields[4]] = fields[2]
    return Seen(
        containers,
        mounts,
        loops_of(installation),
        sorted({path.name for path in (installation.state / "slots").iterdir()} - others),
    )


def loops_of(installation: Installation) -> list[str]:
    """Return loop devices over disk images of the state folder.

    An image is told by its inode: the name that the kernel shows is cut short once the container
    of the manager that bound the device is gone.
    """
    images = set()
    # it passes over what is removed meanwhile; Path.glob stops there
    for place, _, _ in os.walk(installation.state / "volumes"):
        with contextlib.suppress(FileNotFoundError):
            found = Path(place, "disk.img").stat()
            device = f"{os.major(found.st_dev)}:{os.minor(found.st_dev)}"
            images.add((device, found.st_ino))
    told = subprocess.run(
        ["losetup", "--list", "--json", "--output", "NAME,BACK-MAJ:MIN,BACK-INO"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    devices = json.loads(told)["loopdevices"] if told.strip() else []
    return [
        one["name"] for one in devices
        # nothing is told of one, anybody's, that is freed while they are listed
        if one["back-ino"] and (one["back-maj:min"].strip(), int(one["back-ino"])) in images
    ]  # fmt: skip


def policy_in_place(container: dict[str, Any]) -> bool:
    """Whether the network policy's table is in a container's namespace; true once it has died."""
    pid = container["State"]["Pid"]
    if not pid:
        return True
    command = ["nsenter", "-t", str(pid), "-n", "nft", "list", "table", "inet", "juliabox"]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode == 0 or not Path(f"/proc/{pid}").exists()


def kill_part(installation: Installation, part: str, *, whole: bool = False) -> None:
    """Kill the program of a part by SIGKILL from the host; with ``whole``, its container's init.

    A part that is just being started again is killed once it runs.
    """
    client = docker.from_env().api

    def kill() -> bool:
        first = client.inspect_container(f"{installation.name}-{part}")["State"]["Pid"]
        if first:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                kill_program(first, whole=whole)
                return True
        return False

    try:
        wait_for(kill, 60, f"the {part} does not run")
    finally:
        client.close()


def kill_program(first: int, *, whole: bool = False) -> None:
    """Kill what a container runs by SIGKILL: the program that its first process, an init, started.

    With ``whole``, or where there is no such program, the first process itself.
    """
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    os.kill(first if whole or not children else int(children[0]), signal.SIGKILL)


def part_started(installation: Installation, part: str) -> str:
    """Return when a part's container was started last."""
    client = docker.from_env().api
    try:
        return str(client.inspect_container(f"{installation.name}-{part}")["State"]["StartedAt"])
    finally:
        client.close()


def logs(installation: Installation, tail: int = 60) -> str:
    """Return the last lines of every part."""
    text = ""
    for part in PARTS:
        done = subprocess.run(
            ["docker", "logs", "--tail", str(tail), f"{installation.name}-{part}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        text += f"\n--- {part}\n{done.stdout}{done.stderr}"
    return text
