"""Plugin ``s3``: buckets of Amazon S3, or of a server that speaks its protocol."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import unquote

from pydantic import AfterValidator, Field

from juliabox_ext.cloud import BucketStore, JBPluginCloud
from juliabox_ext.errors import NoRoomError, NotFoundError, RequestError, UnavailableError
from juliabox_ext.plugin import PluginContext
from juliabox_plugins.aws import Aws, AwsSettings
from juliabox_plugins.blob_files import arriving, digest, open_source
from juliabox_plugins.bucket_names import (
    RESERVED,
    check_bucket,
    check_key,
    check_metadata,
    check_prefix,
    encoded,
)
from juliabox_plugins.state_file import FULL

SHA256 = f"{RESERVED}sha256"

#: How often a blob is brought again that was replaced while it came.
TURNS = 10

_PLACE = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?")


def _places(places: dict[str, str]) -> dict[str, str]:
    for name, place in places.items():
        try:
            check_bucket(name)
        except RequestError as error:
            raise ValueError(error.message) from None
        if not _PLACE.fullmatch(place):
            raise ValueError(f"{place!r} must be a bucket of S3, or BUCKET/PREFIX")
    return places


class S3Settings(AwsSettings):
    """The operator's settings of ``s3``."""

    #: Name of a bucket in JuliaBox -> bucket of S3, or ``bucket/prefix``; others have one name.
    buckets: Annotated[dict[str, str], AfterValidator(_places)] = Field(default_factory=dict)


class S3BucketStore(BucketStore):
    """Blobs in buckets that the operator made; large ones go in parts, several at once."""

    provides: ClassVar = [JBPluginCloud.JBP_BUCKETSTORE, JBPluginCloud.JBP_BUCKETSTORE_S3]
    Settings: ClassVar = S3Settings

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        assert isinstance(context.settings, S3Settings)  # noqa: S101  # the registry made it
        self.settings = context.settings
        self._aws = Aws(context.settings, self.name)

    def close(self) -> None:
        """Close the connections."""
        self._aws.close()

    def push(
        self, bucket: str, local_file: Path, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Store a file; S3 shows an object when all of it is there."""
        where = self._where(bucket, check_key(local_file.name))
        kept = {name: encoded(value) for name, value in check_metadata(metadata).items()}
        with open_source(local_file, self.name) as source:
            kept[SHA256] = digest(source).sha256
            source.seek(0)
            with self._aws.told(f"store {local_file.name} in bucket {bucket}"):
                self._client.upload_fileobj(
                    source, **where, ExtraArgs={"Metadata": kept}, Config=self._transfer
                )

    def pull(self, bucket: str, local_file: Path, metadata_only: bool = False) -> dict[str, str]:
        """Bring a blob to a file, whole or not at all."""
        where = self._where(bucket, check_key(local_file.name))
        found: dict[str, Any] = {}
        for _ in range(TURNS):
            found, before = self._head(bucket, where), found
            if metadata_only:
                return _own(found["Metadata"])
            if before and before["ETag"] == found["ETag"]:
                break
            if self._bring(bucket, where, local_file, found["Metadata"].get(SHA256)):
                return _own(found["Metadata"])
        raise UnavailableError(
            f"plugin {self.name}: blob {local_file.name} of bucket {bucket} is damaged: its "
            "checksum does not match. Use an older one",
            code="bucket.corrupt",
        )

    def delete(self, bucket: str, local_file: Path) -> None:
        """Delete a blob; nothing if it is absent."""
        where = self._where(bucket, check_key(local_file.name))
        with self._aws.told(f"delete {local_file.name} of bucket {bucket}"):
            self._client.delete_object(**where)

    def copy(
        self, from_file: Path, to_file: Path, from_bucket: str, to_bucket: str | None = None
    ) -> None:
        """Copy a blob with its metadata, within S3."""
        source = self._where(from_bucket, check_key(from_file.name))
        goal = from_bucket if to_bucket is None else to_bucket
        target = self._where(goal, check_key(to_file.name))
        # a copy in parts, of a large blob, would lose metadata that is not given again
        metadata = self._head(from_bucket, source)["Metadata"]
        extra = {"Metadata": metadata, "MetadataDirective": "REPLACE"}
        with self._aws.told(f"copy {from_file.name} from {from_bucket} to {goal}"):
            self._client.copy(source, **target, ExtraArgs=extra, Config=self._transfer)

    def list(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys of a bucket, sorted, page by page."""
        where = self._where(bucket, "")
        start = where["Key"]
        keys: list[str] = []
        with self._aws.told(f"list bucket {bucket}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=where["Bucket"], Prefix=start + check_prefix(prefix), Delimiter="/"
            )
            for page in pages:
                keys += [one["Key"][len(start) :] for one in page.get("Contents", ())]
        return sorted(key for key in keys if key)

    @property
    def _client(self) -> Any:
        return self._aws.client("s3")

    @cached_property
    def _transfer(self) -> Any:
        """Few parts at once: each takes a thread and some memory of the manager."""
        from boto3.s3.transfer import TransferConfig  # noqa: PLC0415  # see aws

        part = 16 * 1024**2
        return TransferConfig(
            max_concurrency=3,
            multipart_threshold=part,
            multipart_chunksize=part,
            num_download_attempts=self.settings.attempts,
        )

    def _where(self, bucket: str, key: str) -> dict[str, str]:
        name, _, prefix = self.settings.buckets.get(check_bucket(bucket), bucket).partition("/")
        prefix = prefix.strip("/")
        return {"Bucket": name, "Key": f"{prefix}/{key}" if prefix else key}

    def _head(self, bucket: str, where: dict[str, str]) -> dict[str, Any]:
        try:
            with self._aws.told(f"find {where['Key']} in bucket {bucket}"):
                found: dict[str, Any] = self._client.head_object(**where)
        except NotFoundError:
            raise NotFoundError(
                f"plugin {self.name}: bucket {bucket} ({where['Bucket']} of S3) has no blob "
                f"{where['Key']}, or there is no such bucket",
                code="bucket.absent",
            ) from None
        return found

    def _bring(self, bucket: str, where: dict[str, str], target: Path, sha256: str | None) -> bool:
        """Bring a blob; return whether it is right, and leave nothing behind if not.

        A blob of somebody else's has no checksum of ours: then S3's own must do.
        """
        try:
            with arriving(target) as part:
                with (
                    part.open("wb") as stream,
                    self._aws.told(f"bring {target.name} of bucket {bucket}"),
                ):
                    self._client.download_fileobj(**where, Fileobj=stream, Config=self._transfer)
                    stream.flush()
                    os.fsync(stream.fileno())
                with part.open("rb") as stream:
                    if sha256 is not None and digest(stream).sha256 != sha256:
                        raise _MismatchError
        except _MismatchError:
            return False
        except OSError as error:
            what = f"plugin {self.name} cannot write {target}: {error.strerror}"
            if error.errno in FULL:
                raise NoRoomError(f"{what}. Free space there", code="bucket.no_room") from error
            raise UnavailableError(
                f"{what}. See that the folder can be written", code="bucket.disk"
            ) from error
        return True


class _MismatchError(Exception):
    """What came has another checksum."""


def _own(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata that was given with a push."""
    return {
        name: unquote(value) for name, value in metadata.items() if not name.startswith(RESERVED)
    }
