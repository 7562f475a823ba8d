"""What is left when the manager, or the power, goes away in the middle."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext.errors import VolumeError
from juliabox_manager.volumes import disk, mounts, volume_name
from juliabox_manager.volumes.kind import UNMOUNT_LIMIT
from juliabox_manager.volumes.loop_volume import LoopVolume
from support.state_folder import (
    as_person,
    command,
    demand_nothing,
    home_disks,
    mounted_below,
    shared_state_folder,
    slot,
)
from support.volume_steps import SIZE

pytestmark = pytest.mark.engine

TESTS = Path(__file__).resolve().parents[1]
SESSION = "0" * 16

#: Steps and point of the kill.
KILLS = {
    "making-sparse": ("a", "after:disk._make_sparse"),
    "making-during-mkfs": ("a", "during:mkfs.ext4"),
    "making-during-debugfs": ("a", "during:debugfs"),
    "making-before-meta": ("a", "before:disk.write_meta"),
    "making-before-rename": ("a", "after:disk.write_meta"),
    "making-after-rename": ("a", "after:disk._finish"),
    "attach-locked": ("a", "after:disk.lock"),
    "attach-during-look": ("a", "during:dumpe2fs"),
    "grow-during-check": ("adg", "during:e2fsck"),
    "attach-bound": ("a", "after:loops.bind"),
    "attach-during-mount": ("a", "during:mount"),
    "attach-mounted": ("a", "after:mounts.mount_home"),
    "attach-during-bind": ("a", "during:mount#2"),
    "attach-done": ("a", "after:mounts.bind"),
    "detach-begun": ("ad", "before:mounts.unmount#2"),
    "detach-during-umount": ("ad", "during:umount"),
    "detach-unbound": ("ad", "after:mounts.unmount#2"),
    "detach-read-only": ("ad", "during:mount#3"),
    "detach-during-last-umount": ("ad", "during:umount#2"),
    "detach-unmounted": ("ad", "after:mounts.unmount#3"),
    "growing-cut": ("adg", "during:resize2fs"),
    "growing-before-meta": ("adg", "before:disk._finish_growth"),
    "growing-after-meta": ("adg", "after:disk._finish_growth"),
    "removing": ("adr", "before:shelf._move_aside"),
    "removed": ("adr", "after:shelf._move_aside"),
}


async def kill_at(state: Path, steps: str, point: str) -> None:
    """Do the steps in a process of their own, which dies at the point."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(TESTS / "support" / "volume_steps.py"),
        *(str(state), steps, point),
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert await asyncio.wait_for(process.wait(), 60) == -9


def image_of(state: Path, owner: str) -> Path:
    return state / "volumes" / "home" / volume_name(owner) / disk.IMAGE


@pytest.mark.parametrize(("steps", "point"), KILLS.values(), ids=KILLS.keys())
async def test_a_killed_manager_leaks_nothing(state: Path, steps: str, point: str) -> None:
    await kill_at(state, steps, point)
    volumes = home_disks(state, unmount_limit=5.0)
    assert await volumes.adopt({}) == []
    demand_nothing(state)
    assert [entry.name for entry in (state / "mounts").iterdir()] == []

    whole = {"disk.img", "meta.json"}
    for folder in (state / "volumes" / "home").iterdir():
        assert whole <= {entry.name for entry in folder.iterdir()} <= {*whole, disk.UNDO}
    home = slot(state)
    await volumes.get_disk_for_user("ada", 16 * SIZE if "g" in steps else SIZE, SESSION, home)
    assert as_person("echo fine > file; cat file", home).stdout == "fine\n"
    await volumes.release(SESSION, home)
    command("e2fsck", "-fn", image_of(state, "ada"))
    assert {entry.name for entry in image_of(state, "ada").parent.iterdir()} == whole


async def test_live_sessions_keep_their_home_over_a_manager_restart(state: Path) -> None:
    """Kill -9 with two homes in use; one of the sessions ends meanwhile."""
    home, gone = slot(state), slot(state, 1)
    await kill_at(state, "a", "after:mounts.bind")
    as_person("echo kept > file", home)
    command("mount", "--bind", home, gone)

    volumes = home_disks(state, unmount_limit=5.0)
    live = {SESSION: ("ada", home), "f" * 16: ("bob", slot(state, 2))}
    assert await volumes.adopt(live) == ["f" * 16]
    assert as_person("cat file", home).stdout == "kept\n"
    assert home in mounted_below(state)
    assert gone not in mounted_below(state)
    (info,) = await volumes.disks()
    assert (info.state, info.sessions) == ("mounted", [SESSION])
    with image_of(state, "ada").open("rb") as image, pytest.raises(BlockingIOError):
        fcntl.flock(image, fcntl.LOCK_EX | fcntl.LOCK_NB)

    await volumes.get_disk_for_user("ada", SIZE, "1" * 16, gone)
    assert as_person("cat file", gone).stdout == "kept\n"
    await volumes.release(SESSION, home)
    await volumes.release("1" * 16, gone)


async def test_adoption_is_limited_to_its_own_state_folder(state: Path) -> None:
    with shared_state_folder() as other:
        theirs = home_disks(other)
        place = slot(other)
        await theirs.get_disk_for_user("ada", SIZE, SESSION, place)
        await home_disks(state).adopt({})
        assert place in mounted_below(other)
        await theirs.release(SESSION, place)


async def test_a_home_without_its_base_mount_is_adopted_whole(state: Path) -> None:
    home, other = slot(state), slot(state, 1)
    await kill_at(state, "a", "after:mounts.bind")
    command("umount", state / "mounts" / volume_name("ada"))
    volumes = home_disks(state, unmount_limit=5.0)
    assert await volumes.adopt({SESSION: ("ada", home)}) == []
    await volumes.get_disk_for_user("ada", SIZE, "1" * 16, other)
    as_person("echo shared > file", other)
    assert as_person("cat file", home).stdout == "shared\n"
    await volumes.release(SESSION, home)
    await volumes.release("1" * 16, other)


async def test_a_home_whose_device_is_freed_while_it_is_taken_over_is_used_again(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The killed manager's own `umount` may end between the look at devices and what follows."""
    home = slot(state)
    await kill_at(state, "a", "after:mounts.bind")
    take_over = LoopVolume.take_over

    async def later(*given: Any) -> None:
        for target in reversed(mounted_below(state)):
            command("umount", target)
        await take_over(*given)

    monkeypatch.setattr(LoopVolume, "take_over", later)
    volumes = home_disks(state, unmount_limit=5.0)
    assert await volumes.adopt({}) == []
    await volumes.get_disk_for_user("ada", SIZE, SESSION, home)
    assert as_person("echo fine > file; cat file", home).stdout == "fine\n"
    await volumes.release(SESSION, home)


async def test_a_device_bound_by_hand_and_a_frozen_mount_are_dealt_with(state: Path) -> None:
    home = slot(state)
    await kill_at(state, "a", "after:mounts.bind")
    command("fsfreeze", "-f", home)
    volumes = home_disks(state, unmount_limit=0.5)
    await volumes.adopt({})
    assert [info.state for info in await volumes.disks()] == ["stuck"]
    with pytest.raises(VolumeError, match="held"):
        await volumes.get_disk_for_user("ada", SIZE, SESSION, home)
    command("fsfreeze", "-u", state / "mounts" / volume_name("ada"))
    volumes.unmount_limit = UNMOUNT_LIMIT
    await volumes.purge()
    assert [info.state for info in await volumes.disks()] == ["idle"]

    command("losetup", "--find", image_of(state, "ada"))
    await volumes.adopt({})
    demand_nothing(state)


@pytest.mark.parametrize("program", ["e2fsck", "e2undo"])
async def test_a_disk_whose_repair_was_killed_is_neither_used_nor_given_up(
    state: Path, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For want of memory, say: exit code -9 tells nothing of the disk."""
    home, image = slot(state), image_of(state, "ada")
    volumes = home_disks(state)
    await volumes.get_disk_for_user("ada", SIZE, SESSION, home)
    as_person("echo kept > file", home)
    await volumes.release(SESSION, home)
    if program == "e2undo":
        await kill_at(state, "adg", "during:resize2fs")
        await volumes.adopt({})
        assert (image.parent / disk.UNDO).exists()
    else:
        # a disk that was unmounted in order is not checked by it
        command("debugfs", "-w", "-R", "ssv state 0", image)

    (tmp_path / program).write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / program).chmod(0o755)
    with monkeypatch.context() as shadowed:
        shadowed.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        with pytest.raises(VolumeError, match="try again") as refused:
            await volumes.get_disk_for_user("ada", SIZE, SESSION, home)
    assert refused.value.code == "volume.check"
    assert [info.state for info in await volumes.disks()] == ["idle"]
    demand_nothing(state)
    await volumes.get_disk_for_user("ada", SIZE, SESSION, home)
    assert as_person("cat file", home).stdout == "kept\n"
    await volumes.release(SESSION, home)
    assert {entry.name for entry in image.parent.iterdir()} == {"disk.img", "meta.json"}


def test_a_loop_device_is_known_on_a_kernel_that_gives_it_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There its minor numbers go by 16; a home that is not known as such would be unmounted."""
    (tmp_path / "max_part").write_text("15\n")
    monkeypatch.setattr(mounts, "_MAX_PART", tmp_path / "max_part")
    line = "36 35 7:{} / /state/mounts/ada rw - ext4 /dev/loop3 rw"
    assert [mounts.parse(line.format(minor))[0].loop for minor in (0, 48)] == [0, 3]


async def test_a_stuck_home_holds_up_the_start_of_a_manager_for_a_moment_only(state: Path) -> None:
    """All verbs wait for adoption; the limit of an unmount, with nobody waiting, is longer."""
    home = slot(state)
    await kill_at(state, "a", "after:mounts.bind")
    command("fsfreeze", "-f", home)
    volumes = home_disks(state)
    begun = time.monotonic()
    await volumes.adopt({})
    assert time.monotonic() - begun < 0.8 * UNMOUNT_LIMIT
    assert [info.state for info in await volumes.disks()] == ["stuck"]
    command("fsfreeze", "-u", state / "mounts" / volume_name("ada"))
    await volumes.purge()
    assert [info.state for info in await volumes.disks()] == ["idle"]
    demand_nothing(state)


async def test_a_synced_file_survives_a_power_cut(state: Path) -> None:
    home = slot(state)
    volumes = home_disks(state)
    for flag in (1, 2):  # with the journal written out, and without
        await volumes.get_disk_for_user("ada", SIZE, SESSION, home)
        as_person(f"echo {flag} > lost{flag}; echo {flag} > kept{flag}; sync kept{flag}", home)
        shut_down(home, flag)
        assert as_person("echo more > more", home).returncode != 0
        await volumes.release(SESSION, home)
        await volumes.get_disk_for_user("ada", SIZE, SESSION, home)
        assert as_person(f"cat kept{flag}", home).stdout == f"{flag}\n"
        assert as_person("echo more > more", home).returncode == 0
        await volumes.release(SESSION, home)


def shut_down(home: Path, flag: int) -> None:
    """Stop a file system at once, as a power cut does (``EXT4_IOC_SHUTDOWN``)."""
    descriptor = os.open(home, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, 0x8004587D, flag.to_bytes(4, sys.byteorder))
    finally:
        os.close(descriptor)


@pytest.mark.soak
async def test_random_kills_of_a_growing_disk_lose_nothing(
    state: Path, chance: random.Random
) -> None:
    """Kill resize2fs itself at random times; the undo file brings the old state back."""
    home, image = slot(state), image_of(state, "ada")
    volumes = home_disks(state)
    size = SIZE
    await volumes.get_disk_for_user("ada", size, SESSION, home)
    as_person("for i in $(seq 200); do echo $i > f$i; done", home)
    await volumes.release(SESSION, home)
    for _ in range(20):
        size *= 2 if size < 2**36 else 1
        os.truncate(image, size)
        undo = image.parent / disk.UNDO
        resize = await asyncio.create_subprocess_exec("resize2fs", "-f", "-z", undo, image)
        await asyncio.sleep(chance.uniform(0, 0.05))
        if resize.returncode is None:
            resize.kill()
        await resize.wait()
        await volumes.get_disk_for_user("ada", SIZE, SESSION, home)
        assert as_person("cat f*", home).stdout.count("\n") == 200
        await volumes.release(SESSION, home)
        command("e2fsck", "-fn", image)
