"""Plugin ``s3`` on moto's server, and on servers that fail."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.backends import get_backend
from pydantic import ValidationError

from juliabox_ext.errors import (
    ConfigurationError,
    JuliaBoxError,
    NoRoomError,
    NotFoundError,
    PolicyError,
    UnavailableError,
)
from juliabox_ext.testing.cloud_suite import BucketStoreSuite
from juliabox_plugins.bucket_s3 import S3BucketStore
from support.aws_server import KEYS, AwsServer, FaultyServer
from support.plugin_maker import make


@pytest.fixture
def store(aws: AwsServer, tmp_path: Path) -> Iterator[S3BucketStore]:
    for bucket in ("backups", "archive"):
        aws.client("s3").create_bucket(Bucket=bucket)
    made = make(S3BucketStore, tmp_path, "s3", **aws.settings)
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "local"
    folder.mkdir()
    path = folder / "ada.tar"
    path.write_bytes(b"content of ada")
    return path


class TestS3(BucketStoreSuite):
    @pytest.fixture
    def store(self, store: S3BucketStore) -> S3BucketStore:
        return store


def test_buckets_may_have_other_names_and_places_in_s3(
    aws: AwsServer, file: Path, tmp_path: Path
) -> None:
    aws.client("s3").create_bucket(Bucket="the.company")
    places = {"backups": "the.company/box/backups/", "archive": "the.company"}
    store = make(S3BucketStore, tmp_path, "s3", **aws.settings, buckets=places)
    store.push("backups", file)
    store.copy(file, Path("copy"), "backups", "archive")
    found = aws.client("s3").list_objects_v2(Bucket="the.company")["Contents"]
    assert [one["Key"] for one in found] == ["box/backups/ada.tar", "copy"]
    assert (store.list("backups"), store.list("archive")) == (["ada.tar"], ["copy"])
    store.move(Path("copy"), Path("back"), "archive", "backups")
    assert store.list("backups") == ["ada.tar", "back"]


def test_a_listing_has_all_pages(store: S3BucketStore) -> None:
    backend = get_backend("s3")["123456789012"]["aws"]
    for number in range(1002):
        backend.put_object("backups", f"{number:04}", b"")
    assert store.list("backups") == [f"{number:04}" for number in range(1002)]


def test_a_damaged_blob_is_told_and_never_arrives(
    store: S3BucketStore, aws: AwsServer, file: Path
) -> None:
    store.push("backups", file, {"epoch": "1"})
    client = aws.client("s3")
    metadata = client.head_object(Bucket="backups", Key="ada.tar")["Metadata"]
    client.put_object(Bucket="backups", Key="ada.tar", Body=b"content of eve", Metadata=metadata)
    with pytest.raises(UnavailableError, match="plugin s3: blob ada") as caught:
        store.pull("backups", file)
    assert caught.value.code == "bucket.corrupt"
    assert file.read_bytes() == b"content of ada"
    assert [path.name for path in file.parent.iterdir()] == ["ada.tar"]


def test_an_object_of_somebody_elses_can_be_read(
    store: S3BucketStore, aws: AwsServer, file: Path
) -> None:
    aws.client("s3").put_object(
        Bucket="backups", Key="ada.tar", Body=b"theirs", Metadata={"by": "hand"}
    )
    assert store.pull("backups", file) == {"by": "hand"}
    assert file.read_bytes() == b"theirs"


def test_a_full_local_disk_keeps_the_local_file(
    store: S3BucketStore, file: Path, tmp_path: Path
) -> None:
    file.write_bytes(bytes(3 * 1024**2))
    store.push("backups", file)
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    try:
        (place / file.name).write_bytes(b"local")
        with pytest.raises(NoRoomError, match="plugin s3") as caught:
            store.pull("backups", place / file.name)
        assert caught.value.code == "bucket.no_room"
        assert [path.name for path in place.iterdir()] == [file.name]
        assert (place / file.name).read_bytes() == b"local"
    finally:
        subprocess.run(["umount", place], check=True)


def on(url: str, folder: Path, **settings: Any) -> S3BucketStore:
    given = {**KEYS, "connect_timeout": 10, "read_timeout": 20, "attempts": 2, **settings}
    return make(S3BucketStore, folder, "s3", endpoint_url=url, **given)


STEPS: dict[str, Callable[[S3BucketStore, Path], object]] = {
    "push": lambda store, file: store.push("backups", file),
    "pull": lambda store, file: store.pull("backups", file),
    "delete": lambda store, file: store.delete("backups", file),
    "copy": lambda store, file: store.copy(file, Path("copy"), "backups"),
    "list": lambda store, file: store.list("backups"),
}


def fails(step: str, store: S3BucketStore, file: Path, kind: type[JuliaBoxError], code: str) -> str:
    """Take a step, which must fail so and change nothing; return the message."""
    with pytest.raises(kind) as caught:
        STEPS[step](store, file)
    assert (caught.value.code, type(caught.value)) == (code, kind)
    assert caught.value.message.startswith("plugin s3: AWS cannot ")
    assert caught.value.message.isprintable()
    assert file.read_bytes() == b"content of ada"
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    return caught.value.message


@pytest.fixture
def refusing(faulty: FaultyServer, tmp_path: Path) -> tuple[FaultyServer, S3BucketStore]:
    return faulty, on(faulty.url, tmp_path)


@pytest.mark.parametrize("step", STEPS)
def test_a_store_that_is_down_is_told(step: str, file: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        store = on(f"http://127.0.0.1:{taken.getsockname()[1]}", tmp_path)
        fails(step, store, file, UnavailableError, "aws.unreachable")


@pytest.mark.parametrize("step", STEPS)
def test_a_store_that_hangs_is_given_up(
    step: str, file: Path, tmp_path: Path, faulty: FaultyServer
) -> None:
    faulty.pause = 30
    start = time.monotonic()
    store = on(faulty.url, tmp_path, attempts=1, read_timeout=0.5)
    fails(step, store, file, UnavailableError, "aws.unreachable")
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("answer", "kind", "expected"),
    [
        ((503, "SlowDown"), UnavailableError, "aws.busy"),
        ((500, "InternalError"), UnavailableError, "aws.busy"),
        ((502, ""), UnavailableError, "aws.busy"),
        ((403, "AccessDenied"), PolicyError, "aws.denied"),
        ((400, "ExpiredToken"), ConfigurationError, "aws.credentials"),
        ((403, "InvalidAccessKeyId"), ConfigurationError, "aws.credentials"),
        ((403, "RequestTimeTooSkewed"), ConfigurationError, "aws.credentials"),
        ((400, "EntityTooLarge"), PolicyError, "aws.refused"),
        ((404, "NoSuchBucket"), NotFoundError, "aws.absent"),
        ((409, "QuotaExceeded"), NoRoomError, "aws.quota"),
    ],
    ids=[
        "throttled", "internal", "no_words", "denied", "expired", "unknown_key", "wrong_clock",
        "refused", "no_bucket", "full",
    ],
)  # fmt: skip
def test_what_s3_answers_becomes_an_error(
    answer: tuple[int, str],
    kind: type[JuliaBoxError],
    expected: str,
    refusing: tuple[FaultyServer, S3BucketStore],
    file: Path,
) -> None:
    server, store = refusing
    server.refuse(*answer)
    for tries, step in enumerate(("push", "list"), start=1):
        message = fails(step, store, file, kind, expected)
        assert "testing" not in message
        # only what may pass is tried again
        assert server.requests == tries * (2 if expected == "aws.busy" else 1)


def test_a_blob_that_breaks_off_never_arrives(
    file: Path, tmp_path: Path, faulty: FaultyServer
) -> None:
    faulty.body, faulty.cut = b"x" * 1000, 100
    faulty.headers = {"ETag": '"1"'}
    fails("pull", on(faulty.url, tmp_path), file, UnavailableError, "aws.unreachable")
    assert faulty.requests == 3


def test_an_answer_that_is_no_answer_is_told(
    file: Path, tmp_path: Path, faulty: FaultyServer
) -> None:
    faulty.body = b"<html>log in to the wireless network</html"
    fails("list", on(faulty.url, tmp_path), file, UnavailableError, "aws.busy")


def test_missing_credentials_are_told(
    file: Path, tmp_path: Path, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    store = on(faulty.url, tmp_path, access_key_id="", secret_access_key="")
    message = fails("list", store, file, ConfigurationError, "aws.credentials")
    assert "plugins.settings.s3" in message


@pytest.mark.parametrize(
    "settings",
    [
        {"access_key_id": "a"},
        {"secret_access_key": "a"},
        {"endpoint_url": "s3.example.org"},
        {"region": "EU west"},
        {"attempts": 0},
        {"buckets": {"UP": "x"}},
        {"buckets": {"backups": "no bucket"}},
        {"colour": "red"},
    ],
    ids=[
        "half_a_key", "other_half", "address", "region", "attempts", "bucket", "place", "unknown",
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        make(S3BucketStore, tmp_path, **settings)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    store = make(S3BucketStore, tmp_path, access_key_id="a", secret_access_key="hunter2")
    assert "hunter2" not in repr(store.settings)
