"""One volume's folder: its image and its description, made and changed so that a kill at any point
leaves either what was before or what was wanted.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from juliabox_ext.errors import VolumeError
from juliabox_manager.programs import CommandTimeout, Outcome, run
from juliabox_manager.protocol import SESSION_UID
from juliabox_manager.volumes.threads import in_thread

IMAGE = "disk.img"
META = "meta.json"
UNDO = "grow.undo"

#: Prefix of a folder or file that is not yet whole.
HALF_MADE = ".new-"

MAKE_LIMIT = 120.0
CHECK_LIMIT = 100.0
GROW_LIMIT = 300.0

#: Seconds that a locked image is tried: the kernel closes the file of a device that it has freed a
#: few milliseconds later, and a program that is just being started has a copy of every lock.
LOCK_PATIENCE = 2.0

MINIMUM_INODES = 1024
GIB = 1024**3


class Quarantine(Struct, frozen=True):
    """Why and when a disk was taken out of use."""

    reason: str
    time: float
    #: The image's change time then, in nanoseconds; a repair changes it.
    image_changed: int


class Meta(Struct, frozen=True):
    """Contents of ``meta.json``."""

    owner: str
    size: int
    created: float
    kind: Literal["home"] = "home"
    quarantine: Quarantine | None = None
    version: Literal[1] = 1


def read_meta(folder: Path) -> Meta:
    """Read a volume's description; raise ``VolumeError`` if it cannot be read."""
    try:
        return msgspec.json.decode((folder / META).read_bytes(), type=Meta)
    except (OSError, msgspec.DecodeError) as error:
        raise VolumeError(
            f"the description {folder / META} of a home cannot be read ({error}); nothing was "
            "changed; the operator restores that file from a backup",
            code="volume.quarantined",
        ) from error


def write_meta(folder: Path, meta: Meta) -> None:
    """Write a volume's description; a reader sees the old one or the new one, whole."""
    temporary = folder / f"{HALF_MADE}{META}"
    with temporary.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(meta), indent=2))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / META)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make renames within a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def make(folder: Path, owner: str, size: int, inodes_per_gib: int) -> None:
    """Make a volume with an empty home of ``size`` bytes.

    It is made beside its place and renamed to it when it is whole and on disk.
    """
    half_made = folder.parent / f"{HALF_MADE}{folder.name}-{secrets.token_hex(4)}"
    try:
        await in_thread(_make_sparse, half_made, size)
        await _format(half_made / IMAGE, max(MINIMUM_INODES, size * inodes_per_gib // GIB))
        await in_thread(_finish, half_made, folder, Meta(owner, size, time.time()))
    except (OSError, CommandTimeout) as error:
        raise VolumeError(f"the home of {owner!r} cannot be made: {error}") from error
    finally:
        await in_thread(shutil.rmtree, half_made, ignore_errors=True)


def _make_sparse(half_made: Path, size: int) -> None:
    half_made.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    half_made.mkdir(mode=0o700)
    descriptor = os.open(
        half_made / IMAGE, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
    )
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


async def _format(image: Path, inodes: int) -> None:
    options = (
        f"root_owner={SESSION_UID}:{SESSION_UID},lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    )
    sizes = ["-b", "4096", "-I", "256", "-N", str(inodes)]
    made = await run(
        ["mkfs.ext4", "-q", "-F", "-m", "0", *sizes, "-E", options, str(image)], limit=MAKE_LIMIT
    )
    if made.code != 0:
        raise VolumeError(f"mkfs.ext4 failed on {image}: {made.output}")
    # the root folder is the person's alone, and has nothing in it that is not theirs
    script = "rmdir lost+found\nset_inode_field / mode 040700\nls -l /\n"
    prepared = await run(["debugfs", "-w", "-f", "-", str(image)], limit=MAKE_LIMIT, text=script)
    entries = [line for line in prepared.output.splitlines() if "40700 (2)" in line]
    if len(entries) != 2 or "lost+found" in prepared.output.split("ls -l /", 1)[-1]:
        raise VolumeError(f"debugfs failed on {image}: {prepared.output}")


def _finish(half_made: Path, folder: Path, meta: Meta) -> None:
    descriptor = os.open(half_made / IMAGE, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    write_meta(half_made, meta)
    half_made.rename(folder)
    sync_folder(folder.parent)


async def lock(image: Path, *, wait: float = LOCK_PATIENCE) -> int:
    """Open and lock an image; return the descriptor that holds the lock.

    Raise ``VolumeError`` if it is locked after ``wait`` seconds, or missing.
    """
    try:
        descriptor = await in_thread(os.open, image, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise VolumeError(
            f"the disk image {image} cannot be opened ({error}); nothing was changed; the operator "
            "restores that file from a backup",
            code="volume.quarantined",
        ) from error
    loop = asyncio.get_running_loop()
    end = loop.time() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if loop.time() >= end:
                os.close(descriptor)
                raise VolumeError(
                    f"the disk image {image} is in use by another process; it is mounted once only",
                    code="volume.locked",
                ) from None
            await asyncio.sleep(0.05)
        except BaseException:
            os.close(descriptor)
            raise
        else:
            return descriptor


class DamagedError(Exception):
    """A disk has errors that are not repaired without a person's judgement."""


async def check(image: Path, *, keep: int, force: bool = False, write: bool = True) -> None:
    """Check an image and repair what is safe to; raise :class:`DamagedError` for the rest.

    A clean disk takes milliseconds, one that lost its power a replay of its journal. Too slow a
    check is a plain ``VolumeError``: nothing is known of the disk then. ``force`` looks at all of
    a disk that calls itself clean; without ``write`` nothing is repaired.
    """
    if not force and await _is_clean(image, keep):
        return
    arguments = ["-p" if write else "-n", *(["-f"] if force else [])]
    outcome = await _look(["e2fsck", *arguments, str(image)], image, keep)
    if outcome.code < 0:
        # killed, for want of memory say: nothing is known of the disk, so it is not used
        raise VolumeError(f"the check of {image} was killed; try again", code="volume.check")
    if outcome.code > 1:
        raise DamagedError(f"e2fsck ended with code {outcome.code}: {outcome.output[-500:]}")


async def _is_clean(image: Path, keep: int) -> bool:
    """Tell whether a disk was unmounted in order and had no error.

    ``e2fsck`` goes by the same words of the superblock, but reads the mount table of the whole
    machine before, and looks at each device in it: with 300 sessions that takes nine times longer.
    """
    outcome = await _look(["dumpe2fs", "-h", str(image)], image, keep)
    lines = outcome.output.splitlines()
    told = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return (
        outcome.code == 0
        and told.get("Filesystem state") == "clean"
        and "needs_recovery" not in told.get("Filesystem features", "needs_recovery").split()
        and not told.keys() & {"First orphan inode", "FS Error count", "Journal errno"}
    )


async def _look(argv: list[str], image: Path, keep: int) -> Outcome:
    try:
        return await run(argv, limit=CHECK_LIMIT, keep=[keep])
    except CommandTimeout as error:
        raise VolumeError(
            f"the check of {image} takes longer than {CHECK_LIMIT:g} s; try again, or the operator "
            f"runs: e2fsck -f -p {image}",
            code="volume.check",
        ) from error


async def grow(folder: Path, size: int, *, keep: int) -> None:
    """Grow the disk and its file system to ``size`` bytes; never shrinks.

    Every block that is overwritten is first kept in an undo file; :func:`undo_growth` brings the
    old state back after a kill.
    """
    image = folder / IMAGE
    await check(image, keep=keep, force=True)
    await in_thread(os.truncate, image, size)
    try:
        outcome = await run(
            ["resize2fs", "-z", str(folder / UNDO), str(image)], limit=GROW_LIMIT, keep=[keep]
        )
    except CommandTimeout as error:
        raise VolumeError(f"the home cannot be grown: {error}") from error
    if outcome.code != 0:
        raise VolumeError(f"the home cannot be grown: {outcome.output}")
    await in_thread(_finish_growth, folder, size)


def _finish_growth(folder: Path, size: int) -> None:
    descriptor = os.open(folder / IMAGE, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    (folder / UNDO).unlink(missing_ok=True)
    write_meta(folder, msgspec.structs.replace(read_meta(folder), size=size))


async def undo_growth(folder: Path, *, keep: int) -> None:
    """Take back a growth that was cut off, if there was one."""
    undo = folder / UNDO
    if not await in_thread(undo.exists):
        return
    try:
        outcome = await run(
            ["e2undo", "-f", str(undo), str(folder / IMAGE)], limit=GROW_LIMIT, keep=[keep]
        )
    except CommandTimeout as error:
        raise VolumeError(f"a growth cannot be undone: {error}", code="volume.check") from error
    if outcome.code < 0:
        # killed: what it wrote, it writes again the next time
        raise VolumeError(
            f"undoing a growth of {folder} was killed; try again", code="volume.check"
        )
    if outcome.code != 0:
        # the check that follows decides what the disk is worth
        await in_thread(undo.rename, folder / f"{UNDO}.failed")
        return
    await in_thread(undo.unlink)


def quarantine(folder: Path, reason: str) -> None:
    """Take a disk out of use; its contents are left as they are."""
    changed = (folder / IMAGE).stat().st_mtime_ns
    mark = Quarantine(reason, time.time(), changed)
    write_meta(folder, msgspec.structs.replace(read_meta(folder), quarantine=mark))


def allocated(folder: Path) -> int:
    """Return the bytes that a volume's image occupies on the host; 0 if it is missing."""
    try:
        return (folder / IMAGE).stat().st_blocks * 512
    except OSError:
        return 0
