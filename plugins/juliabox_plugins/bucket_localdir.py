"""Plugin ``localdir``: buckets as folders.

``FOLDER/BUCKET/keys/KEY`` is a record (JSON) of a blob's metadata, size and checksum, and names
the file in ``FOLDER/BUCKET/blobs`` that has its content. A blob is replaced by replacing its
record, which is one step; so a reader never finds the one without the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import structlog

from juliabox_ext.cloud import BucketStore, JBPluginCloud
from juliabox_ext.errors import JuliaBoxError, NoRoomError, NotFoundError, UnavailableError
from juliabox_ext.plugin import PluginContext, PluginSettings
from juliabox_plugins.blob_files import Blob, arriving, digest_while_copying, open_source
from juliabox_plugins.bucket_names import check_bucket, check_key, check_metadata, check_prefix
from juliabox_plugins.state_file import FULL, replace_file, sync_folder

log = structlog.get_logger("juliabox.plugins")

#: Seconds after which a file that no record names is what a crash left.
LEFT_OVER = 3600.0


class LocalDirSettings(PluginSettings):
    """The operator's settings of ``localdir``."""

    #: Folder of the buckets, which must exist; empty for one in the plugin's own folder.
    folder: str = ""


@dataclass(frozen=True)
class Record:
    """What stands in a blob's record."""

    file: str
    size: int
    sha256: str
    metadata: dict[str, str]


class LocalDirBucketStore(BucketStore):
    """Blobs on a disk of this machine, or on one that it mounts; a bucket is made by a push."""

    provides: ClassVar = [
        JBPluginCloud.JBP_BUCKETSTORE,
        JBPluginCloud.JBP_BUCKETSTORE_LOCALDIR,
    ]
    Settings: ClassVar = LocalDirSettings

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        assert isinstance(context.settings, LocalDirSettings)  # noqa: S101  # by the registry
        self._own = not context.settings.folder
        self.folder = context.folder / "buckets" if self._own else Path(context.settings.folder)

    def configure(self) -> None:
        """Take away what a crash left half-written."""
        if not self.folder.is_dir():
            return
        for bucket in self.folder.iterdir():
            try:
                self._sweep(bucket)
            except (OSError, JuliaBoxError) as error:
                log.warning("a bucket was not swept", bucket=bucket.name, reason=str(error))

    def push(
        self, bucket: str, local_file: Path, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Store a file; readers see the old blob or the whole new one."""
        key, kept = check_key(local_file.name), check_metadata(metadata)
        with open_source(local_file, self.name) as source, self._told(bucket):
            place = self._made(bucket)
            file = secrets.token_hex(16)
            try:
                blob = digest_while_copying(source, place / "blobs" / file)
                sync_folder(place / "blobs")
                self._name(place, key, Record(file, blob.size, blob.sha256, kept))
            except BaseException:
                (place / "blobs" / file).unlink(missing_ok=True)
                raise

    def pull(self, bucket: str, local_file: Path, metadata_only: bool = False) -> dict[str, str]:
        """Bring a blob to a file, whole or not at all."""
        key = check_key(local_file.name)
        with self._told(bucket), self._open(bucket, key) as (record, descriptor):
            if metadata_only:
                return record.metadata
            with arriving(local_file) as part, os.fdopen(os.dup(descriptor), "rb") as source:
                if digest_while_copying(source, part) != Blob(record.size, record.sha256):
                    raise self._corrupt(bucket, key)
            return record.metadata

    def delete(self, bucket: str, local_file: Path) -> None:
        """Delete a blob; nothing if it is absent."""
        key = check_key(local_file.name)
        with self._told(bucket):
            place = self._present(bucket)
            with _locked(place):
                record = _read(place, key)
                if record is not None or (place / "keys" / key).exists():
                    (place / "keys" / key).unlink()
                    sync_folder(place / "keys")
                if record is not None:
                    (place / "blobs" / record.file).unlink(missing_ok=True)

    def copy(
        self, from_file: Path, to_file: Path, from_bucket: str, to_bucket: str | None = None
    ) -> None:
        """Copy a blob with its metadata; a corrupt one is not spread."""
        source, target = check_key(from_file.name), check_key(to_file.name)
        goal = check_bucket(from_bucket if to_bucket is None else to_bucket)
        with self._told(from_bucket), self._open(from_bucket, source) as (record, descriptor):
            place = self._made(goal)
            copy = place / "blobs" / secrets.token_hex(16)
            try:
                with os.fdopen(os.dup(descriptor), "rb") as stream:
                    if digest_while_copying(stream, copy) != Blob(record.size, record.sha256):
                        raise self._corrupt(from_bucket, source)
                sync_folder(place / "blobs")
                self._name(place, target, Record(**{**asdict(record), "file": copy.name}))
            except BaseException:
                copy.unlink(missing_ok=True)
                raise

    def list(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys of a bucket, sorted."""
        check_prefix(prefix)
        with self._told(bucket):
            keys = (path.name for path in (self._present(bucket) / "keys").iterdir())
            return sorted(key for key in keys if key.startswith(prefix) and key[0] != ".")

    def _made(self, bucket: str) -> Path:
        """Return a bucket's folder; make it, but not what the operator must have mounted."""
        place = self.folder / check_bucket(bucket)
        if self._own:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.mkdir(mode=0o700, exist_ok=True)
        for part in ("keys", "blobs"):
            (place / part).mkdir(mode=0o700, exist_ok=True)
        return place

    def _present(self, bucket: str) -> Path:
        place = self.folder / check_bucket(bucket)
        if not self._own and not self.folder.is_dir():
            raise FileNotFoundError(2, os.strerror(2), str(self.folder))
        if not (place / "keys").is_dir():
            raise NotFoundError(
                f"plugin {self.name}: there is no bucket {bucket} in {self.folder}; a push makes "
                "it",
                code="bucket.unknown",
            )
        return place

    def _name(self, place: Path, key: str, record: Record) -> None:
        """Let a key mean another content, and drop the old one."""
        with _locked(place):
            old = _read(place, key)
            replace_file(place / "keys" / key, json.dumps(asdict(record)).encode())
            if old is not None:
                (place / "blobs" / old.file).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _open(self, bucket: str, key: str) -> Iterator[tuple[Record, int]]:
        """Yield a blob's record and its open file; what replaces it meanwhile does not matter."""
        place = self._present(bucket)
        with _locked(place, shared=True):
            if not (place / "keys" / key).exists():
                raise NotFoundError(
                    f"plugin {self.name}: bucket {bucket} has no blob {key}", code="bucket.absent"
                )
            record = _read(place, key)
            if record is None or not (place / "blobs" / record.file).is_file():
                raise self._corrupt(bucket, key)
            descriptor = os.open(place / "blobs" / record.file, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            yield record, descriptor
        finally:
            os.close(descriptor)

    def _corrupt(self, bucket: str, key: str) -> UnavailableError:
        return UnavailableError(
            f"plugin {self.name}: blob {key} of bucket {bucket} in {self.folder} is damaged: its "
            "checksum does not match. Use an older one; check the disk",
            code="bucket.corrupt",
        )

    @contextlib.contextmanager
    def _told(self, bucket: str) -> Iterator[None]:
        """Tell faults of the disk as typed errors."""
        check_bucket(bucket)
        try:
            yield
        except OSError as error:
            what = f"plugin {self.name}, bucket {bucket}: {error.strerror}: {error.filename or ''}"
            if error.errno in FULL:
                raise NoRoomError(
                    f"{what}. Nothing was written; free space in {self.folder} and where the file "
                    "goes",
                    code="bucket.no_room",
                ) from error
            raise UnavailableError(
                f"{what}. See that {self.folder} is there, is mounted and can be written",
                code="bucket.disk",
            ) from error

    def _sweep(self, bucket: Path) -> None:
        """Delete contents that no record names, unless they are being written."""
        if not (bucket / "keys").is_dir():
            return
        with _locked(bucket):
            records = [_read(bucket, path.name) for path in (bucket / "keys").iterdir()]
            named = {record.file for record in records if record is not None}
            oldest = time.time() - LEFT_OVER
            for path in [*(bucket / "blobs").iterdir(), *(bucket / "keys").glob(".*")]:
                if path.name not in named and path.stat().st_mtime < oldest:
                    path.unlink()


@contextlib.contextmanager
def _locked(place: Path, shared: bool = False) -> Iterator[None]:
    """Hold a bucket's records, in this thread and process alone unless shared."""
    descriptor = os.open(place / "keys", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(place: Path, key: str) -> Record | None:
    """Return a blob's record; None if it is absent or damaged."""
    try:
        found = json.loads((place / "keys" / key).read_bytes())
        record = Record(**found)
        check_metadata(record.metadata)
        harmless = record.file.isalnum() and isinstance(record.size, int)
    except (FileNotFoundError, ValueError, TypeError, AttributeError, JuliaBoxError):
        return None
    return record if harmless else None
