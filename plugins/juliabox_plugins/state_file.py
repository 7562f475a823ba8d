"""A small JSON file in a plugin's folder that several threads and processes change."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from juliabox_ext.errors import JuliaBoxError, NoRoomError, UnavailableError

log = structlog.get_logger("juliabox.plugins")

#: What the system says when a disk, a quota or the inodes are used up.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class StateFile:
    """A JSON object on disk; readers see the old one or the new one, never a part.

    A damaged file counts as empty and is reported: what plugins keep here can be made again.
    """

    def __init__(self, path: Path, plugin: str) -> None:
        self._path = path
        self._plugin = plugin
        self._threads = threading.Lock()

    def read(self) -> dict[str, Any]:
        """Return the object; empty if there is none."""
        try:
            found = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            log.warning("a damaged file is left out", path=str(self._path), reason=str(error))
            return {}
        except OSError as error:
            raise self._error(error) from error
        return found if isinstance(found, dict) else {}

    @contextlib.contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Yield the object, and store what the caller made of it; one change at a time.

        Raise ``NoRoomError`` on a full disk and ``UnavailableError`` for another fault of it; the
        old file stays.
        """
        with self._threads, contextlib.ExitStack() as stack:
            try:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = stack.enter_context(self._path.with_suffix(".lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as error:
                raise self._error(error) from error
            value = self.read()
            yield value
            try:
                replace_file(self._path, json.dumps(value).encode())
            except OSError as error:
                raise self._error(error) from error

    def _error(self, error: OSError) -> JuliaBoxError:
        what = f"plugin {self._plugin} cannot keep its state in {self._path}: {error.strerror}"
        if error.errno in FULL:
            return NoRoomError(f"{what}. Free space there", code="plugin.disk_full")
        return UnavailableError(f"{what}. See that the folder can be written", code="plugin.disk")


def replace_file(path: Path, content: bytes) -> None:
    """Put a file with this content, mode 0600, in the place of another; all or nothing."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
