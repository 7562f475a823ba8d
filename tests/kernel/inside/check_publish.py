"""What `JuliaBox.source` takes from a notebook runs in a Julia of its own."""

import subprocess
from collections.abc import Callable, Iterator

import pytest

from conftest import Notebook

Gathered = Callable[..., str]


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    """One notebook for all tests, which use names of their own."""
    made = Notebook()
    yield made
    made.close()


def source(notebook: Notebook, *functions: str) -> str:
    outcome = notebook.run(f"print(JuliaBox.source({', '.join(functions)}))")
    assert outcome.status == "ok", outcome.error
    return outcome.stdout


def alone(text: str, call: str) -> str:
    """Load a source in a fresh Julia, and print what a call gives."""
    done = subprocess.run(
        ["julia", "--startup-file=no", "-e", f"include_string(Main, ARGS[1]); print({call})", text],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_function_is_taken_with_all_that_it_uses_and_nothing_more(notebook: Notebook) -> None:
    notebook.run("using Statistics\nimport Base: +\nnoise = rand(3)\nprintln(noise)")
    notebook.run("# twice the rate\nconst rate = 0.5   # per year\nlimit = 10")
    notebook.run("struct Money; amount::Float64; end")
    notebook.run("Money(text::String) = Money(parse(Float64, text))")
    notebook.run("+(a::Money, b::Money) = Money(a.amount + b.amount)")
    notebook.run('Base.show(io::IO, m::Money) = print(io, m.amount, " EUR")')
    notebook.run("macro twice(e)\n    :(2 * $(esc(e)))\nend")
    notebook.run('"""Interest."""\nfunction interest(m::Money)\n    # a comment\n    grow(m)\nend')
    notebook.run("grow(m) = (x = mean([m.amount, limit]); Money(@twice(x) * rate) + m)")
    notebook.run("unused() = noise\nx = 77")
    text = source(notebook, "interest")
    for kept in ("# twice the rate", "# per year", '"""Interest."""', "    # a comment"):
        assert kept in text
    for left_out in ("noise", "unused", "77", "println(noise)"):
        assert left_out not in text
    assert alone(text, 'interest(Money("4"))') == "11.0 EUR"


def test_what_was_defined_again_is_taken_as_it_is_now(notebook: Notebook) -> None:
    notebook.run('helper(x) = x + 1\nf(x) = helper(x)\nf(x::String) = "text"')
    notebook.run("helper(x) = x + 100")
    notebook.run("f(x) = 2 * helper(x)")
    text = source(notebook, "f")
    assert "x + 1\n" not in text and text.count("f(x) =") == 1
    assert alone(text, '(f(1), f(""))') == '(202, "text")'


def test_values_are_taken_with_what_changed_them(notebook: Notebook) -> None:
    notebook.run("table = Dict{Int,Int}()\nlist = [1]")
    notebook.run("for i in 1:3\n    table[i] = i^2\nend")
    notebook.run("push!(list, 2)")
    notebook.run("push!(list, 3); total = 1")
    notebook.run("total += 1")
    notebook.run("total = total * 10")
    notebook.run("look(i) = (table[i], list, total)")
    assert alone(source(notebook, "look"), "look(3)") == "(9, [1, 2, 3], 20)"


def test_values_that_are_given_to_several_names_at_once_are_taken(notebook: Notebook) -> None:
    notebook.run("first_one, (second_one, rest_of) = 1, (2, [3])")
    notebook.run("parts() = (first_one, second_one, rest_of)")
    assert alone(source(notebook, "parts"), "parts()") == "(1, 2, [3])"
    # a newer Julia's way
    seen = notebook.run(
        'Base.invokelatest(JuliaBox.later(:sight), Meta.parse("(; low, high) = range")).assigns'
    )
    assert seen.result is not None and ":low" in seen.result["text/plain"]


def test_cells_that_failed_are_taken_as_far_as_they_came(notebook: Notebook) -> None:
    notebook.run("base = 1\nadd(x) = x + base")
    assert notebook.run('base = 2\nerror("no")\nbase = 3').status == "error"
    assert notebook.run("base = unknown_function()").status == "error"
    assert notebook.run("base = )").status == "error"
    assert alone(source(notebook, "add"), "add(0)") == "2"


def test_a_function_and_its_publication_may_be_one_cell(notebook: Notebook) -> None:
    outcome = notebook.run("k = 3\ntriple(x) = k * x\nprint(JuliaBox.source(triple))\nk = 4")
    assert alone(outcome.stdout, "triple(2)") == "6"


def test_order_follows_need(notebook: Notebook) -> None:
    notebook.run("start = seed(2)\nvalue() = start")
    notebook.run("seed(x) = deeper(x) + 1")
    notebook.run("deeper(x) = 10x")
    notebook.run("start = seed(2)\nvalue() = start")
    assert alone(source(notebook, "value"), "value()") == "21"


def test_loops_and_evaluated_code_that_make_functions_are_taken(notebook: Notebook) -> None:
    notebook.run("scale = 5")
    notebook.run("for name in (:one, :two)\n    @eval $name(x) = scale * x\nend")
    notebook.run("both(x) = one(x) + two(x)")
    assert alone(source(notebook, "both"), "both(1)") == "10"


def test_types_enumerations_modules_and_closures(notebook: Notebook) -> None:
    notebook.run("@enum Colour red green\nabstract type Shape end")
    notebook.run("Base.@kwdef struct Square <: Shape\n    side::Int = 3\nend")
    notebook.run("(s::Square)(x) = s.side * x")
    notebook.run("module Inner\nexport inside\ninside(x) = x + 1\nend")
    notebook.run("using .Inner\nadder = let step = 2; x -> x + step; end")
    notebook.run("all_of(x) = (Int(green), Square()(x), inside(x), adder(x))")
    assert alone(source(notebook, "all_of"), "all_of(1)") == "(1, 3, 2, 3)"


def test_a_local_name_brings_no_global_of_that_name(notebook: Notebook) -> None:
    notebook.run("data = zeros(10)\ni = 3\nn = 5")
    notebook.run("tally(data; n = 1) = sum(data[i] for i in 1:length(data)) * n")
    text = source(notebook, "tally")
    assert "zeros" not in text and "i = 3" not in text and "n = 5" not in text
    assert alone(text, "tally([1, 2]; n = 2)") == "6"


def test_packages_that_the_notebook_uses_elsewhere_are_left_out(notebook: Notebook) -> None:
    notebook.run("using Pkg, Statistics\nusing Dates: Day, Date")
    notebook.run("push!(LOAD_PATH, mktempdir())\nwrite(joinpath(LOAD_PATH[end], \"Mine.jl\"), "
                 "\"module Mine\\nexport mine\\nmine() = 1\\nend\")")  # fmt: skip
    notebook.run("using Mine")
    notebook.run("later(d) = Date(2020, 1, 1) + Day(d)\nown() = mine()")
    assert "Mine" not in source(notebook, "later")
    assert "using Mine" in source(notebook, "own")
    assert alone(source(notebook, "later"), "later(1)") == "2020-01-02"


def test_functions_are_named_by_themselves_symbols_or_text(notebook: Notebook) -> None:
    notebook.run("a(x) = 1\nb(x) = 2\nc = x -> 3")
    text = source(notebook, "a", ":b", "c")
    assert alone(text, "(a(0), b(0), c(0))") == "(1, 2, 3)"
    assert source(notebook, '"a"').endswith("\n\na(x) = 1\n")


@pytest.mark.parametrize(
    ("before", "call", "message"),
    [
        ("", "JuliaBox.source()", "Name at least one function"),
        ("", "JuliaBox.source(sin)", "`sin` is not defined in a cell"),
        ("", "JuliaBox.source(:nobody)", "`nobody` is not defined in a cell"),
        ("", "JuliaBox.source(3)", "3 is no function"),
        ("", "JuliaBox.source(x -> x)", "A function without a name"),
        ("module Own; f(x) = x; end", "JuliaBox.source(Own.f)", "`f` is not defined in a cell"),
        ("4\nf() = ans", "JuliaBox.source(f)", "`ans` is used"),
        ("@eval hidden = 3\nf() = hidden", "JuliaBox.source(f)", "`hidden` is used, and no cell"),
        ("Δ(x) = x", 'JuliaBox.publish("deltas", Δ)', "`Δ` cannot stand in an address"),
        ("f() = 1", 'JuliaBox.publish("x", f; acces = "public")', "There is no option acces"),
        ("f() = 1", 'JuliaBox.publish("x", f)', "This installation has no API engine"),
    ],
)
def test_what_cannot_be_published_is_told(
    notebook: Notebook, before: str, call: str, message: str
) -> None:
    notebook.run(before)
    outcome = notebook.run(f'delete!(ENV, "JULIABOX_API_URL"); {call}')
    assert message in outcome.error
    assert "/opt/juliabox" not in outcome.error


def test_the_module_is_there_when_it_is_mentioned_and_nothing_is_said_of_that(
    fresh: Notebook,
) -> None:
    outcome = fresh.run("JuliaBox")
    print(f"{outcome.seconds:.2f} s")
    assert (outcome.result, outcome.stderr) == ({"text/plain": "JuliaBox"}, "")
    assert fresh.run("using JuliaBox; Content === JuliaBox.Content").result == {
        "text/plain": "true"
    }


def test_a_project_of_ones_own_hides_nothing(fresh: Notebook) -> None:
    fresh.run("using Pkg; Pkg.activate(mktempdir())")
    fresh.run("using Statistics\nmiddle(values) = median(values)")
    text = source(fresh, "middle")
    assert "using Pkg" not in text and "activate" not in text
    assert alone(text, "middle([1, 2, 9])") == "2.0"


def test_a_terminal_has_no_cells_to_publish_from() -> None:
    script = "using JuliaBox; f() = 1; try; JuliaBox.source(f); catch e; showerror(stdout, e); end"
    done = subprocess.run(
        ["julia", "-e", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Functions are published from a notebook" in done.stdout


def test_the_cells_of_ijulia_are_taken_too() -> None:
    script = """
    module IJulia
    const In = Dict{Int,String}()
    n = 0
    const hooks = Function[]
    push_posterror_hook(hook) = push!(hooks, hook)
    end
    using JuliaBox
    function cell(code)
        Core.eval(IJulia, :(n = $(length(IJulia.In) + 1)))
        IJulia.In[IJulia.n] = code
        try
            include_string(Main, code, "In[$(IJulia.n)]")
        catch
            foreach(hook -> Base.invokelatest(hook), IJulia.hooks)
        end
    end
    cell("k = 2; f(x) = x")
    cell("f(x) = k * x")
    cell("k = nothing_there()")
    print(Base.invokelatest(JuliaBox.source, :f))
    """
    done = subprocess.run(
        ["julia", "-e", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert alone(done.stdout, "f(4)") == "8"
    assert "nothing_there" not in done.stdout


def test_answers_that_are_no_json_show_in_the_notebook(notebook: Notebook) -> None:
    result = notebook.run('JuliaBox.html("<b>x</b>")').result
    assert result is not None and result["text/html"] == "<b>x</b>"
    result = notebook.run("JuliaBox.png(UInt8[0x89])").result
    assert result is not None and result["image/png"] == "iQ=="
    assert notebook.run("JuliaBox.text(5)").result == {"text/plain": "5"}
    assert notebook.run("sum(JuliaBox.Stream(i for i in 1:3))").result == {"text/plain": "6"}
