"""Results: JSON, other kinds of content, and values one after another."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import docker
import pytest

from support.api_worker import ApiContainer, Link, api_container

pytestmark = pytest.mark.engine

#: Bytes that a result may have.
MOST = 100_000

SOURCE = r"""
using JuliaBox, Dates

result(code) = Core.eval(Main, Meta.parse(code))

struct Point
    x::Int
    name::String
end
mutable struct Node
    next::Any
end
@enum Fruit apple pear
ring() = (node = Node(nothing); node.next = node; node)
deep(n) = n == 0 ? 1 : [deep(n - 1)]

page() = JuliaBox.html("<b>é</b>")
picture() = JuliaBox.png(UInt8[0x89, 0x50, 0x4e, 0x47])
drawing() = JuliaBox.svg("<svg/>")
plain() = JuliaBox.text(12)
raw() = JuliaBox.bytes(UInt8[0, 1, 255])
table() = JuliaBox.csv([(a = 1, b = "x,y"), (a = missing, b = "say \"hi\"")])
matrix() = JuliaBox.csv([1 2; 3 4])
shown() = JuliaBox.html(Docs.doc(sum))
own(kind) = Content(kind, "data")

function channel(n)
    Channel() do items
        for i in 1:n
            put!(items, i)
        end
    end
end
squares(n) = (i^2 for i in 1:n)
listed(values) = JuliaBox.Stream(values)
breaking(n) = (i < n ? i : error("enough") for i in 1:n)
"""
FUNCTIONS = (
    "result ring deep page picture drawing plain raw table matrix shown own channel squares "
    "listed breaking"
)


@pytest.fixture(scope="module")
def container(engine: docker.DockerClient, image: str) -> Iterator[ApiContainer]:
    with api_container(engine, image) as container:
        container.release(result=MOST)
        yield container


@pytest.fixture(scope="module")
def results(container: ApiContainer) -> Link:
    link = container.link()
    loaded = link.load(SOURCE, *FUNCTIONS.split())
    assert loaded.kind == "loaded", loaded.header
    return link


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("nothing", None),
        ("missing", None),
        ("1.5f0", 1.5),
        ("Float32(1e10)", 1e10),
        ("Float16(0.5)", 0.5),
        ("big(2)^100", 2**100),
        ('big"0.1"', 0.1),
        ('big"-12345.678"', -12345.678),
        ("big(0.0)", 0.0),
        ("big(1e300)", 1e300),
        ("0x10", 16),
        ("pi", 3.141592653589793),
        ("1//3", {"num": 1, "den": 3}),
        ("1+2im", {"re": 1, "im": 2}),
        ("'ä'", "ä"),
        (":name", "name"),
        ("apple", "apple"),
        ("Int64", "Int64"),
        ('v"1.2"', "1.2.0"),
        ("Date(2026, 11, 28)", "2026-11-28"),
        ("DateTime(2026, 11, 28, 1)", "2026-11-28T01:00:00"),
        ("1:3", [1, 2, 3]),
        ('(1, "a")', [1, "a"]),
        ("Set([1])", [1]),
        ("[1 2; 3 4]", [[1, 2], [3, 4]]),
        ("zeros(1, 2, 2)", [[[0, 0], [0, 0]]]),
        ("fill(7)", 7),
        ("Int[]", []),
        ("Dict(:a => 1)", {"a": 1}),
        ("Dict(1 => 2)", {"1": 2}),
        ("Dict()", {}),
        ("(a = 1, b = (c = 2,))", {"a": 1, "b": {"c": 2}}),
        ('"a" => 1', {"a": 1}),
        ('Point(1, "p")', {"x": 1, "name": "p"}),
        ('SubString("abc", 2)', "bc"),
        (r'"\0\t\"\\\u2028/\x7f"', '\0\t"\\\u2028/\x7f'),
        ("[nothing, missing, true]", [None, None, True]),
        ("view([1, 2, 3], 2:3)", [2, 3]),
    ],
)
def test_values_of_julia_are_written_as_json(results: Link, code: str, value: object) -> None:
    reply = results.call("result", code)
    assert reply.kind == "result", reply.header
    assert reply.header["type"] == "application/json"
    assert reply.value == value


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("NaN", "no number for NaN"),
        ("[1.0, -Inf]", "no number for -Inf"),
        ("NaN32", "no number for NaN"),
        ("big(Inf)", "no number for Inf"),
        ("(a = Inf,)", "no number for Inf"),
        ("sin", "typeof(sin) cannot be written"),
        ("Main", "Module cannot be written"),
        ("stdout", "cannot be written"),
        ("Ptr{Nothing}(0)", "cannot be written"),
        (r'"\xff"', "not UTF-8"),
        ('Dict(1 => 2, "1" => 3)', "both written"),
        ("Dict([1] => 2)", "cannot be a key"),
        ("ring()", "nested deeper than 64"),
        ("deep(65)", "nested deeper than 64"),
        ('repeat("a", 200_000)', "larger than 100000 bytes"),
        ("zeros(100_000)", "larger than 100000 bytes"),
        ('JuliaBox.text(repeat("a", 200_000))', "larger than 100000 bytes"),
    ],
)
def test_a_result_that_cannot_be_written_is_told(results: Link, code: str, words: str) -> None:
    reply = results.call("result", code)
    assert (reply.kind, reply.header["code"]) == ("error", "api.result")
    assert words in reply.header["message"]


def test_nesting_up_to_the_limit_is_written(results: Link) -> None:
    assert results.call("result", "deep(64)").kind == "result"


@pytest.mark.parametrize(
    ("name", "kind", "body"),
    [
        ("page", "text/html", "<b>é</b>".encode()),
        ("picture", "image/png", base64.b64decode("iVBORw==")),
        ("drawing", "image/svg+xml", b"<svg/>"),
        ("plain", "text/plain", b"12"),
        ("raw", "application/octet-stream", b"\x00\x01\xff"),
        ("table", "text/csv", b'a,b\r\n1,"x,y"\r\n,"say ""hi"""\r\n'),
        ("matrix", "text/csv", b"1,2\r\n3,4\r\n"),
    ],
)
def test_other_content_comes_as_it_is(results: Link, name: str, kind: str, body: bytes) -> None:
    reply = results.call(name)
    assert (reply.kind, reply.header.get("type"), reply.part) == ("result", kind, body)


def test_what_shows_itself_as_html_is_rendered(results: Link) -> None:
    assert b"<p>" in results.call("shown").part


@pytest.mark.parametrize(
    "kind",
    ["", "text", "text/html\r\nSet-Cookie: a=b", 'text/html; charset="a"', "te xt/html", "é/a"],
)
def test_a_kind_of_content_that_is_no_name_is_refused(results: Link, kind: str) -> None:
    assert results.call("own", kind).header["code"] == "api.result"
    assert (
        results.call("own", "text/x-own; charset=utf-8").header["type"]
        == "text/x-own; charset=utf-8"
    )


@pytest.mark.parametrize(
    ("name", "argument", "values"),
    [
        ("channel", 3, [1, 2, 3]),
        ("squares", 4, [1, 4, 9, 16]),
        ("listed", ["a", [1]], ["a", [1]]),
        ("squares", 0, []),
    ],
)
def test_values_one_after_another_are_items(
    results: Link, name: str, argument: object, values: list[object]
) -> None:
    *items, end = results.all_of("call", {"function": name}, json_array(argument), b"{}")
    assert [item.value for item in items] == values
    assert {item.kind for item in items} <= {"item"}
    assert (end.kind, end.part) == ("end", b"")
    assert end.header["seconds"] > 0


def json_array(argument: object) -> bytes:
    import json

    return json.dumps([argument]).encode()


def test_a_stream_that_breaks_ends_in_an_error(results: Link) -> None:
    *items, end = results.all_of("call", {"function": "breaking"}, b"[3]", b"{}")
    assert [item.value for item in items] == [1, 2]
    assert (end.kind, end.header["code"], end.header["message"]) == ("error", "api.error", "enough")
    assert results.call("plain").kind == "result"


# seconds; after three, what is under way is full and the worker waits for the reader
@pytest.mark.parametrize("wait", [0, 3])
def test_a_reader_that_goes_away_in_a_stream_leaves_the_worker_to_others(
    results: Link, container: ApiContainer, wait: float
) -> None:
    other = container.link()
    other.send("call", {"function": "squares"}, b"[100000000]", b"{}")
    assert other.receive().kind == "item"
    time.sleep(wait)
    other.close()
    container.links.remove(other)
    assert results.call("plain").kind == "result"
