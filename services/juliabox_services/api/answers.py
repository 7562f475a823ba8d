"""Headers of answers that follow from what a version's publisher chose."""

from __future__ import annotations

from collections.abc import Sequence

from tornado.httputil import HTTPHeaders

from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.models import Options

JSON = "application/json"
EVENTS = "text/event-stream"

#: What a page of another site may send, and may see of an answer.
_SENDS = "Authorization, Content-Type, Prefer"
_SEES = "Location, Preference-Applied, Retry-After, X-Request-Id"
_PREFLIGHT_SECONDS = "600"

#: Directives of caches that are for more than one person.
_SHARED = ("public", "s-maxage", "must-revalidate", "proxy-revalidate")


def media(kind: str, options: Options) -> str:
    """Return the ``Content-Type`` of an answer of this kind.

    It is one of a closed list, never text of a function. Raise :class:`CallError` (``api.result``)
    for a kind that the API does not admit.
    """
    bare = kind.partition(";")[0].strip().lower()
    if bare == JSON:
        return JSON
    for admitted in options.content:
        if bare == admitted:
            return f"{admitted}; charset=utf-8" if admitted.startswith("text/") else admitted
    raise CallError(
        f"The function gives {bare[:60]!r}, which is not among the contents of this API",
        code="api.result",
        status=500,
    )


def caching(options: Options) -> str:
    """Return the ``Cache-Control`` of a good answer to GET.

    What is not for everybody never gets into a cache that people share.
    """
    if not options.cache:
        return "no-store"
    if options.access == "public":
        return options.cache
    kept = [one.strip() for one in options.cache.split(",")]
    kept = [one for one in kept if one and not one.startswith(_SHARED) and one != "private"]
    return ", ".join(["private", *kept])


def admit_origin(headers: HTTPHeaders, sent: HTTPHeaders, origins: Sequence[str]) -> bool:
    """Let pages of a listed origin read the answer; return whether the origin is listed.

    Nothing is ever admitted with credentials that a browser adds by itself.
    """
    if not origins:
        return False
    headers["Access-Control-Expose-Headers"] = _SEES
    if "*" in origins:
        headers["Access-Control-Allow-Origin"] = "*"
        return True
    headers.add("Vary", "Origin")
    origin = sent.get("Origin", "")
    if origin not in origins:
        return False
    headers["Access-Control-Allow-Origin"] = origin
    return True


def admit_methods(headers: HTTPHeaders, methods: Sequence[str]) -> None:
    """Answer the question that a browser asks before a page's request."""
    headers["Access-Control-Allow-Methods"] = ", ".join(methods)
    headers["Access-Control-Allow-Headers"] = _SENDS
    headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS


def wants_events(accept: str) -> bool:
    """Tell whether a caller asks for server-sent events."""
    for one in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        if kind == EVENTS:
            return not any(part in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for part in parameters)
    return False


def preferences(prefer: str) -> tuple[bool, float]:
    """Return whether a caller prefers a result later, and after how many seconds (RFC 7240)."""
    later, wait = False, 0.0
    for one in prefer.lower().split(","):
        name, _, value = one.partition(";")[0].strip().partition("=")
        name, value = name.strip(), value.strip().strip('"')
        if name == "respond-async":
            later = True
        elif name == "wait" and value.isascii() and value.isdigit() and len(value) < 6:
            wait = float(value)
    return later, wait
