"""Names of volumes on disk."""

from __future__ import annotations

import hashlib
import re
import unicodedata

#: Characters of the readable part, and hexadecimal digits of the part that tells owners apart.
SLUG_LENGTH = 24
DIGEST_LENGTH = 24


def volume_name(owner: str) -> str:
    """Return the name of an owner's home volume: readable, safe as a file name, unique.

    The digest is taken from the owner's exact code points, so case twins and Unicode twins stay
    apart; the full owner is kept in the volume's ``meta.json``.
    """
    plain = unicodedata.normalize("NFKD", owner).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:SLUG_LENGTH].strip("-")
    digest = hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_LENGTH]
    return f"{slug or 'user'}-{digest}"
