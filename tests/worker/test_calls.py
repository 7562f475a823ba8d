"""Calls: how arguments reach a function, and what its caller is told when it fails."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from juliabox_services.api.wire import pack
from support.api_worker import Link, Reply, api_container

pytestmark = pytest.mark.engine

SOURCE = """
using Dates

half(x::Float64) = x / 2
times(n::Int) = 2n
day(date::Date) = dayname(date)
colour(name::Symbol) = name === :red
sizes(matrix::Matrix{Float64}) = size(matrix)
count_all(values::Vector{Float64}) = length(values)
either(x::Union{Nothing,Float64}) = x === nothing ? "none" : x
join_all(first, rest...) = (first, length(rest))
total(xs::Float64...) = isempty(xs) ? 0.0 : sum(xs)
named(pair::Tuple{Symbol,Float64}) = string(pair[1], pair[2] / 2)
first_of(all::Tuple{String,Vararg{Float64}}) = (all[1], sum(all[2:end]))
prices(of::Dict{Symbol,Float64}) = sum(values(of)) / 2
moment(at::DateTime) = string(at)
numbered(of::Dict{Int,String}) = [of[key] for key in sort(collect(keys(of)))]
greet(name; greeting = "Hello", times::Int = 1) = repeat("$greeting, $(name)! ", times)
needs(; key::Float64, other = 0) = key + other
open_ended(; more...) = Dict(more)
one(x) = 1
one(x, y) = 2

function inner(x)
    x < 0 && error("negative: ", x)
    return x
end

outer(x) = 1 +
    inner(x)

with_keywords(x; by = 1) = inner(x * by) + 1
with_closure(values) = map(x -> inner(x) + 1, values)
missing_method(x) = length(x) + sqrt("a")
undefined(x) = no_such_name
endless(x) = endless(x + 1) + 1
thrower() = throw(42)
deep_task() = fetch(@async error("in a task"))
function several_tasks(x)
    @sync begin
        @async inner(x)
        @async sleep(0)
    end
end
remembered(x) = get!(task_local_storage(), :caller, x)
reals(values::AbstractVector{<:Real}, rows::Matrix{<:Real}) = (sum(values), size(rows))

struct Strange <: Exception end
Base.showerror(io::IO, ::Strange) = error("cannot be shown")
strange() = throw(Strange())

printing(n) = (for i in 1:n; println("line ", i); end; @warn("careful"); n)
by_c() = (ccall(:puts, Cint, (Cstring,), "from C"); nothing)
by_child() = (run(`echo from a child`); nothing)
function captured()
    old = stdout
    reader, writer = redirect_stdout()
    println("kept")
    redirect_stdout(old)
    close(writer)
    return read(reader, String)
end
"""
FUNCTIONS = (
    "half times day colour sizes count_all either join_all total named first_of prices moment "
    "numbered greet needs open_ended one outer with_keywords with_closure missing_method "
    "undefined endless thrower deep_task several_tasks remembered reals strange printing by_c "
    "by_child captured"
)


@pytest.fixture(scope="module")
def calls(engine: docker.DockerClient, image: str) -> Iterator[Link]:
    with api_container(engine, image) as container:
        container.release()
        link = container.link()
        loaded = link.load(SOURCE, *FUNCTIONS.split())
        assert loaded.kind == "loaded", loaded.header
        yield link


def refused(reply: Reply, code: str = "api.arguments") -> str:
    assert (reply.kind, reply.header["code"]) == ("error", code), reply
    return str(reply.header["message"])


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("half", [3], 1.5),
        ("times", [2.0], 4),
        ("day", ["2026-11-28"], "Saturday"),
        ("colour", ["red"], True),
        ("moment", ["2026-11-28"], "2026-11-28T00:00:00"),
        ("moment", ["2026-11-28T23:30:01"], "2026-11-28T23:30:01"),
        ("moment", ["2026-11-28T23:30:01.25Z"], "2026-11-28T23:30:01.25"),
        ("moment", ["2026-11-28T23:30:01.123456-01:30"], "2026-11-29T01:00:01.123"),
        ("moment", ["2026-11-28 00:30:01+01:00"], "2026-11-27T23:30:01"),
        ("numbered", [{"10": "b", "-2": "a"}], ["a", "b"]),
        ("sizes", [[[1, 2, 3], [4, 5, 6]]], [2, 3]),
        ("sizes", [[]], [0, 0]),
        ("count_all", [[]], 0),
        ("count_all", [[1, 2]], 2),
        ("either", [2], 2.0),
        ("either", [None], "none"),
        ("join_all", ["a", 1, 2], ["a", 2]),
        ("total", [], 0.0),
        ("total", [1, 2.5, 3], 6.5),
        ("named", [["a", 3]], "a1.5"),
        ("first_of", [["a", 1, 2.5]], ["a", 3.5]),
        ("prices", [{"a": 1, "b": 2.5}], 1.75),
        ("one", [1, 2], 2),
        ("reals", [[1, 2.5], [[1, 2]]], [3.5, [1, 2]]),
        ("reals", [[2**62, 2**63], [[1]]], [2**62 + 2**63, [1, 1]]),
        ("reals", [[], []], [0, [0, 0]]),
    ],
)
def test_json_values_become_what_a_method_declares(
    calls: Link, name: str, arguments: list[object], result: object
) -> None:
    assert calls.call(name, *arguments).value == result


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("half", ["a"], "half does not take arguments of types (String); it takes (Float64)"),
        ("times", [2.5], "it takes (Int64)"),
        ("times", [2**70], "it takes (Int64)"),
        ("times", [True], "it takes (Int64)"),
        ("day", ["yesterday"], "Date"),
        ("sizes", [[[1, 2], [3]]], "Float64"),
        ("one", [1, 2, 3], "one takes 1 or 2 arguments, not 3"),
        ("join_all", [], "join_all does not take"),
        ("total", [1, "a"], "it takes (Float64...)"),
        ("named", [["a"]], "named does not take"),
        ("named", [["a", True]], "named does not take"),
        ("first_of", [[]], "first_of does not take"),
        ("prices", [{"a": True}], "prices does not take"),
        ("prices", [{"\0": 1}], "prices does not take"),
        ("colour", ["\0"], "it takes (Symbol)"),
        ("moment", ["2026-02-30T00:00:00Z"], "DateTime"),
        ("moment", ["2026-11-28T00:00:00+1"], "DateTime"),
        ("numbered", [{"01": "a"}], "numbered does not take"),
        ("numbered", [{"1": "a", "+1": "b"}], "numbered does not take"),
    ],
)
def test_arguments_that_no_method_takes_are_the_callers_fault(
    calls: Link, name: str, arguments: list[object], words: str
) -> None:
    assert words in refused(calls.call(name, *arguments))


def test_keywords_are_given_by_address_and_by_body(calls: Link) -> None:
    assert calls.call("greet", "Ada", times=2).value == "Hello, Ada! Hello, Ada! "
    both = calls.ask(
        "call", {"function": "greet"}, b'["Ada"]', b'{"times":1}', b'{"greeting":"Hi"}'
    )
    assert both.value == "Hi, Ada! "
    assert calls.call("needs", key=1).value == 1.0
    assert calls.call("open_ended", b=[1], c=None).value == {"b": [1], "c": None}


@pytest.mark.parametrize(
    ("name", "keywords", "words"),
    [
        ("greet", {"volume": 1}, 'no keyword argument "volume"'),
        ("greet", {"times": "many"}, "times of greet must be of type Int64"),
        ("needs", {}, "needs the keyword argument key"),
        ("needs", {"key": "a"}, "key of needs must be of type Float64"),
    ],
)
def test_wrong_keywords_are_the_callers_fault(
    calls: Link, name: str, keywords: dict[str, object], words: str
) -> None:
    arguments = ["Ada"] if name == "greet" else []
    assert words in refused(calls.call(name, *arguments, **keywords))


def test_a_keyword_in_address_and_body_is_refused(calls: Link) -> None:
    twice = calls.ask("call", {"function": "greet"}, b'["a"]', b'{"times":1}', b'{"times":2}')
    assert "in the address and in the body" in refused(twice, "api.body")


def test_a_body_adds_arguments_if_it_is_no_object(calls: Link) -> None:
    assert calls.ask("call", {"function": "one"}, b"[1]", b"{}", b"[2]").value == 2
    assert calls.ask("call", {"function": "half"}, b"[]", b"{}", b"5").value == 2.5
    assert calls.ask("call", {"function": "half"}, b"[5]").value == 2.5


@pytest.mark.parametrize("name", ["inner", "absent", "println", ""])
def test_only_published_functions_can_be_called(calls: Link, name: str) -> None:
    refused(calls.call(name, 1))


def test_an_error_tells_julias_message_and_the_lines_of_the_source_alone(calls: Link) -> None:
    reply = calls.call("outer", -3)
    assert refused(reply, "api.error") == "negative: -3"
    lines = SOURCE.splitlines()
    found = [
        (frame["function"], lines[frame["line"] - 1].strip()) for frame in reply.header["frames"]
    ]
    assert found[0] == ("inner", 'x < 0 && error("negative: ", x)')
    assert [name for name, _ in found] == ["inner", "outer"]
    assert reply.header["seconds"] > 0 and reply.header["memory"] > 10**7


def test_lines_have_the_names_of_the_source(calls: Link) -> None:
    reply = calls.call("with_keywords", -1, by=2)
    assert [frame["function"] for frame in reply.header["frames"]] == ["inner", "with_keywords"]
    frames = calls.call("with_closure", [-1]).header["frames"]
    assert {frame["function"] for frame in frames} <= {"inner", "anonymous", "with_closure"}


@pytest.mark.parametrize(
    ("name", "arguments", "message", "line"),
    [
        ("deep_task", [], "in a task", "deep_task()"),
        ("several_tasks", [-1], "negative: -1", "x < 0 && error("),
    ],
)
def test_an_error_in_a_task_is_told_as_if_it_were_in_none(
    calls: Link, name: str, arguments: list[object], message: str, line: str
) -> None:
    reply = calls.call(name, *arguments)
    assert refused(reply, "api.error") == message
    lines = SOURCE.splitlines()
    assert line in lines[reply.header["frames"][0]["line"] - 1], reply.header["frames"]


def test_what_is_local_to_a_call_is_gone_at_the_next(calls: Link) -> None:
    assert calls.call("remembered", "ada").value == "ada"
    assert calls.call("remembered", "emmy").value == "emmy"


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("missing_method", ["abc"], "no method matching sqrt(::String)"),
        ("undefined", [1], "no_such_name not defined"),
        ("endless", [1], "StackOverflowError"),
        ("thrower", [], "42"),
        ("deep_task", [], "in a task"),
        ("strange", [], "Strange (its message cannot be shown)"),
    ],
)
def test_whatever_a_function_throws_is_told_and_the_worker_goes_on(
    calls: Link, name: str, arguments: list[object], words: str
) -> None:
    reply = calls.call(name, *arguments)
    assert words in refused(reply, "api.error")
    assert len(reply.header["frames"]) <= 20
    assert calls.call("half", 1).value == 0.5


def test_what_a_function_prints_comes_with_its_result_and_with_no_other(calls: Link) -> None:
    printed = calls.call("printing", 3).header["printed"]
    assert printed.startswith("line 1\nline 2\nline 3\n") and "careful" in printed
    assert calls.call("half", 1).header["printed"] == ""
    assert calls.call("by_c").header["printed"] == "from C\n"
    assert calls.call("by_child").header["printed"] == "from a child\n"
    assert calls.call("half", 1).header["printed"] == ""


def test_of_much_output_the_end_is_told(calls: Link) -> None:
    reply = calls.call("printing", 100_000)
    assert reply.value == 100_000
    assert len(reply.header["printed"].encode()) <= 4096
    assert "line 99999\n" in reply.header["printed"]


def test_a_function_may_capture_output_for_itself(calls: Link) -> None:
    assert calls.call("captured").value == "kept\n"
    assert calls.call("printing", 1).header["printed"].startswith("line 1")


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b"JBW1", b"1", b"call", b"{}"], "wire.version"),
        ([b"JBW2", b"1", b"leave", b"{}"], "wire.version"),
        ([b"JBW2", b"1", b"call", b"{"], "wire.version"),
        ([b"JBW2", b"1"], "wire.version"),
        ([b"JBW2", b"1", b"call", b"[]", b"[]"], "wire.version"),
        ([b"JBW2", b"1", b"call", b"{}", b"{}", b"[]"], "api.arguments"),
        ([b"JBW2", b"1", b"call", b'{"function": 1}'], "api.arguments"),
        ([b"JBW2", b"1", b"call", b'{"function": "half"}', b"[1", b"{}"], "api.arguments"),
    ],
)
def test_a_message_that_is_not_understood_is_answered(
    calls: Link, frames: list[bytes], code: str
) -> None:
    calls.socket.send(pack(frames))
    refused(calls.receive(), code)
    assert calls.call("half", 1).value == 0.5


def test_health_tells_calls_memory_and_that_a_source_is_there(calls: Link) -> None:
    before = calls.ask("health", {}).header
    calls.call("half", 1)
    after = calls.ask("health", {}).header
    assert after["calls"] == before["calls"] + 1
    assert after["loaded"] is True
    assert 50e6 < after["memory"] < 512e6
