"""Names that messages and DockerSpawner's own bookkeeping use for a session.

The manager is asked by owner and server, so nothing depends on these names being found again;
they are still unique for any two pairs, and safe to print.
"""

from __future__ import annotations

import hashlib
import re

_UNSAFE = re.compile(r"[^a-z0-9]+")


def session_name(owner: str, server: str) -> str:
    """Return a printable name that is unique for an owner and server.

    A readable part of at most 24 characters, then 16 hexadecimal digits of a digest over both
    names with their boundary, so that ``("a", "b-c")`` and ``("a-b", "c")`` differ.
    """
    digest = hashlib.sha256(f"{len(owner)}:{owner}/{server}".encode("utf-8", "surrogatepass"))
    readable = _UNSAFE.sub("-", f"{owner}-{server}".lower()).strip("-")[:24].strip("-")
    return f"{readable or 'session'}-{digest.hexdigest()[:16]}"
