"""Addresses of calls: what is published by whom, the function, its arguments and keywords.

``<publisher>/<api>/<function>/<argument>…?<keyword>=<value>``. An argument or value that is a JSON
number, ``true``, ``false`` or ``null`` stands for itself, one in double quotes is a JSON string,
anything else is a text as it is. Parts are percent-encoded UTF-8.
"""

from __future__ import annotations

import contextlib
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from juliabox_ext.errors import RequestError

#: Arguments, and keywords, that an address may carry.
MOST = 100

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_WORDS = frozenset({"true", "false", "null"})
_PARTS = 3


class Address(NamedTuple):
    """What an address names; arguments and keywords are JSON."""

    publisher: str
    api: str
    function: str
    size: int
    arguments: bytes
    keywords: bytes


def read(path: str, query: str) -> Address:
    """Read the part of an address behind ``/services/api/``, and its query.

    Both are as they came: percent-encoded, every byte one character. Raise ``RequestError``
    (``api.address``) for what is no address of a call.
    """
    parts = path.split("/")
    if len(parts) > _PARTS and parts[-1] == "":
        parts.pop()  # of a slash at the end
    publisher, api, function = (text(part) for part in parts[:_PARTS])
    given = parts[_PARTS:]
    if len(given) > MOST:
        raise RequestError(f"An address carries at most {MOST} arguments", code="api.address")
    if "" in given:
        raise RequestError(
            "An argument of the address is empty: write %22%22 for an empty text",
            code="api.address",
        )
    arguments = b"[" + b",".join(value(text(part)) for part in given) + b"]"
    return Address(publisher, api, function, len(given), arguments, _keywords(query))


def _keywords(query: str) -> bytes:
    if not query:
        return b"{}"
    found: dict[str, msgspec.Raw] = {}
    for piece in query.split("&"):
        if not piece:
            continue
        name, _, given = piece.replace("+", " ").partition("=")
        keyword = text(name)
        if not keyword or keyword in found or len(found) >= MOST:
            reason = "is given twice" if keyword in found else "cannot be taken"
            raise RequestError(f"The keyword {keyword[:60]!r} {reason}", code="api.address")
        found[keyword] = msgspec.Raw(value(text(given)))
    return msgspec.json.encode(found)


def text(part: str) -> str:
    """Return what a part of an address stands for."""
    if part.isascii() and "%" not in part:
        return part
    try:
        return unquote_to_bytes(part.encode("latin-1")).decode()
    except UnicodeError:
        raise RequestError(
            "The address is not UTF-8, percent-encoded", code="api.address"
        ) from None


def value(text: str) -> bytes:
    """Return the JSON that a text of an address stands for."""
    if text in _WORDS or _NUMBER.match(text):
        return text.encode()
    if len(text) > 1 and text[0] == text[-1] == '"':
        # quotes around anything else than a JSON string are a part of the text
        with contextlib.suppress(msgspec.DecodeError, UnicodeError):
            msgspec.json.decode(text, type=str)
            return text.encode()
    return msgspec.json.encode(text)
