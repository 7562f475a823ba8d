"""Test calls say what was meant, whatever the arguments are."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juliabox_ext.errors import RequestError
from juliabox_services.portal.trying import Made, make_call

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")


def read_bare(text: str) -> Any:
    """Read a value of an address by the engine's rule."""
    if _NUMBER.match(text) or text in ("true", "false", "null") or text.startswith('"'):
        return json.loads(text)
    return text


def read(made: Made) -> tuple[str, list[Any], dict[str, Any]]:
    """Return function, arguments and keywords of a call, as the engine reads it."""
    path, _, query = made.path.partition("?")
    function, *segments = path.split("/")
    arguments = [read_bare(unquote(one)) for one in segments]
    pairs = [one.partition("=") for one in query.split("&") if one]
    keywords = {unquote(name): read_bare(unquote(value)) for name, _, value in pairs}
    if made.body is not None:
        body = json.loads(made.body)
        if isinstance(body, list):
            arguments += body
        else:
            keywords.update(body)
    return function, arguments, keywords


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
AWKWARD = st.sampled_from(["", ".", "..", "30", "1e5", "null", '"', '"a"', "a/b", "?x=1&y", "ä+ %"])
VALUES = st.recursive(
    PLAIN | TEXTS | AWKWARD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.from_regex(r"[A-Za-zäß][A-Za-z0-9_!]{0,8}", fullmatch=True)


@given(st.lists(VALUES, max_size=4), st.dictionaries(NAMES, PLAIN | TEXTS | AWKWARD, max_size=3))
def test_a_call_carries_exactly_the_arguments_that_were_given(
    arguments: list[Any], keywords: dict[str, Any]
) -> None:
    texts = [json.dumps(one) for one in arguments]
    named = {name: json.dumps(one) for name, one in keywords.items()}
    made = make_call("f", texts, named)
    assert read(made) == ("f", arguments, keywords)
    assert (made.method == "GET") == (made.body is None)


@given(st.lists(PLAIN | TEXTS, max_size=3), st.dictionaries(NAMES, VALUES, max_size=3))
def test_keywords_may_be_whole_values_while_the_arguments_are_plain(
    arguments: list[Any], keywords: dict[str, Any]
) -> None:
    texts = [json.dumps(one) for one in arguments]
    made = make_call("f", texts, {name: json.dumps(one) for name, one in keywords.items()})
    assert read(made) == ("f", arguments, keywords)


@pytest.mark.parametrize(
    ("texts", "path"),
    [
        (["30"], "fib/30"),
        (["123456789012345678901234567890"], "fib/123456789012345678901234567890"),
        (["1.10"], "fib/1.10"),
        (['"ada"'], "fib/ada"),
        (['"30"'], "fib/%2230%22"),
        (['"[1]"'], "fib/%5B1%5D"),
        ([" true "], "fib/true"),
        ([], "fib"),
    ],
    ids=[
        "number",
        "long",
        "as-written",
        "text",
        "number-as-text",
        "list-as-text",
        "spaces",
        "none",
    ],
)
def test_what_an_address_can_carry_is_a_get_with_the_digits_as_they_were_written(
    texts: list[str], path: str
) -> None:
    assert make_call("fib", texts, {}) == Made("GET", path, None)


def test_what_is_too_long_for_an_address_goes_in_the_body() -> None:
    made = make_call("f", [json.dumps("x" * 5000)], {})
    assert (made.method, made.path) == ("POST", "f")


@pytest.mark.parametrize("text", ["", "NaN", "[1", "{'a': 1}", "[" * 2000, "1 2", "\x00"])
def test_a_text_that_is_no_json_is_refused_with_the_name_of_the_argument(text: str) -> None:
    with pytest.raises(RequestError, match="argument 2") as caught:
        make_call("f", ["1", text], {})
    assert caught.value.code == "portal.try"


def test_whole_values_on_both_sides_are_refused_in_a_sentence() -> None:
    with pytest.raises(RequestError, match="not as both"):
        make_call("f", ["[1]"], {"k": "[2]"})
