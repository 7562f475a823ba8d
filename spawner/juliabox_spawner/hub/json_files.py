"""Small files of JSON that the hub keeps for itself."""

from __future__ import annotations

from pathlib import Path

import msgspec


def replace_json(path: Path, value: msgspec.Struct) -> None:
    """Write a file anew; a reader sees the old content or all of the new."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(value))
    fresh.replace(path)
