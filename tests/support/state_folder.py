"""A state folder for tests of volumes: a shared mount of its own, without leaks at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from juliabox_ext.plugin import PluginContext
from juliabox_ext.volume import VolumeHost
from juliabox_manager.volumes import loops, mounts
from juliabox_manager.volumes.kind import UNMOUNT_LIMIT
from juliabox_plugins.home import HomeDisks, HomeSettings

MIB = 1024**2


def home_disks(
    state: Path, *, unmount_limit: float = UNMOUNT_LIMIT, reserve: int = 0, grace: float = 604800.0
) -> HomeDisks:
    """Return the built-in volume plugin for the homes of a state folder."""
    plugin = HomeDisks(PluginContext("home", HomeSettings()))
    plugin.host = VolumeHost(state, grace, reserve)
    plugin.unmount_limit = unmount_limit
    return plugin


def mounted_below(state: Path) -> list[Path]:
    """Return what is mounted strictly below a folder."""
    table = mounts.parse(Path("/proc/self/mountinfo").read_text())
    return [mount.target for mount in table if state in mount.target.parents]


def devices_of(state: Path) -> list[int]:
    """Return the loop devices that are bound to any image below a folder."""
    images = [(image.stat().st_dev, image.stat().st_ino) for image in state.rglob("disk.img")]
    return [number for number in loops.bound_numbers() if loops.backing(number) in images]


def demand_nothing(state: Path) -> None:
    """Demand that nothing below a folder is mounted, and no device is bound to any of its images.

    For devices it waits: a container that anybody is just making has copies of all mounts until it
    has left them, and holds the devices as long.
    """
    assert mounted_below(state) == []
    end = time.monotonic() + 60
    while left := devices_of(state):
        assert time.monotonic() < end, f"devices {left} are bound"
        time.sleep(0.05)


@contextmanager
def shared_state_folder() -> Iterator[Path]:
    """Make a shared mount as `juliabox up` does; its name needs escaping in the mount table."""
    parent = Path(tempfile.mkdtemp(prefix="jbt-volumes-"))
    parent.chmod(0o755)
    state = parent / "state of\ttest"
    state.mkdir(mode=0o755)
    subprocess.run(["mount", "--bind", state, state], check=True)
    subprocess.run(["mount", "--make-rshared", state], check=True)
    try:
        yield state
        demand_nothing(state)
    finally:
        for target in reversed(mounted_below(state)):
            subprocess.run(["fsfreeze", "-u", target], check=False, capture_output=True)
            subprocess.run(["umount", "-l", target], check=False)
        subprocess.run(["umount", "-l", state], check=True)
        shutil.rmtree(parent)


def slot(state: Path, number: int = 0) -> Path:
    """Make the place of a session's home, and return it."""
    place = state / "slots" / f"{number:016x}" / "juser"
    place.mkdir(parents=True, exist_ok=True)
    return place


def command(*argv: str | Path, text: str = "", check: bool = True) -> str:
    """Run a program as root and return what it printed."""
    done = subprocess.run(
        argv, input=text, check=check, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.stdout.strip()


def as_person(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell command as a session's uid in a home."""
    return subprocess.run(
        ["sh", "-c", command],
        cwd=home,
        user=1000,
        group=1000,
        extra_groups=[],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )
