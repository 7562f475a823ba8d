"""Results, displays, output and errors of cells."""

import itertools
import json
import re
import time
from pathlib import Path

import pytest

from conftest import Notebook


def test_result_of_the_last_expression_is_shown(kernel: Notebook) -> None:
    outcome = kernel.run("x = 2\ny = 3\nx * y")
    assert outcome.result == {"text/plain": "6"}
    assert kernel.run("ans + 1").result == {"text/plain": "7"}


@pytest.mark.parametrize("code", ["3;", "3; # seven", "nothing", "", "x = 1;"])
def test_cell_without_a_shown_result(kernel: Notebook, code: str) -> None:
    outcome = kernel.run(code)
    assert (outcome.status, outcome.result) == ("ok", None)


def test_loop_at_top_level_assigns_globals(kernel: Notebook) -> None:
    assert kernel.run("s = 0\nfor i in 1:4\n  s += i\nend\ns").result == {"text/plain": "10"}


def test_definitions_of_all_kinds_work_in_one_cell(kernel: Notebook) -> None:
    code = """
    module Inner; inside = 5; end
    struct Point; x::Int; end
    macro twice(e); :($(esc(e)) + $(esc(e))); end
    """
    outcome = kernel.run(code + "using Statistics\nInner.inside + Point(2).x + @twice 4")
    assert outcome.result == {"text/plain": "15"}


def test_unicode_names_and_text(kernel: Notebook) -> None:
    outcome = kernel.run('π̂ = "naïve · 日本語 🎈"; println(π̂); π̂')
    assert outcome.stdout == "naïve · 日本語 🎈\n"
    assert outcome.result == {"text/plain": '"naïve · 日本語 🎈"'}


@pytest.mark.parametrize(
    ("mime", "data"),
    [
        ("text/html", "<b>bold</b>"),
        ("text/markdown", "# head"),
        ("text/latex", "$x^2$"),
        ("image/svg+xml", "<svg/>"),
    ],
)
def test_rich_results_and_displays_by_type(kernel: Notebook, mime: str, data: str) -> None:
    kernel.run(
        f"struct Rich end\nBase.show(io::IO, ::MIME{json.dumps(mime)}, ::Rich) = "
        f"print(io, raw{json.dumps(data)})"
    )
    outcome = kernel.run(f"display(MIME({json.dumps(mime)}), raw{json.dumps(data)}); Rich()")
    assert outcome.of("display_data")[0]["content"]["data"] == {mime: data}
    assert outcome.result is not None
    assert outcome.result[mime] == data


def test_images_and_json_are_encoded(kernel: Notebook) -> None:
    kernel.run(
        "struct Picture end\n"
        'Base.show(io::IO, ::MIME"image/png", ::Picture) = write(io, UInt8[0x89, 0xff])\n'
        'Base.show(io::IO, ::MIME"application/json", ::Picture) = print(io, "{\\"a\\": [1]}")'
    )
    result = kernel.run("Picture()").result
    assert result is not None
    assert result["image/png"] == "if8="
    assert result["application/json"] == {"a": [1]}


def test_display_shows_in_the_middle_of_a_cell_and_in_order(kernel: Notebook) -> None:
    outcome = kernel.run('println("a"); display([1]); println("b"); display("c"); 4')
    kinds = [m["msg_type"] for m in outcome.messages]
    shown = [k for k in kinds if k not in ("status", "execute_input")]
    assert [kind for kind, _ in itertools.groupby(shown)] == [
        "stream", "display_data", "stream", "display_data", "execute_result",
    ]  # fmt: skip


def test_broken_show_does_not_fail_the_cell(kernel: Notebook) -> None:
    kernel.run('struct Bad end\nBase.show(io::IO, ::Bad) = error("no way")')
    outcome = kernel.run("after = 1\nBad()")
    assert outcome.status == "ok"
    assert outcome.result == {"text/plain": "<a Bad that cannot be shown>"}
    assert "Error showing a value of type Bad as text/plain: no way" in outcome.stderr
    assert kernel.run("after").result == {"text/plain": "1"}


def test_display_can_be_updated_and_output_cleared(kernel: Notebook) -> None:
    outcome = kernel.run(
        'JuliaBoxKernel.display_with_id(1, "bar"); JuliaBoxKernel.update_display(2, "bar")\n'
        "IJulia.clear_output(true)"
    )
    shown, updated = outcome.of("display_data")[0], outcome.of("update_display_data")[0]
    assert shown["content"]["transient"] == updated["content"]["transient"] == {"display_id": "bar"}
    assert updated["content"]["data"] == {"text/plain": "2"}
    assert outcome.of("clear_output")[0]["content"] == {"wait": True}


def test_output_comes_while_the_cell_runs(kernel: Notebook, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    outcome = kernel.until_idle(
        kernel.send(f'println("first"); while !isfile("{seen}"); sleep(0.05); end; println(2)'),
        lambda m: seen.touch() if m["msg_type"] == "stream" else None,
    )
    assert outcome.stdout == "first\n2\n"


def test_output_of_c_code_and_child_processes_is_shown(kernel: Notebook) -> None:
    outcome = kernel.run(
        'ccall(:printf, Cint, (Cstring,), "from C\\n")\nrun(`echo from echo`)\n'
        "run(`sh -c 'echo to error >&2'`);"
    )
    assert set(outcome.stdout.splitlines()) == {"from C", "from echo"}
    assert outcome.stderr == "to error\n"


def test_log_messages_go_to_standard_error(kernel: Notebook) -> None:
    assert "careful" in kernel.run('@warn "careful"').stderr


def test_output_of_a_task_after_the_cell_belongs_to_the_last_cell(
    kernel: Notebook, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"
    waiting = f'while !isfile("{ended}"); sleep(0.05); end'
    request = kernel.send(f'@async ({waiting}; println("late")); nothing')
    assert "late" not in kernel.until_idle(request).stdout
    ended.touch()
    assert "late" in kernel.late(request, "late")


def test_ten_megabytes_arrive_whole_in_few_messages_and_little_memory(kernel: Notebook) -> None:
    outcome = kernel.run('for i in 1:100_000; println("x"^99); end; println("end")')
    assert len(outcome.stdout) == 10_000_004
    assert outcome.stdout.endswith("x\nend\n")
    assert len(outcome.of("stream")) < max(20, outcome.seconds * 25)
    assert kernel_memory(kernel) < 160


def kernel_memory(kernel: Notebook) -> float:
    """MiB of the Python process."""
    pid = kernel.manager.provisioner.pid  # type: ignore[union-attr]
    with Path(f"/proc/{pid}/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def test_stream_messages_are_batched(kernel: Notebook) -> None:
    outcome = kernel.run("for i in 1:300; println(i); sleep(0.005); end")
    assert outcome.stdout.splitlines() == [str(i) for i in range(1, 301)]
    assert len(outcome.of("stream")) <= outcome.seconds * 25


def test_error_tells_name_message_and_a_trimmed_backtrace(kernel: Notebook) -> None:
    outcome = kernel.run('outer(x) = inner(x)\ninner(x) = error("boo")\nouter(1)')
    content = outcome.reply["content"]
    assert (content["status"], content["ename"], content["evalue"]) == (
        "error", "ErrorException", "boo",
    )  # fmt: skip
    plain = re.sub(r"\x1b\[[0-9;]*m", "", outcome.error)
    assert plain.startswith("ERROR: boo\nStacktrace:")
    assert [word for word in ("inner", "outer", "top-level scope") if word in plain]
    assert "juliabox" not in plain.lower()
    assert "eval" not in plain
    assert "\x1b[91m" in outcome.error
    assert outcome.of("error")[0]["content"]["traceback"] == content["traceback"]


def test_causes_of_an_error_are_shown(kernel: Notebook) -> None:
    error = kernel.run('try; error("first"); catch; error("second"); end').error
    assert error.index("second") < error.index("caused by") < error.index("first")


def test_stack_overflow_is_a_short_error(kernel: Notebook) -> None:
    outcome = kernel.run("deep(n) = deep(n + 1) + 1\ndeep(1)")
    assert outcome.reply["content"]["ename"] == "StackOverflowError"
    assert len(outcome.error) < 20_000
    assert kernel.run("1").status == "ok"


def test_syntax_error_runs_nothing(kernel: Notebook) -> None:
    outcome = kernel.run('println("ran")\nx = (1 +\n')
    assert outcome.reply["content"]["ename"] == "ParseError"
    assert "line 2" in outcome.reply["content"]["evalue"]
    assert outcome.stdout == ""


def test_error_aborts_the_cells_that_wait(kernel: Notebook, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    # and a second for the next cell to come to the kernel
    first = kernel.send(f'while !isfile("{asked}"); sleep(0.05); end; sleep(1); error()')
    second = kernel.send("1 + 1")
    asked.touch()
    assert kernel.until_idle(first).status == "error"
    assert kernel.ask(second)["status"] in ("aborted", "error")
    time.sleep(0.2)
    assert kernel.run("1").status == "ok"


def test_silent_cells_show_nothing_and_keep_the_count(kernel: Notebook) -> None:
    count = kernel.run("1").reply["content"]["execution_count"]
    silent = kernel.run('println("x"); quiet = 5', silent=True)
    assert not silent.of("stream")
    assert not silent.of("execute_result")
    reply = kernel.run("quiet").reply["content"]
    assert reply["execution_count"] == count + 1


def test_user_expressions_are_answered(kernel: Notebook) -> None:
    reply = kernel.run("a = 2", user_expressions={"good": "a + 1", "bad": "zzz"}).reply["content"]
    assert reply["user_expressions"]["good"]["data"]["text/plain"] == "3"
    assert reply["user_expressions"]["bad"]["status"] == "error"


def test_shell_lines_and_package_lines(kernel: Notebook) -> None:
    outcome = kernel.run(";cd /tmp\n;echo $((20+3)) | cat\nbasename(pwd())")
    assert outcome.stdout.splitlines() == ["/tmp", "23"]
    assert outcome.result == {"text/plain": '"tmp"'}
    assert "Status" in kernel.run("]st").stdout


def test_include_runs_a_file(kernel: Notebook) -> None:
    kernel.run('write("/tmp/part.jl", "from_file = 6\\nfrom_file * 7")')
    assert kernel.run('include("/tmp/part.jl")').result == {"text/plain": "42"}
    outcome = kernel.run('write("/tmp/part.jl", "\\nerror(1)"); include("/tmp/part.jl")')
    assert "/tmp/part.jl:2" in re.sub(r"\x1b\[[0-9;]*m", "", outcome.error)


def test_wide_results_are_cut_to_a_screen(kernel: Notebook) -> None:
    result = kernel.run("rand(1000, 1000)").result
    assert result is not None
    lines = result["text/plain"].splitlines()
    assert len(lines) < 40
    assert max(itertools.chain(map(len, lines))) <= 100


def test_flood_of_displays_arrives_whole(kernel: Notebook) -> None:
    outcome = kernel.run("for i in 1:500; println(i); display(i); end")
    assert len(outcome.of("display_data")) == 500
    texts = [m["content"].get("text") or m["content"]["data"]["text/plain"] + "\n"
             for m in outcome.messages if m["msg_type"] in ("stream", "display_data")]  # fmt: skip
    assert "".join(texts).split() == [str(i) for i in range(1, 501) for _ in range(2)]
