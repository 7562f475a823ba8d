"""Whether what a publisher chose for a version is within the operator's bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from juliabox_ext.db import RECORD_BYTES
from juliabox_ext.db_records import to_json
from juliabox_ext.errors import RequestError
from juliabox_services.api.models import SOURCE_BYTES, ApiName, Options, Version
from juliabox_services.api.settings import Bounds

#: Bytes of signatures and docstrings of one version.
FUNCTIONS_BYTES = 100_000
#: Bytes of source, functions and options as a database keeps them; names and notes take the rest.
VERSION_BYTES = RECORD_BYTES - 10_000
#: Characters of the name of a user or a group, in a list.
_NAME = 200
#: Bytes of memory that a container has at least, and for each of its workers: while it starts and
#: loads a small source a Julia takes 145 MiB, seen with one to six of them.
LEAST_MEMORY = 256 * 1024**2
WORKER_MEMORY = 160 * 1024**2
#: More than anybody can mean: calls in a minute, and calls of one container.
_MOST_RATE = 10_000_000
_MOST_CALLS = 10**12


def demand_name(api: str) -> None:
    """Raise ``RequestError`` (``api.name``) for what is no name of an API."""
    try:
        msgspec.convert(api, ApiName)
    except msgspec.ValidationError:
        raise RequestError(
            f"{api[:60]!r} is no name of an API: up to 40 of a-z, 0-9 and -, a letter first",
            code="api.name",
        ) from None


def demand_source(source: str) -> None:
    """Raise ``RequestError`` (``api.source``) for what cannot be a source at all."""
    try:
        size = len(source.encode())
    except UnicodeEncodeError:
        raise RequestError("The source is not proper Unicode", code="api.source") from None
    if size > SOURCE_BYTES:
        raise RequestError(
            f"The source has {size} bytes; an API's has at most {SOURCE_BYTES}", code="api.source"
        )
    if "\0" in source:
        raise RequestError("The source has a NUL in it", code="api.source")


def demand_size(version: Version) -> None:
    """Raise ``RequestError`` (``api.source``) for a version that no database takes as a whole."""
    size = len(msgspec.json.encode(version.functions))
    if size > FUNCTIONS_BYTES:
        raise RequestError(
            f"Signatures and docstrings of the functions take {size} bytes, over "
            f"{FUNCTIONS_BYTES}; publish fewer, or write less about them",
            code="api.source",
        )
    kept = to_json(msgspec.to_builtins([version.functions, version.options]))
    size = len(version.source.encode()) + len(kept)
    if size > VERSION_BYTES:
        raise RequestError(
            f"Source, signatures, docstrings and options take {size} bytes together, over "
            f"{VERSION_BYTES}: a character that is not ASCII takes six or twelve, except in the "
            "source. Write less about the functions, or name a group instead of many users",
            code="api.source",
        )


def demand_options(options: Options, functions: list[str], bounds: Bounds) -> None:
    """Raise ``RequestError`` (``api.options``) with all that is out of bounds."""
    wrong = list(_wrong(options, functions, bounds))
    if wrong:
        raise RequestError("; ".join(wrong), code="api.options")


def _wrong(options: Options, functions: list[str], bounds: Bounds) -> Iterator[str]:
    yield from _wrong_limits(options, bounds)
    for field in ("users", "groups"):
        for name in getattr(options, field):
            if not 0 < len(name) <= _NAME or not name.isprintable():
                yield f"{field}: {name[:60]!r} is no name"
    for origin in options.origins:
        if origin != "*" and not _is_origin(origin):
            yield f"origins: {origin[:60]!r} is no origin, such as https://example.org"
    for name in options.idempotent:
        if name not in functions:
            yield f"idempotent: {name} is not among the functions that are published"
    for field in ("content", "idempotent"):
        if len(set(getattr(options, field))) < len(getattr(options, field)):
            yield f"{field}: has something twice"
    if not all(character.isprintable() or character in "\n\t" for character in options.description):
        yield "description: has characters that cannot be shown"


def _wrong_limits(options: Options, bounds: Bounds) -> Iterator[str]:
    if options.timeout is not None and options.timeout > bounds.longest_timeout:
        yield f"timeout: at most {bounds.longest_timeout:g} seconds are allowed here"
    if options.memory is not None and options.memory > bounds.most_memory:
        yield f"memory: at most {bounds.most_memory} bytes are allowed here"
    memory = min(options.memory or bounds.memory, bounds.most_memory)
    least = max(LEAST_MEMORY, options.workers * WORKER_MEMORY)
    if memory < least:
        yield (
            f"memory: with workers={options.workers} a container needs {least} bytes at least, and "
            f"it would have {memory}"
        )
    if (options.rate or 0) > _MOST_RATE:
        yield f"rate: at most {_MOST_RATE} calls in a minute can be counted"
    if options.recycle_calls > _MOST_CALLS:
        yield f"recycle_calls: at most {_MOST_CALLS}, or 0 for never"
    most = min(bounds.containers_per_publisher, bounds.containers)
    if options.maximum is not None and options.maximum > most:
        yield f"maximum: at most {most} containers are allowed here"
    maximum = options.maximum or bounds.containers_per_api
    if options.minimum > min(maximum, most):
        yield f"minimum: must not be over the maximum, {min(maximum, most)}"


def _is_origin(text: str) -> bool:
    parts = urlsplit(text)
    return bool(
        re.fullmatch(r"https?://[a-z0-9.\[\]:-]{1,255}", text)
        and parts.hostname
        and text == f"{parts.scheme}://{parts.netloc}"
    )
