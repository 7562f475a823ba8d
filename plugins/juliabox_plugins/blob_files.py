"""Blobs as local files: read once with a checksum, and arriving whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from juliabox_ext.errors import RequestError
from juliabox_plugins.state_file import sync_folder

CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Blob:
    """Size and checksum of a content."""

    size: int
    sha256: str


@contextlib.contextmanager
def open_source(path: Path, plugin: str) -> Iterator[BinaryIO]:
    """Open a file that is to be stored; raise ``RequestError`` unless it is a readable one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise RequestError(
            f"plugin {plugin} cannot read {path}: {error.strerror}", code="bucket.file"
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RequestError(f"plugin {plugin}: {path} is no file", code="bucket.file")
    with os.fdopen(descriptor, "rb") as source:
        yield source


def digest(source: BinaryIO) -> Blob:
    """Return size and checksum of a stream from where it stands."""
    hashed, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK):
        hashed.update(chunk)
        size += len(chunk)
    return Blob(size, hashed.hexdigest())


def digest_while_copying(source: BinaryIO, target: Path) -> Blob:
    """Copy a stream to a file, mode 0600, that lasts; return size and checksum of the copy."""
    hashed, size = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        while chunk := source.read(CHUNK):
            hashed.update(chunk)
            size += len(chunk)
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())
    return Blob(size, hashed.hexdigest())


@contextlib.contextmanager
def arriving(target: Path) -> Iterator[Path]:
    """Yield a file beside ``target`` that takes its place if all goes well, and goes if not."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".arriving-")
    os.close(descriptor)
    part = Path(name)
    try:
        yield part
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
