"""A folder as a compressed tar archive, written piece by piece and never wholly in memory.

What can be archived is: folders, files, symbolic links (as links), hard links. Sockets, FIFOs and
devices are left out, as is what cannot be read; the archive's last member lists these. A file that
changes meanwhile has its length as it was first seen: cut off, or filled up with zeros.
"""

import contextlib
import gzip
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: Bytes that are read, and handed on, at once.
CHUNK = 256 * 1024

#: Things left out that the last member lists.
LISTED = 1000

#: Files with several names that are remembered; of more, each name gets the contents.
LINKED = 50_000

#: Name of the last member, if there is one.
LEFT_OUT = "NOT-IN-THIS-ARCHIVE.txt"


class Stopped(Exception):
    """Raised by who takes the chunks: nobody wants the rest."""


class _Sink(io.RawIOBase):
    """Hands on what is written to it, in chunks."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        super().__init__()
        self._put = put
        self._buffer = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._buffer += data
        while len(self._buffer) >= CHUNK:
            self._put(bytes(self._buffer[:CHUNK]))
            del self._buffer[:CHUNK]
        return len(data)

    def drain(self) -> None:
        """Hand on what is left."""
        if self._buffer:
            self._put(bytes(self._buffer))
            self._buffer.clear()


def write_archive(root: Path, put: Callable[[bytes], None], level: int = 3) -> list[str]:
    """Write the archive of a folder as chunks to ``put``; return what was left out, and why.

    An exception of ``put`` passes at once.
    """
    sink = _Sink(put)
    archive = _Archive(root)
    with (
        gzip.GzipFile("", "wb", level, sink, mtime=0) as compressed,  # type: ignore[arg-type]
        tarfile.open(
            fileobj=compressed,
            mode="w|",
            bufsize=CHUNK,
            format=tarfile.PAX_FORMAT,
            encoding="utf-8",
            errors="surrogateescape",
        ) as tar,
    ):
        archive.write(tar)
    sink.drain()
    return archive.left_out


class _Archive:
    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.left_out: list[str] = []
        self._count = 0
        #: Device and inode of files with several names -> the name that has the contents.
        self._linked: dict[tuple[int, int], str] = {}

    def write(self, tar: tarfile.TarFile) -> None:
        for entry in self._walk(self._root, ""):
            self._add(tar, *entry)
            tar.members.clear()  # type: ignore[attr-defined]  # a stream needs no list of all
        if self._count:
            more = self._count - len(self.left_out)
            lines = [*self.left_out, *([f"and {more} more"] if more else [])]
            text = "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")
            told = tarfile.TarInfo(LEFT_OUT)
            told.size = len(text)
            tar.addfile(told, io.BytesIO(text))

    def _walk(self, folder: str, prefix: str) -> Iterator[tuple[str, str, os.stat_result]]:
        """Give path, name and status of everything below a folder, folders before what they hold.

        A stack of names, not of open folders: depth costs no descriptors.
        """
        stack = [(folder, prefix)]
        while stack:
            path, name = stack.pop()
            try:
                with os.scandir(path) as found:
                    entries = sorted(entry.name for entry in found)
            except OSError as error:
                self._skip(name or "/", error.strerror or "unreadable")
                continue
            for entry in entries:
                inner, told = f"{path}/{entry}", f"{name}/{entry}" if name else entry
                try:
                    status = os.lstat(inner)
                except OSError as error:
                    self._skip(told, error.strerror or "unreadable")
                    continue
                yield inner, told, status
                if stat.S_ISDIR(status.st_mode):
                    stack.append((inner, told))

    def _add(self, tar: tarfile.TarFile, path: str, name: str, status: os.stat_result) -> None:
        member = tarfile.TarInfo(name)
        member.mode = stat.S_IMODE(status.st_mode)
        member.mtime = status.st_mtime
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        elif kind == stat.S_IFLNK:
            member.type = tarfile.SYMTYPE
            try:
                member.linkname = os.readlink(path)  # noqa: PTH115  # Path would tidy the text up
            except OSError as error:
                return self._skip(name, error.strerror or "unreadable")
            tar.addfile(member)
        elif kind == stat.S_IFREG:
            self._add_file(tar, path, member)
        else:
            self._skip(name, "neither file, folder nor link")
        return None

    def _add_file(self, tar: tarfile.TarFile, path: str, member: tarfile.TarInfo) -> None:
        # what was a file a moment ago may be a FIFO now, or a link to somewhere
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags)
        except OSError as error:
            return self._skip(member.name, error.strerror or "unreadable")
        with os.fdopen(descriptor, "rb", 0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return self._skip(member.name, "neither file, folder nor link")
            if status.st_nlink > 1 and len(self._linked) < LINKED:
                first = self._linked.setdefault((status.st_dev, status.st_ino), member.name)
                if first != member.name:
                    member.type, member.linkname = tarfile.LNKTYPE, first
                    return tar.addfile(member)
            member.size = status.st_size
            return tar.addfile(member, _Exactly(file, member.size))  # type: ignore[arg-type]

    def _skip(self, name: str, why: str) -> None:
        self._count += 1
        if len(self.left_out) < LISTED:
            self.left_out.append(f"{name}: {why}")


class _Exactly:
    """Reads exactly so many bytes of a file that may be shorter or fail by now."""

    def __init__(self, file: Any, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        data = b""
        with contextlib.suppress(OSError):
            data = self._file.read(wanted) or b""
        self._left -= wanted
        if len(data) < wanted:
            data += self._rest(wanted - len(data))
        return data

    def _rest(self, missing: int) -> bytes:
        """Read on after a short read; zeros where nothing comes any more."""
        found = b""
        with contextlib.suppress(OSError):
            while len(found) < missing:
                piece = self._file.read(missing - len(found))
                if not piece:
                    break
                found += piece
        return found.ljust(missing, b"\0")
