"""Names of buckets and blobs, and metadata: what every bucket store of JuliaBox admits.

The rules are those that S3 and a folder can both keep, so that one may replace the other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from juliabox_ext.errors import RequestError

#: Bytes of a key, and of all metadata as S3 counts them; S3 admits 2048, of which we need some.
MAX_KEY = 200
MAX_METADATA = 1900

#: Metadata that stores keep themselves.
RESERVED = "juliabox-"

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_METADATA = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")


def check_bucket(bucket: str) -> str:
    """Return a bucket's name; raise ``RequestError`` if it is none."""
    if not _BUCKET.fullmatch(bucket):
        raise RequestError(
            f"{bucket[:100]!r} is no bucket's name: 3 to 63 small letters, digits and dashes, a "
            "letter or digit at both ends",
            code="bucket.name",
        )
    return bucket


def key_of(file: Path) -> str:
    """Return the key of a local file; raise ``RequestError`` if its name cannot be one."""
    return check_key(file.name)


def check_key(key: str) -> str:
    """Return a key; raise ``RequestError`` if it is none."""
    if not key or key.startswith(".") or not _fits(key):
        raise RequestError(
            f"{key[:MAX_KEY]!r} is no blob's name: 1 to {MAX_KEY} bytes without separators and "
            "control characters, the first no dot",
            code="bucket.key",
        )
    return key


def check_prefix(prefix: str) -> str:
    """Return the start of keys; raise ``RequestError`` if no key can start so."""
    return check_key(prefix) if prefix else prefix


def _fits(key: str) -> bool:
    if any(one in "/\\" or unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} for one in key):
        return False
    return len(key.encode()) <= MAX_KEY


def check_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return metadata; raise ``RequestError`` for names or sizes that no store admits."""
    found = dict(metadata or {})
    for name in found:
        if not _METADATA.fullmatch(name) or name.startswith(RESERVED):
            raise RequestError(
                f"{name[:100]!r} is no name of metadata: small letters, digits and dashes, at most "
                f"64, not starting with {RESERVED}",
                code="bucket.metadata",
            )
    try:
        size = sum(len(name) + len(encoded(value)) for name, value in found.items())
    except UnicodeEncodeError:
        raise RequestError("metadata must be text", code="bucket.metadata") from None
    if size > MAX_METADATA:
        raise RequestError(
            f"metadata takes {size} bytes, and {MAX_METADATA} are admitted", code="bucket.metadata"
        )
    return found


def encoded(value: str) -> str:
    """Return a value in characters that a header carries unchanged."""
    return quote(value, safe="")
