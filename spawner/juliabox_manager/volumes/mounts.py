"""The mount table, mounting and unmounting."""

from __future__ import annotations

import asyncio
import os
import re
from asyncio.subprocess import Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from juliabox_ext.errors import VolumeError
from juliabox_manager.programs import CommandTimeout, Outcome, run
from juliabox_manager.volumes.threads import in_thread

#: Major number of loop devices.
LOOP_MAJOR = 7

#: Seconds for mounting: a check went before, so only a replay of nothing is left to do.
MOUNT_LIMIT = 60.0

#: Options of every home. ``noinit_itable``: the image is sparse and reads as zeros already, so the
#: kernel must not fill it. ``discard``: deleted files give their space back to the host.
HOME_OPTIONS = "nodev,nosuid,noinit_itable,discard,errors=remount-ro"

_MOUNTINFO = Path("/proc/self/mountinfo")
#: What the kernel writes for what would be mistaken for the end of a field.
_ESCAPED = str.maketrans({char: f"\\{ord(char):03o}" for char in " \t\n\\"})
_MAX_PART = Path("/sys/module/loop/parameters/max_part")


@dataclass(frozen=True)
class Mount:
    """One entry of the mount table."""

    target: Path
    major: int
    minor: int

    @property
    def loop(self) -> int | None:
        """Number of the loop device that is mounted, if it is one."""
        return self.minor >> _partition_bits() if self.major == LOOP_MAJOR else None


def _partition_bits() -> int:
    """Return how many bits of a loop device's minor number tell its partition; mostly none."""
    try:
        return int(_MAX_PART.read_text()).bit_length()
    except (OSError, ValueError):
        return 0


def parse(mountinfo: str) -> list[Mount]:
    """Parse ``/proc/<pid>/mountinfo``, in its order: a later mount lies over an earlier one."""
    mounts = []
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        major, minor = fields[2].split(":")
        target = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        mounts.append(Mount(Path(target), int(major), int(minor)))
    return mounts


def _only(mountinfo: str, *targets: Path) -> str:
    """Return the lines of a mount table that show one of some folders.

    Nearly all of the table is other sessions', and taking a line apart costs much more than this.
    """
    wanted = {str(target).translate(_ESCAPED) for target in targets}
    lines = mountinfo.splitlines()
    return "\n".join(line for line in lines if line.split(" ", 5)[4] in wanted)


async def below(folder: Path) -> list[Mount]:
    """Return the mounts strictly below a folder."""
    table = await in_thread(_MOUNTINFO.read_text, errors="surrogateescape")
    return [mount for mount in parse(table) if folder in mount.target.parents]


async def at(target: Path) -> list[Mount]:
    """Return the mounts on exactly this folder, the topmost last."""
    return await in_thread(_at, target)


def _at(target: Path) -> list[Mount]:
    # the table has a line for each session, and most often there is nothing to be found in it
    try:
        if _mount_id(target) == _mount_id(target.parent):
            return []
    except FileNotFoundError:
        return []
    except OSError:
        pass
    return parse(_only(_MOUNTINFO.read_text(errors="surrogateescape"), target))


def _mount_id(folder: Path) -> str:
    """Return what the kernel calls the mount on which a folder lies."""
    descriptor = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        told = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    finally:
        os.close(descriptor)
    return next(line for line in told.splitlines() if line.startswith("mnt_id:"))


def holding(path: Path) -> Mount | None:
    """Return the mount that a path lies on, the topmost of several."""
    table = _MOUNTINFO.read_text(errors="surrogateescape")
    over = parse(_only(table, path, *path.parents))
    # on one depth the later mount lies over the earlier one
    return (
        max(enumerate(over), key=lambda one: (len(one[1].target.parts), one[0]))[1]
        if over
        else None
    )


async def mount_home(number: int, target: Path, *, keep: Sequence[int]) -> None:
    """Mount the home on a loop device; raise ``VolumeError`` with the kernel's complaint."""
    await _mount(["-t", "ext4", "-o", HOME_OPTIONS, f"/dev/loop{number}", str(target)], keep)


async def mount_again(number: int, target: Path, *, keep: Sequence[int]) -> None:
    """Mount a home that another mount namespace still has mounted, read-only since we left it."""
    device = f"/dev/loop{number}"
    await _mount(["-t", "ext4", "-o", f"ro,{HOME_OPTIONS}", device, str(target)], keep)
    await _mount(["-o", f"remount,rw,{HOME_OPTIONS}", str(target)], keep)


async def bind(source: Path, target: Path, *, keep: Sequence[int]) -> None:
    """Show a mounted home at a second place; the flags of the first mount hold there too."""
    await _mount(["--bind", str(source), str(target)], keep)


async def bind_folder(descriptor: int, target: Path) -> None:
    """Show an open folder of the host, without its devices and setuid bits.

    By descriptor: whatever is put in its place meanwhile is not shown. What is bound from
    ``target`` has its flags.
    """
    await _mount(["--bind", f"/proc/self/fd/{descriptor}", str(target)], [descriptor])
    await _mount(["-o", "remount,bind,nodev,nosuid", str(target)], [])


async def _mount(arguments: list[str], keep: Sequence[int]) -> None:
    try:
        outcome = await run(["mount", "-n", "-c", *arguments], limit=MOUNT_LIMIT, keep=keep)
    except CommandTimeout as error:
        raise VolumeError(f"the home cannot be mounted: {error}") from error
    if outcome.code != 0:
        raise VolumeError(f"the home cannot be mounted: {outcome.output}")


class StuckError(Exception):
    """A mount could not be undone within its limit: busy, frozen, or hung in the kernel."""

    def __init__(self, target: Path, why: str, process: Process | None = None) -> None:
        super().__init__(f"{target} cannot be unmounted: {why}")
        self.process = process


async def unmount(
    target: Path, *, limit: float, keep: Sequence[int] = (), last: bool = False
) -> None:
    """Undo every mount on a folder; raise :class:`StuckError` after ``limit`` seconds.

    Busy is tried again until then: a container that has just ended leaves its mounts a little
    later. With ``last``, the file system is made read-only first, which the kernel refuses while
    it is frozen or written to; unmounting alone would succeed and leave a frozen file system
    behind, in use and out of reach.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limit
    pause = 0.01
    while await at(target):
        outcome = await _unmount_once(target, end - loop.time(), keep, last)
        if outcome.code == 0:
            continue
        if loop.time() + pause >= end:
            raise StuckError(target, outcome.output or f"exit code {outcome.code}")
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.25)


async def _unmount_once(target: Path, limit: float, keep: Sequence[int], last: bool) -> Outcome:
    limit = max(limit, 0.1)
    try:
        if last:
            readonly = ["mount", "-n", "-c", "-o", "remount,ro", str(target)]
            outcome = await run(readonly, limit=limit, keep=keep)
            # any other failure is a file system that broke down: nothing is left to be written
            if outcome.code != 0 and "busy" in outcome.output:
                return outcome
        return await run(["umount", "-n", "-c", str(target)], limit=limit, keep=keep)
    except CommandTimeout as error:
        raise StuckError(target, str(error), error.process) from error
