"""Headers of answers, by what a publisher chose."""

from __future__ import annotations

import pytest
from tornado.httputil import HTTPHeaders

from juliabox_services.api import answers
from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.models import Options


def test_json_is_admitted_always_and_other_kinds_by_the_api() -> None:
    assert answers.media("application/json", Options()) == "application/json"
    options = Options(content=["text/html", "image/png"])
    assert answers.media("text/html", options) == "text/html; charset=utf-8"
    assert answers.media("Text/HTML; charset=latin-1", options) == "text/html; charset=utf-8"
    assert answers.media("image/png", options) == "image/png"


@pytest.mark.parametrize(
    "kind", ["text/html", "image/svg+xml", "", "text/javascript", "image/png\r\nSet-Cookie: a=b"]
)
def test_no_other_kind_is_given(kind: str) -> None:
    with pytest.raises(CallError) as caught:
        answers.media(kind, Options(content=["image/png"]))
    assert (caught.value.code, caught.value.http_status) == ("api.result", 500)


@pytest.mark.parametrize(
    ("cache", "access", "expected"),
    [
        ("", "public", "no-store"),
        ("public, max-age=60", "public", "public, max-age=60"),
        ("public, max-age=60", "users", "private, max-age=60"),
        ("max-age=60, s-maxage=600, must-revalidate", "token", "private, max-age=60"),
        ("private, max-age=5", "listed", "private, max-age=5"),
        ("max-age=5", "users", "private, max-age=5"),
    ],
)
def test_what_is_not_for_everybody_gets_into_no_shared_cache(
    cache: str, access: str, expected: str
) -> None:
    options = Options(cache=cache, access=access)  # type: ignore[arg-type]
    assert answers.caching(options) == expected


def origin_of(origins: list[str], sent: str) -> str | None:
    headers = HTTPHeaders()
    answers.admit_origin(headers, HTTPHeaders({"Origin": sent}), origins)
    assert "Access-Control-Allow-Credentials" not in headers
    return headers.get("Access-Control-Allow-Origin")


def test_pages_of_listed_origins_alone_may_read() -> None:
    ours = "https://lab.example"
    assert origin_of([], ours) is None
    assert origin_of([ours], ours) == ours
    assert origin_of([ours], "https://lab.example.evil.example") is None
    assert origin_of([ours], "http://lab.example") is None
    assert origin_of([ours], "null") is None
    assert origin_of(["*"], "https://any.example") == "*"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/event-stream", True),
        ("application/json, text/event-stream;q=0.5", True),
        ("text/event-stream;q=0", False),
        ("*/*", False),
        ("", False),
        ("text/event-streams", False),
    ],
)
def test_events_are_for_who_names_them(accept: str, expected: bool) -> None:
    assert answers.wants_events(accept) is expected


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("", (False, 0.0)),
        ("respond-async", (True, 0.0)),
        ("Respond-Async, wait=10", (True, 10.0)),
        ('wait="3", respond-async; foo=1', (True, 3.0)),
        ("respond-async, wait=-1", (True, 0.0)),
        ("respond-async, wait=99999999", (True, 0.0)),
        ("return=minimal", (False, 0.0)),
    ],
)
def test_preferences_are_read(prefer: str, expected: tuple[bool, float]) -> None:
    assert answers.preferences(prefer) == expected
