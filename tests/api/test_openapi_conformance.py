"""Schemathesis reads an API's own OpenAPI document and finds nothing that contradicts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.apis import PREFIX, Apis
from support.installation import Installation

pytestmark = [pytest.mark.engine, pytest.mark.timeout(420)]

#: Functions that give an answer for all that they take, so that each 500 is the engine's.
SOURCE = '''
using Dates

"""
Add two whole numbers.
"""
add(a::Int, b::Int) = a + b

half(x::Float64) = x / 2
half(x::Integer) = big(x) / 2 > 1e300 ? nothing : Float64(x) / 2

"""Greet somebody."""
greet(name::String; greeting::String = "Hello", times::Int = 1) =
    string(join(fill(greeting, clamp(times, 0, 5)), " "), ", ", name)

same(x) = x
flag(yes::Bool) = !yes
total(xs::Float64...) = isempty(xs) ? 0.0 : (s = sum(xs); isfinite(s) ? s : nothing)
listed(xs::Vector) = length(xs)
pair(of::Tuple{Symbol,Bool}) = string(of[1], of[2])
titled(title::String, flags::Bool...) = string(title, ": ", count(flags))
priced(of::Dict{String,Bool}) = count(values(of))
object(; named...) = Dict(string(key) => string(typeof(value)) for (key, value) in named)
page() = JuliaBox.html("<p>A page</p>")
counted(n::Int) = (k for k in 1:clamp(n, 0, 20))

"""Say that all keywords were taken; each is of a type of its own."""
typed(;
    symbol::Symbol = :a, char::Char = 'a', day::Date = Date(1), moment::DateTime = DateTime(1),
    small::Int8 = Int8(0), natural::UInt8 = 0x00, wide::Int128 = Int128(0),
    most::UInt64 = UInt64(0), signed::Signed = 0, unsigned::Unsigned = 0x0, whole::Integer = 0,
    large::BigInt = big(0), half::Float16 = Float16(0), single::Float32 = 0f0,
    precise::BigFloat = big(0.0), real::Real = 0, number::Number = 0,
    floating::AbstractFloat = 0.0, triple::NTuple{3,Int} = (0, 0, 0),
    first::Tuple{Char,Vararg{Symbol}} = ('a',), perhaps::Union{Nothing,Symbol} = nothing,
    missed::Union{Missing,Float64} = missing, reals::AbstractVector{<:Real} = [0],
    symbols::Vector{Symbol} = Symbol[], keyed::Dict{Symbol,Int} = Dict{Symbol,Int}(),
    numbered::Dict{Int,Bool} = Dict{Int,Bool}(), dated::Dict{Date,Char} = Dict{Date,Char}(),
    nested::Vector{Tuple{Symbol,Vector{UInt8}}} = Tuple{Symbol,Vector{UInt8}}[],
) = true
'''
FUNCTIONS = [
    "add", "half", "greet", "same", "flag", "total", "listed", "pair", "titled", "priced", "object",
    "page", "counted", "typed",
]  # fmt: skip

#: What is checked of each answer.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "positive_data_acceptance",
)


@pytest.fixture(scope="module")
def document(installation: Installation) -> Iterator[str]:
    """Address of the document of an API with functions of many kinds."""
    apis = Apis(installation)
    choices = {"minimum": 1, "maximum": 2, "content": ["text/html"]}
    with apis.published("ada", "kinds", SOURCE, FUNCTIONS, **choices):
        apis.await_answer("ada/kinds/add/1/2", 120)
        yield f"{installation.url}{PREFIX}/ada/kinds/openapi.json"


def test_the_document_is_openapi_3_1_and_names_each_function(document: str) -> None:
    told = httpx.get(document).json()
    assert told["openapi"].startswith("3.1")
    paths = " ".join(told["paths"])
    assert all(f"/{name}" in paths for name in FUNCTIONS)
    assert "Add two whole numbers." in str(told["paths"])


def contradictions(document: str, folder: Path, *options: str) -> str:
    """Return what Schemathesis says of an API that does not keep to its document."""
    # an answer to a method that HTTP does not know comes before the body is read, and the proxy
    # may lose it with the connection
    (folder / "schemathesis.toml").write_text(
        '[phases.coverage]\nunexpected-methods = ["DELETE", "PATCH", "PUT"]\n'
    )
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")), "run", document,
            "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--no-color",
            *options,
        ],
        capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout[-6000:] + done.stderr[-2000:]


def test_schemathesis_finds_no_contradiction_and_no_error_of_the_engine(
    document: str, tmp_path: Path
) -> None:
    found = contradictions(document, tmp_path, "--max-examples=30", "--generation-deterministic")
    assert not found, found


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_schemathesis_finds_none_in_what_it_draws_anew(document: str, tmp_path: Path) -> None:
    found = contradictions(document, tmp_path, "--max-examples=1000")
    assert not found, found
