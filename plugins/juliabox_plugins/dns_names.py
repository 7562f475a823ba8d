"""Names of hosts, checked before they go into a zone."""

from __future__ import annotations

import re

from juliabox_ext.errors import RequestError

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})+")


def check_host(name: str) -> str:
    """Return a name of a host in small letters, without a last dot; else ``RequestError``."""
    plain = name.lower().removesuffix(".")
    if len(plain) > 253 or not _NAME.fullmatch(plain):
        raise RequestError(
            f"{name[:253]!r} is no name of a host, such as box-1.example.org", code="dns.name"
        )
    return plain
