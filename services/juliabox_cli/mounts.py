"""Mounts and loop devices under a state folder, and its shared propagation."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from juliabox_ext.errors import ConfigurationError


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo."""

    point: Path
    shared: bool


def read_mounts(text: str | None = None) -> list[Mount]:
    """Return the mounts that this process sees, in the kernel's order."""
    if text is None:
        text = Path("/proc/self/mountinfo").read_text()
    mounts = []
    for line in text.splitlines():
        fields = line.split()
        optional = fields[6 : fields.index("-")]
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        mounts.append(Mount(Path(point), any(item.startswith("shared:") for item in optional)))
    return mounts


def mount_of(path: Path, mounts: list[Mount]) -> Mount:
    """Return the mount that holds ``path``: the deepest one, the last of several on one point."""
    holding = [mount for mount in mounts if path == mount.point or mount.point in path.parents]
    depth = max(len(mount.point.parts) for mount in holding)
    return [mount for mount in holding if len(mount.point.parts) == depth][-1]


def is_shared(folder: Path) -> bool:
    """Tell whether mounts made under ``folder`` reach the containers that have it mounted."""
    return mount_of(folder, read_mounts()).shared


def ensure_shared(folder: Path) -> bool:
    """Make the folder a shared mount unless it lies on one; return whether anything was done."""
    mount = mount_of(folder, read_mounts())
    if mount.shared:
        return False
    if mount.point != folder:
        _run("mount", "--bind", str(folder), str(folder))
    _run("mount", "--make-rshared", str(folder))
    return True


def left_mounts(folder: Path) -> list[Path]:
    """Return mount points strictly under ``folder``, deepest first."""
    points = {mount.point for mount in read_mounts() if folder in mount.point.parents}
    return sorted(points, key=lambda point: (-len(point.parts), str(point)))


def left_loops(folder: Path) -> list[str]:
    """Return loop devices over disk images under ``folder``.

    An image is told by its inode: the path that the kernel shows loses its head once the mount
    namespace of the manager that bound the device is gone.
    """
    done = subprocess.run(
        ["losetup", "--list", "--json", "--output", "NAME,BACK-MAJ:MIN,BACK-INO"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not done.stdout.strip():
        return []
    images = set(_images(folder))
    return [
        one["name"]
        for one in json.loads(done.stdout)["loopdevices"]
        # nothing is told of one, anybody's, that is freed while they are listed
        if one["back-ino"] and (one["back-maj:min"].strip(), int(one["back-ino"])) in images
    ]


def _images(folder: Path) -> Iterator[tuple[str, int]]:
    # it passes over what is removed meanwhile; Path.glob stops there
    for place, _, names in os.walk(folder / "volumes"):
        for path in (Path(place, name) for name in names if name.endswith(".img")):
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                yield f"{os.major(found.st_dev)}:{os.minor(found.st_dev)}", found.st_ino


def undo_all(folder: Path) -> list[str]:
    """Unmount everything under ``folder`` and free its loop devices; return what resisted."""
    resisting = []
    for point in left_mounts(folder):
        done = subprocess.run(["umount", str(point)], capture_output=True, text=True, check=False)
        if done.returncode:
            resisting.append(f"mount {point}: {done.stderr.strip()}")
    for device in left_loops(folder):
        done = subprocess.run(
            ["losetup", "--detach", device], capture_output=True, text=True, check=False
        )
        if done.returncode:
            resisting.append(f"loop device {device}: {done.stderr.strip()}")
    return resisting


def unshare(folder: Path) -> None:
    """Undo :func:`ensure_shared`: remove the bind mounts of the folder over itself."""
    while any(mount.point == folder for mount in read_mounts()):
        done = subprocess.run(["umount", str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            break


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigurationError(
            f"`{' '.join(command)}` failed: {done.stderr.strip()}. The state folder must be a "
            "shared mount, so that homes reach their sessions; this needs root with CAP_SYS_ADMIN",
            code="state.not_shared",
        )


def run_in_network(pid: int, *command: str) -> bool | None:
    """Run a command in a process's network namespace: whether it succeeded, None if absent."""
    done = subprocess.run(
        ["nsenter", "--target", str(pid), "--net", *command], capture_output=True, check=False
    )
    return None if done.returncode == 127 else done.returncode == 0
