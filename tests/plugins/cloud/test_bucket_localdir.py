"""Plugin ``localdir``: the contract, damage, crashes and full disks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from juliabox_ext.errors import NoRoomError, UnavailableError
from juliabox_ext.testing.cloud_suite import BucketStoreSuite
from juliabox_plugins.bucket_localdir import LocalDirBucketStore
from support.plugin_maker import make

MIB = 1024**2


@pytest.fixture
def store(tmp_path: Path) -> LocalDirBucketStore:
    return make(LocalDirBucketStore, tmp_path, "localdir")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "local"
    folder.mkdir()
    path = folder / "ada.tar"
    path.write_bytes(b"content of ada")
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def blobs(store: LocalDirBucketStore) -> list[Path]:
    return sorted((store.folder / "backups" / "blobs").iterdir())


class TestLocalDir(BucketStoreSuite):
    @pytest.fixture
    def store(self, store: LocalDirBucketStore) -> LocalDirBucketStore:
        return store


def test_blobs_are_for_the_owner_alone(store: LocalDirBucketStore, file: Path) -> None:
    store.push("backups", file)
    for path in [store.folder, *store.folder.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0


def damage_content(store: LocalDirBucketStore) -> None:
    blobs(store)[0].write_bytes(b"content of eve")


def damage_length(store: LocalDirBucketStore) -> None:
    blobs(store)[0].write_bytes(b"content")


def damage_name(store: LocalDirBucketStore) -> None:
    blobs(store)[0].unlink()


def damage_record(store: LocalDirBucketStore) -> None:
    (store.folder / "backups" / "keys" / "ada.tar").write_text('{"file": "x"')


def forge_record(store: LocalDirBucketStore) -> None:
    record = store.folder / "backups" / "keys" / "ada.tar"
    found = json.loads(record.read_text())
    record.write_text(json.dumps({**found, "file": "../../../local/ada.tar"}))


@pytest.mark.parametrize(
    "damage", [damage_content, damage_length, damage_name, damage_record, forge_record],
    ids=["content", "length", "content_gone", "record", "forged_record"],
)  # fmt: skip
def test_a_damaged_blob_is_told_and_never_arrives(
    damage: object, store: LocalDirBucketStore, file: Path
) -> None:
    store.push("backups", file)
    damage(store)  # type: ignore[operator]
    file.write_bytes(b"local")
    for step in (
        lambda: store.pull("backups", file),
        lambda: store.copy(file, Path("copy"), "backups"),
    ):
        with pytest.raises(UnavailableError, match="plugin localdir: blob ada") as caught:
            step()
        assert caught.value.code == "bucket.corrupt"
    assert file.read_bytes() == b"local"
    assert [path.name for path in file.parent.iterdir()] == ["ada.tar"]
    assert store.list("backups") == ["ada.tar"]
    store.push("backups", file)
    assert store.pull("backups", file) == {}
    store.delete("backups", file)
    assert store.list("backups") == []


def test_a_full_store_keeps_the_old_blob(small_disk: Path, file: Path, tmp_path: Path) -> None:
    store = make(LocalDirBucketStore, tmp_path, "localdir", folder=str(small_disk))
    store.push("backups", file)
    file.write_bytes(bytes(3 * MIB))
    with pytest.raises(NoRoomError, match="plugin localdir, bucket backups") as caught:
        store.push("backups", file)
    assert caught.value.code == "bucket.no_room"
    assert len(blobs(store)) == 1
    store.pull("backups", file)
    assert file.read_bytes() == b"content of ada"
    with pytest.raises(NoRoomError):
        file.write_bytes(bytes(MIB + 1))
        store.push("backups", file)
        store.copy(file, Path("copy"), "backups")
    assert store.list("backups") == ["ada.tar"]


def test_a_full_local_disk_keeps_the_local_file(
    store: LocalDirBucketStore, small_disk: Path, file: Path
) -> None:
    file.write_bytes(bytes(3 * MIB))
    store.push("backups", file)
    target = small_disk / file.name
    target.write_bytes(b"local")
    with pytest.raises(NoRoomError) as caught:
        store.pull("backups", target)
    assert caught.value.code == "bucket.no_room"
    assert [path.name for path in small_disk.iterdir()] == [file.name]
    assert target.read_bytes() == b"local"


def test_a_folder_that_is_not_mounted_is_not_made(file: Path, tmp_path: Path) -> None:
    store = make(LocalDirBucketStore, tmp_path, "localdir", folder=str(tmp_path / "absent"))
    for step in (
        lambda: store.push("backups", file),
        lambda: store.list("backups"),
        lambda: store.pull("backups", file),
    ):
        with pytest.raises(UnavailableError, match="is mounted") as caught:
            step()
        assert caught.value.code == "bucket.disk"
    assert not (tmp_path / "absent").exists()


PUSH_FOR_EVER = """
import sys
from pathlib import Path
from juliabox_ext.plugin import PluginContext
from juliabox_plugins.bucket_localdir import LocalDirBucketStore, LocalDirSettings
folder, file = map(Path, sys.argv[1:])
store = LocalDirBucketStore(PluginContext("localdir", LocalDirSettings(), folder=folder))
print("ready", flush=True)
while True:
    store.push("backups", file, {"epoch": "2"})
"""


def test_a_store_that_is_killed_at_any_time_is_whole(
    store: LocalDirBucketStore, file: Path
) -> None:
    store.push("backups", file, {"epoch": "2"})
    for pause in (0.001, 0.002, 0.003, 0.005):
        with subprocess.Popen(
            [sys.executable, "-c", PUSH_FOR_EVER, store.context.folder, file],
            stdout=subprocess.PIPE,
        ) as pushing:
            assert pushing.stdout is not None and pushing.stdout.readline()
            time.sleep(pause)
            pushing.kill()
        assert store.pull("backups", file) == {"epoch": "2"}
        assert file.read_bytes() == b"content of ada"


def test_what_a_crash_left_goes_away_and_what_is_written_stays(
    store: LocalDirBucketStore, file: Path, tmp_path: Path
) -> None:
    store.push("backups", file)
    old, new = store.folder / "backups/blobs/old", store.folder / "backups/blobs/new"
    record = store.folder / "backups" / "keys" / ".ada.tar.x"
    for path in (old, new, record):
        path.write_bytes(b"half")
    for path in (old, record, blobs(store)[0]):
        os.utime(path, (0, 0))
    again = make(LocalDirBucketStore, tmp_path, "localdir")
    assert not old.exists() and not record.exists() and new.exists()
    again.pull("backups", file)
    assert again.list("backups") == ["ada.tar"]


def test_many_writers_leave_one_whole_blob(store: LocalDirBucketStore, tmp_path: Path) -> None:
    def write(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "ada.tar").write_bytes(bytes([number]) * 10_000)
        for _ in range(10):
            store.push("backups", folder / "ada.tar", {"number": str(number)})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    target = tmp_path / "ada.tar"
    number = int(store.pull("backups", target)["number"])
    assert target.read_bytes() == bytes([number]) * 10_000
    assert len(blobs(store)) == 1
