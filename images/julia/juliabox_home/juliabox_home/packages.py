"""The Julia packages of a depot's environments, read without Julia.

Whatever lies there, no exception escapes and little is read: files are bounded, and one that is
broken, too large or no file is told as such.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Bytes of one file, environments, and packages of one environment that are looked at.
FILE_SIZE = 4 * 1024**2
ENVIRONMENTS = 100
PACKAGES = 5000

#: Characters of a text that is handed on.
TEXT = 200

_MANIFEST = re.compile(r"(?:Julia)?Manifest(?:-v\d+\.\d+)?\.toml")
_VERSION = re.compile(r"v(\d+)\.(\d+)")


class UnreadableError(Exception):
    """A file is broken, too large, or none."""


def environments(folder: Path) -> list[dict[str, Any]]:
    """Describe the environments in a folder such as ``~/.julia/environments``, newest Julia first.

    Each has ``name``, ``julia`` (the version that made its manifest, or null), ``packages`` and
    ``error`` (null, or what is wrong with it). A package has ``name``, ``uuid``, ``version`` (null
    for one of the standard library) and ``direct``: whether the person added it.
    """
    try:
        with os.scandir(folder) as found:
            names = sorted((entry.name for entry in found if entry.is_dir()), key=_newest)
    except OSError:
        return []
    return [environment(folder / name) for name in names[:ENVIRONMENTS]]


def _newest(name: str) -> tuple[int, int, int, str]:
    match = _VERSION.fullmatch(name)
    return (0, -int(match[1][:6]), -int(match[2][:6]), name) if match else (1, 0, 0, name)


def environment(folder: Path) -> dict[str, Any]:
    """Describe one environment."""
    told: dict[str, Any] = {
        "name": os.fsencode(folder.name).decode(errors="replace")[:TEXT],
        "julia": None,
        "packages": [],
        "error": None,
    }
    try:
        project = _first(folder, ["JuliaProject.toml", "Project.toml"])
        manifest = _first(folder, _manifests(folder))
        direct = _table(project.get("deps"))
        told["julia"] = _text(manifest.get("julia_version"))
        told["packages"] = list(_packages(direct, manifest))
    except UnreadableError as error:
        told["error"] = str(error)
    return told


def _manifests(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as found:
            names = [entry.name for entry in found if _MANIFEST.fullmatch(entry.name)]
    except OSError:
        return []
    # Julia prefers the one of its own version, and one for Julia alone
    return sorted(names, key=lambda name: ("-v" in name, name.startswith("Julia"), name))[::-1]


def _first(folder: Path, names: list[str]) -> dict[str, Any]:
    for name in names:
        found = _read(folder / name)
        if found is not None:
            return found
    return {}


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a file holds; None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableError(f"{path.name}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableError(f"{path.name} is not a file")
        try:
            data = file.read(FILE_SIZE + 1)
        except OSError as error:
            raise UnreadableError(f"{path.name}: {error.strerror}") from error
    if len(data) > FILE_SIZE:
        raise UnreadableError(f"{path.name} is over {FILE_SIZE} bytes")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path.name} cannot be read: {str(error)[:TEXT]}") from error


def _packages(direct: dict[str, Any], manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the packages of a manifest of either format, or of the project if there is none."""
    new = "manifest_format" in manifest
    entries = _table(manifest.get("deps") if new else manifest)
    listed = {name: found for name, found in entries.items() if isinstance(found, list)}
    for name in sorted({*listed, *direct}, key=lambda name: (name not in direct, name))[:PACKAGES]:
        # several of one name are told apart by their uuid
        for found in listed.get(name, [{}])[:10]:
            package = _table(found)
            uuid = _text(package.get("uuid")) or _text(direct.get(name))
            yield {
                "name": name[:TEXT],
                "uuid": uuid,
                "version": _text(package.get("version")),
                "direct": name in direct and uuid == _text(direct[name]),
            }


def _table(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _text(found: object) -> str | None:
    return found[:TEXT] if isinstance(found, str) else None
