from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

import pytest

from juliabox_ext.errors import ConflictError, NoRoomError, NotFoundError, VolumeError
from juliabox_manager.volumes import disk, kind, loops, volume_name
from juliabox_plugins.home import HomeDisks
from support.state_folder import (
    MIB,
    as_person,
    command,
    demand_nothing,
    devices_of,
    home_disks,
    slot,
)
from support.volume_steps import SIZE
from support.waiting import until

pytestmark = pytest.mark.engine


def image_of(state: Path, owner: str) -> Path:
    return state / "volumes" / "home" / volume_name(owner) / "disk.img"


async def test_a_new_home_is_empty_private_and_bounded(volumes: HomeDisks, state: Path) -> None:
    home = slot(state)
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    try:
        status = home.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 1000, 0o700)
        assert list(home.iterdir()) == []
        flags = os.statvfs(home).f_flag
        assert flags & os.ST_NODEV and flags & os.ST_NOSUID and not flags & os.ST_NOEXEC
        assert as_person("echo 'echo hi' > run; chmod +x run; ./run", home).stdout == "hi\n"
        (info,) = await volumes.disks("ada")
        assert (info.state, info.sessions, info.size) == ("mounted", ["s"], SIZE)
        assert info.allocated < SIZE / 8
    finally:
        await volumes.release("s", home)
    assert (await volumes.disks())[0].state == "idle"
    command("e2fsck", "-fn", image_of(state, "ada"))


async def test_a_full_home_stops_its_owner_only_and_still_opens(
    volumes: HomeDisks, state: Path
) -> None:
    home = slot(state)
    await volumes.get_disk_for_user("ada", 16 * MIB, "s", home)
    assert "No space left" in as_person("cat /dev/zero > big", home).stderr
    made = as_person("i=0; while true > f$i; do i=$((i+1)); done 2>&1; echo $i", home).stdout
    assert "No space left" in made and int(made.split()[-1]) <= disk.MINIMUM_INODES
    await volumes.release("s", home)
    await volumes.get_disk_for_user("ada", 16 * MIB, "s", home)
    assert as_person("rm big f*; echo again > file; cat file", home).stdout == "again\n"
    await volumes.release("s", home)
    await volumes.remove("ada")


async def test_several_servers_of_one_person_share_one_mount(
    volumes: HomeDisks, state: Path
) -> None:
    first, second = slot(state, 1), slot(state, 2)
    await asyncio.gather(
        volumes.get_disk_for_user("ada", SIZE, "a", first),
        volumes.get_disk_for_user("ada", SIZE, "b", second),
    )
    await volumes.get_disk_for_user("ada", SIZE, "a", first)
    as_person("echo shared > file", first)
    assert (second / "file").read_text() == "shared\n"
    assert len(devices_of(state)) == 1
    await volumes.release("a", first)
    await volumes.release("a", first)
    assert not (first / "file").exists()
    assert (await volumes.disks())[0].sessions == ["b"]
    with pytest.raises(ConflictError):
        await volumes.remove("ada")
    await volumes.release("b", second)
    demand_nothing(state)


async def test_a_start_during_a_stop_awaits_it(volumes: HomeDisks, state: Path) -> None:
    first, second = slot(state, 1), slot(state, 2)
    await volumes.get_disk_for_user("ada", SIZE, "a", first)
    as_person("echo kept > file", first)
    stop = asyncio.create_task(volumes.release("a", first))
    await asyncio.sleep(0.005)
    await volumes.get_disk_for_user("ada", SIZE, "b", second)
    await stop
    assert as_person("cat file", second).stdout == "kept\n"
    await volumes.release("b", second)


async def test_fifty_homes_attach_and_detach_at_once(volumes: HomeDisks, state: Path) -> None:
    homes = [slot(state, number) for number in range(50)]
    for _ in range(2):
        await asyncio.gather(
            *(
                volumes.get_disk_for_user(f"u{n}", SIZE, f"s{n}", home)
                for n, home in enumerate(homes)
            )
        )
        assert len(devices_of(state)) == 50
        owners = {as_person("cat owner 2>/dev/null", home).stdout for home in homes}
        assert owners in ({""}, {f"{n}\n" for n in range(50)})
        for number, home in enumerate(homes):
            as_person(f"echo {number} > owner", home)
        await asyncio.gather(*(volumes.release(f"s{n}", home) for n, home in enumerate(homes)))
        demand_nothing(state)


async def test_an_image_is_never_mounted_twice(volumes: HomeDisks, state: Path) -> None:
    home, other = slot(state, 1), slot(state, 2)
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    stranger = home_disks(state)
    with pytest.raises(VolumeError, match="in use") as refused:
        await stranger.get_disk_for_user("ada", SIZE, "t", other)
    assert refused.value.code == "volume.locked"
    await volumes.release("s", home)

    demand_nothing(state)  # else it might be named in place of the next one
    image = image_of(state, "ada")
    device = command("losetup", "--find", "--show", image)
    with pytest.raises(VolumeError, match=device):
        await volumes.get_disk_for_user("ada", SIZE, "s", home)
    command("losetup", "-d", device)
    # whoever looks at all devices of the machine holds it open for a moment
    demand_nothing(state)
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    await volumes.release("s", home)


async def test_a_lock_that_is_let_go_a_moment_later_is_awaited(
    volumes: HomeDisks, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does the kernel: it closes the file of a device after it has freed the device."""
    monkeypatch.setattr(kind, "RETRY_LIMIT", 20.0)  # a busy machine takes its time
    home, image = slot(state), image_of(state, "ada")
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    await volumes.release("s", home)
    for work in (volumes.get_disk_for_user("ada", SIZE, "s", home), volumes.remove("ada")):
        late = os.open(image, os.O_RDWR)
        fcntl.flock(late, fcntl.LOCK_EX)
        asyncio.get_running_loop().call_later(0.3, os.close, late)
        await work
        await volumes.release("s", home)


async def test_a_home_grows_and_never_shrinks(volumes: HomeDisks, state: Path) -> None:
    home = slot(state)
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    as_person("echo kept > file", home)
    await volumes.release("s", home)
    for asked, expected in ((4 * 1024 * MIB, 4 * 1024 * MIB), (SIZE, 4 * 1024 * MIB)):
        await volumes.get_disk_for_user("ada", asked, "s", home)
        room = os.statvfs(home)
        assert room.f_blocks * room.f_frsize > 0.9 * expected
        assert as_person("cat file", home).stdout == "kept\n"
        assert (await volumes.disks())[0].size == expected
        await volumes.release("s", home)
    assert sorted(path.name for path in image_of(state, "ada").parent.iterdir()) == [
        "disk.img",
        "meta.json",
    ]


async def test_a_damaged_disk_is_set_aside_and_taken_back_once_repaired(
    volumes: HomeDisks, state: Path
) -> None:
    home, image = slot(state), image_of(state, "ada")
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    as_person("mkdir d; for i in 1 2 3 4 5; do echo $i > d/$i; done", home)
    await volumes.release("s", home)
    command("debugfs", "-w", "-f", "-", image, text="clri d\nssv state 2\n")
    damaged = image.read_bytes()

    with pytest.raises(VolumeError, match="e2fsck -f") as refused:
        await volumes.get_disk_for_user("ada", SIZE, "s", home)
    assert refused.value.code == "volume.quarantined"
    assert (await volumes.disks())[0].state == "quarantined"
    left = image.read_bytes()
    with pytest.raises(VolumeError, match="damaged"):
        await home_disks(state).get_disk_for_user("ada", SIZE, "s", home)
    assert image.read_bytes() == left
    assert len(left) == len(damaged)

    command("e2fsck", "-fy", image, check=False)
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    assert (await volumes.disks())[0].state == "mounted"
    await volumes.release("s", home)


@pytest.mark.parametrize("damage", ["zeroed", "cut", "groups", "missing", "description"])
async def test_a_ruined_disk_is_never_formatted(
    volumes: HomeDisks, state: Path, damage: str
) -> None:
    home, image = slot(state), image_of(state, "ada")
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    await volumes.release("s", home)
    if damage == "zeroed":
        with image.open("r+b") as file:
            file.write(bytes(8 * MIB))
    elif damage == "cut":
        os.truncate(image, 1 * MIB)
    elif damage == "groups":
        # it calls itself clean: only the kernel, or a look at all of it, tells
        command("debugfs", "-w", "-R", "set_bg 0 block_bitmap 99999999", image)
    elif damage == "missing":
        image.rename(image.with_suffix(".away"))
    else:
        (image.parent / "meta.json").write_text('{"owner": "ad')
    before = image.read_bytes()[4096:] if image.exists() else None
    with pytest.raises(VolumeError) as refused:
        await volumes.get_disk_for_user("ada", SIZE, "s", home)
    assert refused.value.code == "volume.quarantined"
    # the check may mark the superblock as not clean; nothing else changes
    assert (image.read_bytes()[4096:] if image.exists() else None) == before
    assert [info.state for info in await volumes.disks()] == ["quarantined"]
    await volumes.remove("ada")
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    await volumes.release("s", home)


async def test_a_removed_home_can_come_back_until_its_grace_is_over(
    volumes: HomeDisks, state: Path
) -> None:
    home = slot(state)

    async def visit(command: str) -> str:
        await volumes.get_disk_for_user("ada", SIZE, "s", home)
        output = as_person(command, home).stdout
        await volumes.release("s", home)
        return output

    await visit("echo first > file")
    await volumes.remove("ada")
    await volumes.remove("ada")
    assert await visit("ls -A") == ""
    await visit("echo second > file")
    with pytest.raises(ConflictError):
        await volumes.restore("ada")
    await volumes.remove("ada")
    infos = await volumes.disks("ada")
    assert [info.state for info in infos] == ["removed", "removed"]
    assert all(abs(info.delete_after - time.time() - 7 * 86400) < 300 for info in infos)
    assert (await volumes.restore("ada")).state == "idle"
    assert await visit("cat file") == "second\n"
    with pytest.raises(NotFoundError):
        await volumes.restore("bob")

    await volumes.purge()
    assert len(await volumes.disks()) == 2
    impatient = home_disks(state, grace=0.0)
    await impatient.purge()
    assert [info.state for info in await impatient.disks()] == ["idle"]


async def test_nothing_in_a_home_can_hurt_the_manager(volumes: HomeDisks, state: Path) -> None:
    home = slot(state)
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    trap = as_person(
        "mkfifo fifo; truncate -s 1T sparse; ln -s /etc out; ln -s loop loop; ln -s ../.. up;"
        "mkdir -p .jupyter; mkfifo .jupyter/config; mkdir -p $(yes d | head -200 | tr '\\n' /);"
        "touch -- '-rf' 'a\nb' \"$(printf '\\377')\"; chmod 000 .; echo done",
        home,
    )
    assert trap.stdout == "done\n"
    async with asyncio.timeout(60):
        await volumes.release("s", home)
        await volumes.get_disk_for_user("ada", 2 * SIZE, "s", home)
        await volumes.release("s", home)
        await volumes.remove("ada")
        await home_disks(state, grace=0.0).purge()
    assert await volumes.disks() == []


async def test_starts_are_refused_while_the_host_disk_is_nearly_full(state: Path) -> None:
    volumes = home_disks(state, reserve=2**60)
    with pytest.raises(NoRoomError, match="reserve"):
        await volumes.get_disk_for_user("ada", SIZE, "s", slot(state))
    assert await volumes.disks() == []


async def test_a_frozen_home_is_stuck_alone_and_recovers(volumes: HomeDisks, state: Path) -> None:
    home, other = slot(state, 1), slot(state, 2)
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    as_person("echo kept > file", home)
    # made before, so that all that follows takes much less time than the stuck one is given
    await volumes.get_disk_for_user("bob", SIZE, "t", other)
    await volumes.release("t", other)
    command("fsfreeze", "-f", home)
    volumes.unmount_limit = 5.0
    stop = asyncio.create_task(volumes.release("s", home))
    await volumes.get_disk_for_user("bob", SIZE, "t", other)
    await volumes.release("t", other)
    assert not stop.done()
    async with asyncio.timeout(60):
        await stop
    volumes.unmount_limit = kind.UNMOUNT_LIMIT
    assert [info.state for info in await volumes.disks("ada")] == ["stuck"]
    for refused in (volumes.get_disk_for_user("ada", SIZE, "s", home), volumes.remove("ada")):
        with pytest.raises(VolumeError) as error:
            await refused
        assert error.value.code == "volume.stuck"
    command("fsfreeze", "-u", state / "mounts" / volume_name("ada"))
    await volumes.purge()
    assert [info.state for info in await volumes.disks("ada")] == ["idle"]
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    assert as_person("cat file", home).stdout == "kept\n"
    await volumes.release("s", home)


async def test_a_busy_home_is_stuck_until_its_last_user_ends(
    volumes: HomeDisks, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "RETRY_LIMIT", 20.0)  # a busy machine takes its time
    home = slot(state)
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    squatter = await asyncio.create_subprocess_exec("sleep", "60", cwd=home)
    volumes.unmount_limit = 1.0
    await volumes.release("s", home)
    assert (await volumes.disks())[0].state == "stuck"
    squatter.kill()
    await squatter.wait()
    await volumes.get_disk_for_user("ada", SIZE, "s", home)
    await volumes.release("s", home)


async def test_a_cancelled_start_leaves_what_a_stop_can_undo(
    volumes: HomeDisks, state: Path
) -> None:
    home = slot(state)
    for delay in (0.0, 0.01, 0.03, 0.06):
        start = asyncio.create_task(volumes.get_disk_for_user("ada", SIZE, "s", home))
        await asyncio.sleep(delay)
        start.cancel()
        with suppress(asyncio.CancelledError):
            await start
        await volumes.release("s", home)
        demand_nothing(state)


def open_descriptors() -> int:
    gc.collect()  # what other tests left open is closed before, not between
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_no_descriptor_is_left_open(volumes: HomeDisks, state: Path) -> None:
    home = slot(state)

    async def visit() -> int:
        """Return how many are open after it."""
        await volumes.get_disk_for_user("ada", SIZE, "s", home)
        await volumes.release("s", home)
        return open_descriptors()

    first = await visit()
    for _ in range(3):
        await visit()
        # the loop closes the pipes of a program in a turn of its own
        await until(lambda: open_descriptors() <= first)
    with image_of(state, "ada").open("rb+") as image:
        assert loops.bound_to(image.fileno()) == []


async def test_a_device_that_somebody_bound_to_an_image_is_found(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(2**20))
    with path.open("rb+") as image:
        assert loops.bound_to(image.fileno()) == []
        with path.open("rb"):
            assert loops.bound_to(image.fileno()) == []
    for options in ([], ["-r"]):
        device = command("losetup", "-f", "--show", *options, str(path)).strip()
        try:
            with path.open("rb+") as image:
                assert loops.bound_to(image.fileno()) == [int(device.removeprefix("/dev/loop"))]
        finally:
            command("losetup", "-d", device)
        # whoever looks at all devices of the machine holds it open for a moment
        with path.open("rb+") as image:
            await until(lambda: loops.bound_to(image.fileno()) == [])


def test_a_device_that_is_another_s_by_now_stays_bound(tmp_path: Path) -> None:
    """Numbers of devices are used again as soon as they are free."""
    former, present = tmp_path / "former.img", tmp_path / "present.img"
    for path in (former, present):
        path.write_bytes(bytes(2**20))
    device = command("losetup", "-f", "--show", str(present)).strip()
    number = int(device.removeprefix("/dev/loop"))
    try:
        loops.unbind(number, (former.stat().st_dev, former.stat().st_ino))
        assert loops.backing(number) == (present.stat().st_dev, present.stat().st_ino)
    finally:
        command("losetup", "-d", device)
