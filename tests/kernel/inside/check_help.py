"""Completion, documentation and completeness."""

import pytest

from conftest import Notebook


def complete(kernel: Notebook, code: str, position: int | None = None) -> tuple[list[str], str]:
    reply = kernel.ask(kernel.client.complete(code, position))
    assert reply["status"] == "ok"
    return reply["matches"], code[reply["cursor_start"] : reply["cursor_end"]]


@pytest.mark.parametrize(
    ("code", "match", "replaced"),
    [
        ("sq", "sqrt", "sq"),
        ("x = Base.Math.sinp", "sinpi", "sinp"),
        ("\\theta", "θ", "\\theta"),
        ("θβ = 1; \\bet", "\\beta", "\\bet"),
        ('"ü" * "🎈"; \\pi', "π", "\\pi"),
        ("😀 = 1; prin", "print", "prin"),
        ('read("/etc/host', "hostname", "host"),
    ],
)
def test_completion(kernel: Notebook, code: str, match: str, replaced: str) -> None:
    matches, text = complete(kernel, code)
    assert match in matches
    assert text == replaced


def test_completion_knows_what_cells_defined(kernel: Notebook) -> None:
    kernel.run("my_long_name = (first_field = 1,)")
    assert "my_long_name" in complete(kernel, "my_lo + 1", 5)[0]
    assert "first_field" in complete(kernel, "my_long_name.fi")[0]


@pytest.mark.parametrize("code", ["", "   ", "zzzqqq", "\\", "(", "🎈"])
def test_completion_of_nothing_is_empty_or_harmless(kernel: Notebook, code: str) -> None:
    complete(kernel, code)
    assert kernel.run("1").status == "ok"


@pytest.mark.parametrize(
    ("code", "position"), [("sum(1:3)", 2), ("sum(1, ", 7), ("θ = 1; Base.sum", 15), ("@time", 5)]
)
def test_documentation_at_the_cursor(kernel: Notebook, code: str, position: int) -> None:
    reply = kernel.ask(kernel.client.inspect(code, position))
    assert reply["found"]
    assert reply["data"]["text/markdown"]


def test_unknown_name_has_no_documentation(kernel: Notebook) -> None:
    assert not kernel.ask(kernel.client.inspect("zzzqqq", 3))["found"]


def test_question_mark_shows_documentation(kernel: Notebook) -> None:
    kernel.run('"Doubles `x`. See [`sum`](@ref).\\n\\n!!! note\\n    Mind it."\ndouble(x) = 2x')
    data = kernel.run("?double").of("display_data")[0]["content"]["data"]
    assert "Doubles `x`. See `sum`." in data["text/markdown"]
    assert "> **Note**" in data["text/markdown"]
    assert "Doubles" in data["text/plain"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("1 + 1", "complete"),
        ("function f(x)", "incomplete"),
        ("x = [1,", "incomplete"),
        ("f(x) = )", "invalid"),
        ('"""text', "incomplete"),
        ("?sum", "complete"),
        ("", "complete"),
    ],
)
def test_completeness(kernel: Notebook, code: str, status: str) -> None:
    reply = kernel.ask(kernel.client.is_complete(code))
    assert reply["status"] == status
    if code.startswith("function"):
        assert reply["indent"] == "    "


def test_kernel_describes_itself(kernel: Notebook) -> None:
    reply = kernel.ask(kernel.client.kernel_info())
    language = reply["language_info"]
    assert language["name"] == "julia"
    assert language["version"].count(".") == 2
    assert language["file_extension"] == ".jl"
    assert language["mimetype"] == "text/x-julia"


def test_comms_are_closed_at_once(kernel: Notebook) -> None:
    reply = kernel.ask(kernel.client.comm_info())
    assert reply["comms"] == {}
    message = kernel.client.session.msg("comm_open", {"comm_id": "c1", "target_name": "w"})
    kernel.client.shell_channel.send(message)
    while (seen := kernel.client.get_iopub_msg(timeout=60))["msg_type"] != "comm_close":
        pass
    assert seen["content"]["comm_id"] == "c1"
