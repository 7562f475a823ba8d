"""The OpenAPI document of an API, and the schemas of Julia's types."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from juliabox_services.api.julia_types import in_address, parameters, schema_of
from juliabox_services.api.models import Argument, Function, Method, Options, Version
from juliabox_services.api.openapi import Documents, document
from support.api_front import FrontStand, taking


def rows(items: dict[str, Any] | None = None) -> dict[str, Any]:
    row = {"type": "array", **({"items": items} if items else {})}
    return {"type": "array", "items": row, "description": "Its rows, which are of one length."}


STRING = {"type": "string"}
SYMBOL = {"type": "string", "pattern": "^[^\\u0000]*$"}
INT = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
TYPES: dict[str, Any] = {
    "Any": {},
    "Int64": INT,
    "UInt8": {"type": "integer", "minimum": 0, "maximum": 255},
    "Integer": {"type": ["integer", "boolean"]},
    "Float64": {"type": "number"},
    "Real": {"type": ["number", "boolean"]},
    "Bool": {"type": "boolean"},
    "String": {"type": "string"},
    "Nothing": {"type": "null"},
    "Union{Nothing, Int64}": {"anyOf": [{"type": "null"}, INT]},
    "Union{Nothing,String}": {"anyOf": [{"type": "null"}, {"type": "string"}]},
    "Union{Int64, Any}": {},
    "Array{Int64,1}": {"type": "array", "items": INT},
    "Vector{Array{Bool, 1}}": {"type": "array", "items": schema_of("Vector{Bool}")},
    "Array{Int64,2}": rows(INT),
    "Matrix{Float64}": rows({"type": "number"}),
    "AbstractMatrix{Bool}": rows({"type": "boolean"}),
    "Array{T,2} where T": rows(),
    "Array{T,2} where T<:Real": rows({"type": ["number", "boolean"]}),
    "Matrix": rows(),
    "Array{Array{Int64,2},1}": {"type": "array", "items": rows(INT)},
    "Float32": {"type": "number", "minimum": -3.4028234663852886e38,
                "maximum": 3.4028234663852886e38},
    "Symbol": SYMBOL,
    "Dates.DateTime": {"type": "string", "format": "date-time"},
    "Array{Int64,3}": {},
    "Array{T,1} where T": {"type": "array"},
    "Array{T,1} where T<:Real": {"type": "array", "items": {"type": ["number", "boolean"]}},
    "Vector{<:AbstractString}": {"type": "array", "items": {"type": "string"}},
    "Array{Array{T,1} where T,1}": {"type": "array", "items": {"type": "array"}},
    "Dict{K,V} where {K, V<:Integer}": {"type": "object",
                                        "additionalProperties": {"type": ["integer", "boolean"]}},
    "AbstractArray{T,1} where T": {"type": "array"},
    "Array": {"type": "array"},
    "Dict": {"type": "object"},
    "Dict{String,Any}": {"type": "object"},
    "Dict{String,Int64}": {"type": "object", "additionalProperties": INT},
    "AbstractDict": {"type": "object"},
    "Dict{Symbol,Any}": {"type": "object", "propertyNames": {"pattern": "^[^\\u0000]*$"}},
    "Dict{Char,Bool}": {"type": "object", "propertyNames": {"minLength": 1, "maxLength": 1},
                        "additionalProperties": {"type": "boolean"}},
    "Dict{Int64,Any}": {"type": "object",
                        "propertyNames": {"pattern": "^(0|-?[1-9][0-9]{0,17})$"}},
    "Dict{UInt8,Any}": {"type": "object", "propertyNames": {"pattern": "^(0|[1-9][0-9]{0,1})$"}},
    "Dict{Integer,Any}": {"type": "object",
                          "propertyNames": {"pattern": "^(0|-?[1-9][0-9]{0,17})$"}},
    "Dict{Bool,Any}": {"type": "object", "maxProperties": 0},
    "Dict{Union{Int64,String},Any}": {"type": "object"},
    "Complex{Float64}": {},
    "Tuple{Int64,Bool}": {"type": "array", "prefixItems": [INT, {"type": "boolean"}],
                          "minItems": 2, "maxItems": 2},
    "Tuple": {"type": "array"},
    "Tuple{}": {"type": "array", "minItems": 0, "maxItems": 0},
    "Tuple{Array{Int64,2},Symbol}": {"type": "array", "prefixItems": [rows(INT), SYMBOL],
                                     "minItems": 2, "maxItems": 2},
    "Tuple{Bool,Vararg{String,N} where N}": {"type": "array", "prefixItems": [{"type": "boolean"}],
                                             "minItems": 1, "items": STRING},
    "Tuple{Vararg{Int64,N}} where N": {"type": "array", "minItems": 0, "items": INT},
    "Tuple{Vararg{Any}}": {"type": "array", "minItems": 0},
    "NTuple{2, Bool}": {"type": "array", "items": {"type": "boolean"},
                        "minItems": 2, "maxItems": 2},
    "NTuple{N, Bool} where N": {"type": "array", "items": {"type": "boolean"}},
    "Dates.Date": {"type": "string", "format": "date"},
    "Main.Date": {},
    "MyModule.Thing": {},
    "": {},
    "{": {},
    "Union{}": {},
    "Union{Int64": {},
}  # fmt: skip


@pytest.mark.parametrize(("kind", "schema"), TYPES.items(), ids=list(TYPES))
def test_a_type_has_a_schema(kind: str, schema: object) -> None:
    assert schema_of(kind) == schema


@pytest.mark.parametrize(
    "kind",
    [
        "Vector{" * 20_000 + "}" * 20_000,
        "Vector{" * 60 + "}" * 60,
        "NTuple{999," * 30 + "Bool" + "}" * 30,
        " where ".join(["A0", *(f"A{n}<:Tuple{{A{n + 1},A{n + 1}}}" for n in range(25))]),
        "Tuple{" + "T," * 200 + "} where T<:Tuple{" + "Int64," * 200 + "}",
    ],
    ids=["long", "deep", "many", "bounds", "uses"],
)
def test_a_type_that_is_made_to_be_large_is_told_in_part(kind: str) -> None:
    assert len(str(schema_of(kind))) < 30_000


def test_parameters_of_a_type_are_told_apart() -> None:
    assert parameters("Dict{String,Union{Int64, Nothing}}") == ["String", "Union{Int64, Nothing}"]
    assert parameters("Int64") == []


def test_an_address_carries_no_arrays_and_no_objects() -> None:
    assert in_address(schema_of("Array{Int64,1}")) == {}
    assert in_address(schema_of("Union{Int64,Array{Int64,1}}")) == INT
    assert in_address(schema_of("Integer")) == schema_of("Integer")
    assert "array" not in in_address({})["type"]


def version(*functions: Function, **options: Any) -> Version:
    return Version(
        publisher="ada@x", api="sums", version=3, source="", functions=list(functions),
        saved=0, saved_by="ada", options=Options(**options),
    )  # fmt: skip


def paths(*functions: Function) -> dict[str, Any]:
    found: dict[str, Any] = document(version(*functions), "/services/api/")["paths"]
    return found


def body(operation: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema


def admits(schema: dict[str, Any], value: object) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def test_a_function_of_one_argument_has_two_paths() -> None:
    found = paths(taking("fib", "Int64", doc="Add up.\n\nMore."))
    assert set(found) == {"/fib", "/fib/{x1}"}
    assert set(found["/fib"]) == {"post"}
    assert set(found["/fib/{x1}"]) == {"get", "post"}
    get = found["/fib/{x1}"]["get"]
    assert (get["summary"], get["description"]) == ("Add up.", "Add up.\n\nMore.")
    assert get["parameters"] == [
        {"name": "x1", "in": "path", "required": True,
         "content": {"application/json": {"schema": INT}}}
    ]  # fmt: skip
    schema = body(found["/fib"]["post"])
    assert admits(schema, [30]) and admits(schema, 30)
    for refused in ([], [1, 2], ["a"], "a", {}, [None], None):
        assert not admits(schema, refused), refused


def test_a_function_without_arguments_is_told_with_get_and_post() -> None:
    found = paths(taking("now", keywords=("zone",)))
    assert set(found) == {"/now"}
    assert [one["name"] for one in found["/now"]["get"]["parameters"]] == ["zone"]
    post = found["/now"]["post"]
    assert post["requestBody"]["required"] is False
    schema = body(post)
    assert admits(schema, {}) and admits(schema, {"zone": "UTC"}) and admits(schema, [])
    assert not admits(schema, {"other": 1})


def test_a_keyword_is_told_of_the_address_or_of_the_body_not_of_both() -> None:
    found = paths(taking("now", keywords=("zone",)), taking("at", "Int64", keywords=("zone",)))
    assert "parameters" not in found["/now"]["post"]
    assert "parameters" in found["/at"]["post"]
    assert not admits(body(found["/at"]["post"]), {"zone": "UTC"})


def test_where_a_keyword_must_be_in_the_body_it_is_an_object() -> None:
    keywords = [Argument(name="key", type="Int64")]
    methods = [Method(keywords=keywords), Method(arguments=[Argument(name="a")], keywords=keywords)]
    post = paths(Function(name="f", methods=methods))["/f"]["post"]
    assert post["requestBody"]["required"] is True
    assert admits(body(post), {"key": 1})
    assert not any(admits(body(post), one) for one in ([], [1], 1, {}))


def test_methods_of_several_numbers_of_arguments_have_paths_each() -> None:
    methods = [Method(arguments=[Argument(name="a", type=kind)] * count)
               for kind, count in (("Int64", 1), ("String", 1), ("Any", 3))]  # fmt: skip
    found = paths(Function(name="f!", methods=methods))
    assert set(found) == {"/f!", "/f!/{a}", "/f!/{a}/{argument2}/{argument3}"}
    one = found["/f!/{a}"]["get"]["parameters"][0]["content"]["application/json"]["schema"]
    assert one == {"anyOf": [INT, {"type": "string"}]}


def test_an_argument_that_no_address_can_carry_is_for_bodies_alone() -> None:
    found = paths(taking("total", "Array{Float64,1}"))
    assert set(found) == {"/total"}
    schema = body(found["/total"]["post"])
    assert admits(schema, [[1.5]])
    assert not admits(schema, [1.5])


def test_further_arguments_are_told() -> None:
    method = Method(arguments=[Argument(name="a", type="Int64")], more=True, more_type="String")
    found = paths(Function(name="join", methods=[method]))
    assert set(found) == {"/join", "/join/{a}", "/join/{a}/{argument2}"}
    schema = body(found["/join"]["post"])
    for admitted in ([1], [1, "a"], [1, "a", "b"], 1):
        assert admits(schema, admitted), admitted
    for refused in ([], ["a"], [1, 2], [1, "a", 2], "a"):
        assert not admits(schema, refused), refused
    parameters = found["/join/{a}/{argument2}"]["get"]["parameters"]
    assert [one["content"]["application/json"]["schema"] for one in parameters] == [INT, STRING]


def test_a_function_of_any_arguments_is_told_with_none_one_and_all_of_them() -> None:
    found = paths(Function(name="total", methods=[Method(more=True, more_type="Float64")]))
    assert set(found) == {"/total", "/total/{argument1}"}
    schema = body(found["/total"]["post"])
    assert all(admits(schema, one) for one in ([], [1.5], [1, 2, 3], 1.5, {}))
    assert not admits(schema, [1, "a"]) and not admits(schema, "a")


def test_a_keyword_that_must_be_given_is_told() -> None:
    keywords = [Argument(name="n", type="Int64"), Argument(name="m", required=False)]
    method = Method(arguments=[Argument(name="a")], keywords=keywords)
    item = paths(Function(name="f", methods=[method]))["/f/{a}"]
    needed = {one["name"]: one["required"] for one in item["get"]["parameters"]}
    assert needed == {"a": True, "n": True, "m": False}
    assert item["post"]["requestBody"]["required"] is True
    assert not admits(body(item["post"]), {"m": 1})
    assert admits(body(item["post"]), {"n": 1, "m": [1]})


def test_a_function_of_which_nothing_is_known_may_be_given_anything() -> None:
    found = paths(Function(name="f"))
    assert set(found["/f"]) == {"get", "post"}
    assert admits(body(found["/f"]["post"]), {"any": [1]})


def test_tokens_are_told_of_unless_the_api_is_public() -> None:
    assert "security" not in document(version(access="public"), "/")
    found = document(version(), "/")
    assert found["security"] == [{"token": []}]
    assert found["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_each_reference_within_the_document_leads_somewhere() -> None:
    found = document(version(taking("f", "Int64")), "/services/api/")
    seen = 0

    def follow(node: object) -> None:
        nonlocal seen
        if isinstance(node, dict):
            if "$ref" in node:
                seen += 1
                place: Any = found
                for part in node["$ref"].removeprefix("#/").split("/"):
                    place = place[part]
            for one in node.values():
                follow(one)
        elif isinstance(node, list):
            for one in node:
                follow(one)

    follow(found)
    assert seen > 20
    assert found["servers"] == [{"url": "/services/api/ada%40x/sums"}]


def test_a_document_is_written_once_and_the_last_ones_are_kept() -> None:
    documents = Documents(most=2)
    first, second, third = (
        msgspec.structs.replace(version(taking("f", "Int64")), version=number)
        for number in (1, 2, 3)
    )
    written = documents.of(first, "/services/api/")
    assert json.loads(written) == document(first, "/services/api/")
    assert documents.of(first, "/services/api/") is written
    for one in (second, third):
        documents.of(one, "/services/api/")
    assert documents.of(first, "/services/api/") is not written
    other = msgspec.structs.replace(first, functions=[taking("g")])
    assert b"/g" in documents.of(other, "/services/api/")


# -- over HTTP -------------------------------------------------------------------------------------


async def test_the_document_is_for_who_may_call(stand: FrontStand) -> None:
    stand.publish("ada/hers", taking("echo", "Int64"), access="users")
    refused = await stand.get("ada/hers/openapi.json")
    assert (refused.status_code, refused.json()["code"]) == (401, "api.login")
    answer = await stand.get("ada/hers/openapi.json", stand.hub.token("bob"))
    assert answer.status_code == 200
    assert answer.json()["info"]["title"] == "ada/hers"
    assert (await stand.get("ada/none/openapi.json")).status_code == 404
    for method, code in (("POST", "api.method"), ("QUERY", "http.405")):
        refused = await stand.ask(method, "ada/hers/openapi.json")
        assert (refused.status_code, refused.json()["code"]) == (405, code)


async def test_an_api_describes_itself_to_programs_and_leads_browsers_to_the_portal(
    stand: FrontStand,
) -> None:
    for path in ("ada/sums/", "ada/sums"):
        told = (await stand.get(path)).json()
        assert told["openapi"] == "/services/api/ada/sums/openapi.json"
        assert "echo" in told["functions"]
        page = await stand.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
        assert page.status_code == 302
        assert page.headers["Location"] == "/services/portal/apis/ada/sums"


async def test_the_root_tells_programs_and_browsers_where_to_go(stand: FrontStand) -> None:
    assert (await stand.get("")).json() == {"interface": "/services/api/_/"}
    page = await stand.get("", headers={"Accept": "text/html"})
    assert page.headers["Location"] == "/services/portal/apis"
    assert (await stand.ask("POST", "")).status_code == 405


async def test_a_browser_is_never_led_to_another_host(stand: FrontStand) -> None:
    for path in ("%2F%2Fevil.example/x/", "evil.example%0d%0aX:%20y/x/", "..%2f..%2f/x/"):
        page = await stand.get(path, headers={"Accept": "text/html"})
        assert page.status_code == 302
        assert page.headers["Location"].startswith("/services/portal/apis/")
        assert "X" not in page.headers or page.headers["X"] != "y"
