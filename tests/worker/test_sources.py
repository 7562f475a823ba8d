"""Sources: what is told of one that loads, and of one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from support.api_worker import Gone, Link

pytestmark = pytest.mark.engine


def by_name(functions: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {function["name"]: function for function in functions}


def test_methods_keywords_and_docstrings_are_told(fresh: Link) -> None:
    source = '''
"""
    area(width, height)

The area of a *rectangle*.
"""
area(width::Real, height::Real = 1; unit::String, scale = 1.0) = width * height * scale

many(first, rest...; more...) = first
only_floats(values::Vector{T}) where {T<:AbstractFloat} = sum(values)
unnamed(::Int) = 1
@inline short(x)::Int = x
push_it!(x) = x
struct Point; x::Int; end
'''
    names = ["area", "many", "only_floats", "unnamed", "short", "push_it!", "Point"]
    reply = fresh.load(source, *names)
    assert reply.kind == "loaded", reply.header
    found = by_name(reply.header["functions"])
    assert list(found) == names
    area = found["area"]
    assert area["doc"] == "area(width, height)\n\nThe area of a *rectangle*."
    full = max(area["methods"], key=lambda method: len(method["arguments"]))
    assert [(one["name"], one["type"]) for one in full["arguments"]] == [
        ("width", "Real"),
        ("height", "Real"),
    ]
    keywords = {one["name"]: (one["type"], one["required"]) for one in full["keywords"]}
    assert keywords == {"unit": ("String", True), "scale": ("Any", False)}
    assert sorted(len(method["arguments"]) for method in area["methods"]) == [1, 2]
    (many,) = found["many"]["methods"]
    assert (many["more"], many["more_keywords"], len(many["arguments"])) == (True, True, 1)
    assert many["more_type"] == "Any"
    (floats,) = found["only_floats"]["methods"]
    assert "AbstractFloat" in floats["arguments"][0]["type"]
    assert found["unnamed"]["methods"][0]["arguments"][0]["name"] == "argument1"
    assert found["short"]["methods"][0]["arguments"][0]["name"] == "x"
    assert fresh.call("Point", 3).value == {"x": 3}
    assert fresh.call("area", 2, 3, unit="m").value == 6.0
    assert fresh.call("area", 2, unit="m").value == 2.0


@pytest.mark.parametrize(
    ("source", "code", "line", "words"),
    [
        ("f(x) = 1\n\n\ng(x) = (1 +\n", "source.syntax", 4, "incomplete"),
        ("f(x) = 1\nend\n", "source.syntax", 2, "end"),
        ("# é\nf(x) = )", "source.syntax", 2, ")"),
        ('f(x) = 1\nx = 1\nerror("stop ", x)\n', "source.error", 3, "stop 1"),
        ("f(x) = 1\n\nusing NoSuchPackage\n", "source.error", 3, "NoSuchPackage"),
        ("\nf(x) = undefined_macro\n@nothing_such f\n", "source.error", 3, "nothing_such"),
        ("g(x) = 1", "source.missing", None, "defines no function f"),
        ("f = 1", "source.missing", None, "defines no function f"),
        ("function f end", "source.missing", None, "defines no function f"),
        ("", "source.missing", None, "defines no function f"),
        ('f(x) = 1\nwhile true; println("again"); end', "source.output", 2, "prints more than"),
    ],
    ids=[
        *["incomplete", "stray-end", "after-a-comment", "error", "package", "macro"],
        *["absent", "no-function", "no-method", "empty", "endless-output"],
    ],
)
def test_a_source_that_does_not_load_is_told_with_its_line(
    fresh: Link, source: str, code: str, line: int | None, words: str
) -> None:
    reply = fresh.load(source, "f")
    assert (reply.kind, reply.header["code"]) == ("failed", code), reply.header
    assert words in reply.header["message"]
    lines = [frame["line"] for frame in reply.header["frames"]]
    assert lines[:1] == ([] if line is None else [line])


def test_an_error_deep_in_a_load_names_all_lines_of_the_source(fresh: Link) -> None:
    source = "g(x) = error(x)\nf(x) = g(x)\nconst value = f(1)\n"
    reply = fresh.load(source, "f", file="error.jl")
    assert [frame["line"] for frame in reply.header["frames"]][-1] == 3
    assert reply.header["frames"][0] == {"function": "g", "line": 1}


def test_what_a_source_prints_is_told(fresh: Link) -> None:
    reply = fresh.load('println("loading"); @info "more"; f() = 1', "f")
    assert reply.kind == "loaded"
    assert reply.header["printed"].startswith("loading\n") and "more" in reply.header["printed"]


def test_a_second_source_is_refused(fresh: Link) -> None:
    assert fresh.load("f() = 1", "f").kind == "loaded"
    reply = fresh.load("f() = 2", "f")
    assert (reply.kind, reply.header["code"]) == ("failed", "source.error")
    assert fresh.call("f").value == 1


def test_a_source_that_ends_julia_is_told(fresh: Link) -> None:
    reply = fresh.load("f() = 1\nexit(0)", "f")
    assert (reply.kind, reply.header["code"]) == ("failed", "source.error")
    assert "exit" in reply.header["message"]
    with pytest.raises(Gone):
        fresh.ask("health", {})


def test_the_standard_library_is_there_and_needs_no_home(fresh: Link) -> None:
    source = """
    using LinearAlgebra, Statistics, Random, Dates, JuliaBox
    import JuliaBox: html
    f() = (det([2.0 0; 0 3]), mean([1, 3]), homedir(), pwd(), haskey(ENV, "JULIABOX_WORKER_KEY"))
    """
    reply = fresh.load(source, "f")
    assert reply.kind == "loaded", reply.header
    assert fresh.call("f").value == [6.0, 2.0, "/tmp", "/", False]


def test_definitions_of_the_source_win_over_the_workers_own(fresh: Link) -> None:
    source = """
    struct Money; cents::Int; end
    Base.show(io::IO, money::Money) = print(io, "money")
    Base.string(money::Money) = "cents"
    Base.isempty(x::Money) = error("never")
    f() = Dict("a" => Money(3))
    g(x) = Money(x)
    """
    assert fresh.load(source, "f", "g").kind == "loaded"
    assert fresh.call("f").value == {"a": {"cents": 3}}
    assert fresh.call("g", 2).value == {"cents": 2}
