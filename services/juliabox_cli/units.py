"""Sizes such as ``2G`` and durations such as ``1h``, as the operator writes them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_SIZE_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_DURATION_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

SIZE_FORM = "a size such as 512M, 2G or 1T (powers of 1024), or a number of bytes"
DURATION_FORM = "a duration such as 90s, 15m, 1h or 7d, or a number of seconds"


def parse_size(value: object) -> int:
    """Return the bytes that ``2G`` stands for; raise ``ValueError`` that shows the form."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", value.strip(), re.IGNORECASE)
        if match:
            return int(float(match[1]) * _SIZE_UNITS[match[2].upper()])
    raise ValueError(f"must be {SIZE_FORM}")


def parse_duration(value: object) -> int:
    """Return the seconds that ``1h`` stands for; raise ``ValueError`` that shows the form."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", value.strip())
        if match:
            return int(float(match[1]) * _DURATION_UNITS[match[2]])
    raise ValueError(f"must be {DURATION_FORM}")


def show_size(size: int) -> str:
    """Write bytes in the largest unit that fits, with at most one decimal: ``2G``, ``1.5G``."""
    for unit in ("T", "G", "M", "K"):
        factor = _SIZE_UNITS[unit]
        if size >= factor:
            return f"{size / factor:.1f}".removesuffix(".0") + unit
    return str(size)


Size = Annotated[int, BeforeValidator(parse_size)]
Duration = Annotated[int, BeforeValidator(parse_duration)]
