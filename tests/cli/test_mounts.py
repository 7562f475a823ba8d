"""The state folder's propagation, and what is left mounted under it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from juliabox_cli import mounts
from support.rest_user import wait_for

INFO = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 0:40 / /var/lib/juli\\040abox rw,relatime shared:5 master:1 - ext4 /dev/vda rw
29 28 7:0 / /var/lib/juli\\040abox/mounts/a rw - ext4 /dev/loop0 rw
"""


def test_the_deepest_mount_decides_whether_a_folder_is_shared() -> None:
    found = mounts.read_mounts(INFO)
    root = Path("/var/lib/juli abox")
    assert mounts.mount_of(Path("/var/lib"), found) == mounts.Mount(Path("/"), False)
    assert mounts.mount_of(root / "slots", found).shared
    assert not mounts.mount_of(root / "mounts" / "a" / "b", found).shared


@pytest.mark.engine
def test_a_folder_is_made_shared_once_and_left_clean(tmp_path: Path) -> None:
    folder = Path(os.path.realpath(tmp_path)) / "s"
    (folder / "mounts" / "a").mkdir(parents=True)
    was_shared = mounts.is_shared(folder)
    try:
        assert mounts.ensure_shared(folder) is not was_shared
        assert mounts.is_shared(folder)
        assert not mounts.ensure_shared(folder)
        point = folder / "mounts" / "a"
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(point)], check=True)
        assert mounts.left_mounts(folder) == [point]
        assert mounts.undo_all(folder) == []
        assert mounts.left_mounts(folder) == []
    finally:
        mounts.undo_all(folder)
        mounts.unshare(folder)
    assert mounts.is_shared(folder) is was_shared


@pytest.mark.engine
def test_a_loop_device_of_a_manager_that_is_gone_is_found_and_freed(tmp_path: Path) -> None:
    folder = Path(os.path.realpath(tmp_path)) / "s"
    home, elsewhere = folder / "volumes/home/ada", tmp_path / "elsewhere"
    home.mkdir(parents=True)
    elsewhere.mkdir()
    with (home / "disk.img").open("wb") as image:
        image.truncate(2**20)
    # bound in a mount namespace that ends, as a container's does
    bind = f"mount --bind {home} {elsewhere} && losetup --find --show {elsewhere}/disk.img"
    shown = subprocess.run(
        ["unshare", "--mount", "sh", "-c", bind], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        assert mounts.left_loops(folder) == [shown]
        assert mounts.undo_all(folder) == []
        # whoever looks at a new device, as udev does, keeps it for a moment longer
        wait_for(lambda: mounts.left_loops(folder) == [], 60, "it is not freed")
    finally:
        # by now its number may be another's
        for device in mounts.left_loops(folder):
            subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)


def test_a_loop_device_that_is_freed_while_they_are_listed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "volumes/home/ada/disk.img"
    image.parent.mkdir(parents=True)
    image.touch()
    found = image.stat()
    place = f"{os.major(found.st_dev):>8}:{os.minor(found.st_dev):<3}"
    told = [
        {"name": "/dev/loop0", "back-maj:min": None, "back-ino": None},
        {"name": "/dev/loop1", "back-maj:min": place, "back-ino": str(found.st_ino)},
    ]

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, json.dumps({"loopdevices": told}))

    monkeypatch.setattr(subprocess, "run", run)
    assert mounts.left_loops(tmp_path) == ["/dev/loop1"]
