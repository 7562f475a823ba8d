"""Homes that another mount namespace still holds when their sessions are over."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from juliabox_ext.errors import VolumeError
from juliabox_manager.volumes import mounts
from juliabox_plugins.home import HomeDisks
from support.state_folder import (
    as_person,
    demand_nothing,
    devices_of,
    home_disks,
    slot,
)
from support.volume_steps import SIZE

pytestmark = pytest.mark.engine


async def lingering(volumes: HomeDisks, home: Path) -> asyncio.subprocess.Process:
    """Let ada's session end while a process has copies of all mounts; return that process.

    So has a container that is just being made. Her file says what was kept.
    """
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    as_person("echo kept > file", home)
    holder = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 60",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout
    await holder.stdout.readline()
    await volumes.release("s", home)
    return holder


async def test_a_home_that_another_namespace_still_holds_is_used_again(
    volumes: HomeDisks, state: Path
) -> None:
    """A container that is being made has copies of all mounts; they must not lock a person out."""
    home = slot(state)
    holder = await lingering(volumes, home)
    assert len(devices_of(state)) == 1
    assert (await volumes.disks())[0].state == "idle"
    with pytest.raises(VolumeError):
        await home_disks(state).get_disk_for_user("ada", SIZE, "t", home)
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    assert len(devices_of(state)) == 1
    assert as_person("cat file; echo more >> file", home).stdout == "kept\n"
    assert os.statvfs(home).f_flag & os.ST_NOSUID
    await volumes.release("s", home)
    holder.kill()
    await holder.wait()
    await volumes.purge()
    demand_nothing(state)
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    assert as_person("cat file", home).stdout == "kept\nmore\n"
    await volumes.release("s", home)


async def test_a_home_that_is_let_go_while_it_is_mounted_again_is_mounted_anew(
    volumes: HomeDisks, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may refuse to mount what it closes at that moment: it cannot be read, it says."""
    home = slot(state)
    holder = await lingering(volumes, home)

    async def refuse(*_: object, **__: object) -> None:
        holder.kill()
        await holder.wait()
        raise VolumeError("the home cannot be mounted: can't read superblock")

    monkeypatch.setattr(mounts, "mount_again", refuse)
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    assert as_person("cat file", home).stdout == "kept\n"
    await volumes.release("s", home)
    demand_nothing(state)
