"""The file from which a part of an installation reads its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from juliabox_ext.errors import ConfigurationError

T = TypeVar("T")


def read_settings(path: Path, kind: type[T], part: str) -> T:
    """Read a part's settings; raise ``ConfigurationError`` that names part, file and field."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind, dec_hook=_decode_path)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{part} settings {path}: {error}") from error


def _decode_path(kind: type, value: object) -> Path:
    """Decode the one type that msgspec does not know."""
    if kind is not Path or not isinstance(value, str):
        raise NotImplementedError(kind)
    return Path(value)
