"""What every provider of ``cloud.bucketstore`` does."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from juliabox_ext.cloud import BucketStore
from juliabox_ext.errors import NotFoundError, RequestError

BUCKET, OTHER, ABSENT = "backups", "archive", "no-such-bucket"


class BucketStoreSuite:
    """Derive from it and give the fixture; buckets ``BUCKET`` and ``OTHER`` are there or made."""

    @pytest.fixture
    def store(self) -> BucketStore:
        raise NotImplementedError("return a configured plugin without blobs")

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """A local file; its name is the key."""
        folder = tmp_path / "local"
        folder.mkdir()
        path = folder / "ada.tar.gz"
        path.write_bytes(b"first content")
        return path

    def test_a_blob_comes_back_with_its_metadata(self, store: BucketStore, file: Path) -> None:
        metadata = {"owner": "Ada Löve 你好", "epoch": "7", "note": " spaces, =signs\nand lines "}
        store.push(BUCKET, file, metadata)
        file.unlink()
        assert store.pull(BUCKET, file) == metadata
        assert file.read_bytes() == b"first content"

    def test_a_blob_without_metadata_has_none(self, store: BucketStore, file: Path) -> None:
        store.push(BUCKET, file)
        assert store.pull(BUCKET, file) == {}

    def test_an_empty_file_is_a_blob(self, store: BucketStore, file: Path) -> None:
        file.write_bytes(b"")
        store.push(BUCKET, file)
        file.unlink()
        store.pull(BUCKET, file)
        assert file.read_bytes() == b""

    def test_a_large_blob_comes_back_unchanged(self, store: BucketStore, file: Path) -> None:
        content = random.Random(1).randbytes(20 * 1024**2 + 1)
        file.write_bytes(content)
        store.push(BUCKET, file, {"epoch": "1"})
        store.copy(file, Path("copy"), BUCKET)
        file.unlink()
        assert store.pull(BUCKET, file) == {"epoch": "1"}
        assert file.read_bytes() == content
        assert store.pull(BUCKET, file.with_name("copy")) == {"epoch": "1"}
        assert file.with_name("copy").read_bytes() == content

    def test_metadata_alone_leaves_the_local_file(self, store: BucketStore, file: Path) -> None:
        store.push(BUCKET, file, {"epoch": "1"})
        file.write_bytes(b"local")
        assert store.pull(BUCKET, file, metadata_only=True) == {"epoch": "1"}
        assert file.read_bytes() == b"local"
        file.unlink()
        store.pull(BUCKET, file, metadata_only=True)
        assert not file.exists()

    def test_a_push_replaces_content_and_metadata(self, store: BucketStore, file: Path) -> None:
        store.push(BUCKET, file, {"epoch": "1", "old": "yes"})
        file.write_bytes(b"second")
        store.push(BUCKET, file, {"epoch": "2"})
        file.write_bytes(b"longer than what comes")
        assert store.pull(BUCKET, file) == {"epoch": "2"}
        assert file.read_bytes() == b"second"

    def test_absent_blobs_and_buckets_are_told(self, store: BucketStore, file: Path) -> None:
        store.push(BUCKET, file)
        absent = file.with_name("absent")
        for bucket, wanted in ((BUCKET, absent), (ABSENT, file)):
            with pytest.raises(NotFoundError):
                store.pull(bucket, wanted)
            with pytest.raises(NotFoundError):
                store.pull(bucket, wanted, metadata_only=True)
            with pytest.raises(NotFoundError):
                store.copy(wanted, absent, bucket, BUCKET)
            with pytest.raises(NotFoundError):
                store.move(wanted, absent, bucket, BUCKET)
        with pytest.raises(NotFoundError):
            store.list(ABSENT)
        with pytest.raises(NotFoundError):
            store.delete(ABSENT, file)
        assert [path.name for path in file.parent.iterdir()] == [file.name]
        assert store.list(BUCKET) == [file.name]

    def test_deleting_twice_is_harmless(self, store: BucketStore, file: Path) -> None:
        store.push(BUCKET, file)
        store.delete(BUCKET, file)
        store.delete(BUCKET, file)
        assert store.list(BUCKET) == []
        assert file.exists()

    def test_a_copy_is_independent(self, store: BucketStore, file: Path) -> None:
        store.push(BUCKET, file, {"epoch": "1"})
        store.push(OTHER, file)
        copy = file.with_name("copy")
        store.copy(file, copy, BUCKET)
        store.copy(file, copy, BUCKET, OTHER)
        store.delete(BUCKET, file)
        for bucket in (BUCKET, OTHER):
            assert store.pull(bucket, copy) == {"epoch": "1"}
            assert copy.read_bytes() == b"first content"

    def test_a_copy_onto_itself_changes_nothing(self, store: BucketStore, file: Path) -> None:
        store.push(BUCKET, file, {"epoch": "1"})
        store.copy(file, file, BUCKET)
        store.move(file, file, BUCKET)
        assert store.pull(BUCKET, file) == {"epoch": "1"}

    def test_a_move_leaves_the_target_alone(self, store: BucketStore, file: Path) -> None:
        store.push(BUCKET, file, {"epoch": "1"})
        store.move(file, Path("moved"), BUCKET)
        assert store.list(BUCKET) == ["moved"]
        assert store.pull(BUCKET, file.with_name("moved")) == {"epoch": "1"}

    def test_keys_are_listed_in_order_and_by_their_start(
        self, store: BucketStore, file: Path
    ) -> None:
        names = ["ada.2", "ada.1", "émile", "bob", "ada", "a b+c%20", "Z"]
        for name in names:
            store.push(BUCKET, file.rename(file.with_name(name)))
            file = file.with_name(name)
        assert store.list(BUCKET) == sorted(names)
        assert store.list(BUCKET, "ada") == ["ada", "ada.1", "ada.2"]
        assert store.list(BUCKET, "nobody") == []
        store.pull(BUCKET, file.with_name("a b+c%20"))
        assert file.with_name("a b+c%20").read_bytes() == b"first content"

    @pytest.mark.parametrize(
        "name", ["..", ".hidden", "back\\slash", "line\nbreak", "x" * 201],
        ids=["parent", "hidden", "backslash", "line_break", "long"],
    )  # fmt: skip
    def test_names_that_are_no_keys_are_refused(
        self, store: BucketStore, file: Path, name: str
    ) -> None:
        path = Path(f"{file.parent}/{name}") if name != ".." else Path("..")
        with pytest.raises(RequestError):
            store.push(BUCKET, path)
        with pytest.raises(RequestError):
            store.pull(BUCKET, path)
        with pytest.raises(RequestError):
            store.delete(BUCKET, path)

    @pytest.mark.parametrize(
        "bucket", ["", "..", "a/b", "../up", "Capital", "nul\0", "x" * 64],
        ids=["empty", "parent", "separator", "above", "capital", "nul", "long"],
    )  # fmt: skip
    def test_names_that_are_no_buckets_are_refused(
        self, store: BucketStore, file: Path, bucket: str
    ) -> None:
        with pytest.raises(RequestError):
            store.push(bucket, file)

    @pytest.mark.parametrize(
        "metadata",
        [{"Name": "x"}, {"": "x"}, {"a b": "x"}, {"juliabox-sha256": "x"}, {"name": "x" * 3000}],
        ids=["capital", "empty", "space", "reserved", "long"],
    )
    def test_metadata_that_cannot_be_kept_are_refused(
        self, store: BucketStore, file: Path, metadata: dict[str, str]
    ) -> None:
        store.push(BUCKET, file)
        with pytest.raises(RequestError):
            store.push(BUCKET, file, metadata)
        assert store.pull(BUCKET, file) == {}

    def test_what_is_no_file_is_refused(self, store: BucketStore, file: Path) -> None:
        link, fifo = file.with_name("link"), file.with_name("fifo")
        link.symlink_to(file)
        os.mkfifo(fifo)
        for path in (link, fifo, file.parent, file.with_name("absent")):
            with pytest.raises(RequestError):
                store.push(BUCKET, path)

    def test_readers_see_whole_blobs_while_it_is_replaced(
        self, store: BucketStore, file: Path
    ) -> None:
        contents = [bytes([number]) * 100_000 for number in range(5)]
        file.write_bytes(contents[0])
        store.push(BUCKET, file, {"number": "0"})
        over = threading.Event()

        def write() -> None:
            for turn in range(15):
                file.write_bytes(contents[turn % 5])
                store.push(BUCKET, file, {"number": str(turn % 5)})
            over.set()

        writer = threading.Thread(target=write)
        writer.start()
        (file.parent / "reader").mkdir()
        target = file.parent / "reader" / file.name
        while True:
            last = over.is_set()
            metadata = store.pull(BUCKET, target)
            assert target.read_bytes() in contents
            assert set(metadata) == {"number"}
            if last:
                break
        writer.join()
        assert target.read_bytes() == contents[4]
