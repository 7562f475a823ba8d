"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from juliabox_ext.errors import ConfigurationError


def write_bytes(path: Path, content: bytes, *, mode: int, owner: int | None = None) -> bool:
    """Replace a file by a new one with this content, mode and owner (uid and gid).

    Returns whether anything changed: a file that is right already is left alone, its mode and owner
    are mended.
    """
    if path.is_file() and path.read_bytes() == content:
        _set(path, mode, owner)
        return False
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _set(temporary, mode, owner)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def write_text(path: Path, content: str, *, mode: int, owner: int | None = None) -> bool:
    """Do what :func:`write_bytes` does, for text."""
    return write_bytes(path, content.encode(), mode=mode, owner=owner)


def ensure_folder(path: Path, *, mode: int, owner: int | None = None) -> None:
    """Make a folder with its parents, and set its mode and owner.

    Raises ``ConfigurationError`` for what is no folder. A link is never followed: some folders lie
    in one that a part without root may write.
    """
    path.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        raise ConfigurationError(
            f"{path} is not a folder but a link; remove it, then repeat", code="state.link"
        ) from None
    try:
        _set(descriptor, mode, owner)
    finally:
        os.close(descriptor)


def _set(file: Path | int, mode: int, owner: int | None) -> None:
    status = os.stat(file)  # noqa: PTH116  # a path or a descriptor
    if owner is not None and (status.st_uid, status.st_gid) != (owner, owner):
        os.chown(file, owner, owner)
    if status.st_mode & 0o7777 != mode:
        os.chmod(file, mode)  # noqa: PTH101  # a path or a descriptor
