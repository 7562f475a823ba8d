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
'''
FUNCTIONS = [
    "add", "half", "greet", "same", "flag", "total", "listed", "pair", "titled", "priced", "object",
    "page", "counted",
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


def test_schemathesis_finds_no_contradiction_and_no_error_of_the_engine(
    document: str, tmp_path: Path
) -> None:
    # an answer to a method that HTTP does not know comes before the body is read, and the proxy
    # may lose it with the connection
    (tmp_path / "schemathesis.toml").write_text(
        '[phases.coverage]\nunexpected-methods = ["DELETE", "PATCH", "PUT"]\n'
    )
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")), "run", document,
            "--checks", ",".join(CHECKS), "--max-examples", "30", "--phases",
            "examples,coverage,fuzzing", "--no-color",
        ],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=400,
    )  # fmt: skip
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
