# Cells: from their text to a result or an error.

"""Cells run with the REPL's scope rule: a loop at top level may assign globals."""
function soft_scope(expression)
    expression isa Expr || return expression
    expression.head in (:meta, :import, :using, :export, :module, :error, :incomplete, :thunk) &&
        return expression
    expression.head === :global && all(name -> name isa Symbol, expression.args) &&
        return expression
    return Expr(:block, Expr(:softscope, true), with_safepoints(expression))
end

"""
Make each loop that stands at top level a place where an interrupt can arrive. Julia puts no
such place in a loop that allocates nothing; loops in functions stay untouched, for speed.
"""
function with_safepoints(expression)
    expression isa Expr || return expression
    if expression.head in (:for, :while)
        test, body = expression.args
        safepoint = Expr(:call, GlobalRef(GC, :safepoint))
        return Expr(expression.head, test, Expr(:block, safepoint, with_safepoints(body)))
    elseif expression.head in (:block, :if, :elseif, :let, :try)
        return Expr(expression.head, map(with_safepoints, expression.args)...)
    end
    return expression
end

"""Split a cell in statements, each with the line it starts at. A syntax error runs nothing."""
function statements(code::AbstractString, filename::AbstractString)
    parsed = Base.parse_input_line(code; filename = filename)
    parsed === nothing && return Any[]
    arguments = Meta.isexpr(parsed, :toplevel) ? parsed.args : Any[parsed]
    found = Any[]
    line = LineNumberNode(1, Symbol(filename))
    for argument in arguments
        if argument isa LineNumberNode
            line = argument
            continue
        elseif Meta.isexpr(argument, (:error, :incomplete))
            throw(syntax_error(argument, code))
        end
        push!(found, Expr(:toplevel, line, soft_scope(argument)))
    end
    return found
end

struct ParseError <: Exception
    message::String
    line::Int
end

Base.showerror(io::IO, exception::ParseError) =
    print(io, "syntax: ", exception.message, " (in what starts at line ", exception.line, ")")

syntax_error(argument::Expr, code::AbstractString) =
    argument.args[1] isa Exception ? argument.args[1] :
    ParseError(string(argument.args...), failing_line(code))

"""The line at which the statement that cannot be parsed starts."""
function failing_line(code::AbstractString)
    position = 1
    while position <= ncodeunits(code)
        start = position
        expression, position = Meta.parse(code, position; raise = false, depwarn = false)
        Meta.isexpr(expression, (:error, :incomplete)) || continue
        blank = match(r"^(\s|#[^\n]*\n)*", SubString(code, start)).match
        return 1 + count(==('\n'), SubString(code, 1, prevind(code, start))) +
               count(==('\n'), blank)
    end
    return 1
end

"""The cell that runs, 0 for none, and the line of the statement that it has come to."""
const running = Ref(0)
const reached = Ref(1)

"""Of cells that failed, the line of the statement that did: what is there was not carried out."""
const stopped = Dict{Int,Int}()

"""Evaluate a cell in `Main`. Returns the value of its last statement."""
function evaluate(code::AbstractString, filename::AbstractString)
    value = nothing
    reached[] = 1
    rest = special_lines(code)
    for statement in statements(rest, filename)
        reached[] = statement.args[1].line
        value = Core.eval(Main, statement)
    end
    return value
end

"""
Run the lines that start a cell with `;` (shell) or `]` (package manager), and return the
other lines, with empty ones in place of those so that line numbers stay right.
"""
function special_lines(code::AbstractString)
    lines = split(code, '\n')
    for (number, line) in enumerate(lines)
        text = strip(line)
        if startswith(text, ';')
            shell(strip(text[2:end]))
        elseif startswith(text, ']')
            Core.eval(Main, :(import Pkg; Pkg.REPLMode.pkgstr($(String(strip(text[2:end]))))))
        elseif !isempty(text)
            break
        end
        isempty(text) || (lines[number] = "")
    end
    return join(lines, '\n')
end

"""Run one line in a shell; `cd` changes Julia's own folder, as in the REPL."""
function shell(line::AbstractString)
    words = split(line)
    if !isempty(words) && words[1] == "cd" && length(words) <= 2
        cd(length(words) == 1 ? homedir() : expanduser(String(words[2])))
        println(pwd())
    elseif !isempty(words)
        program = Sys.which("bash") === nothing ? "/bin/sh" : "bash"
        run(ignorestatus(`$program -c $line`))
    end
    return nothing
end

set_answer(value) =
    if isdefined(Base.MainInclude, :ans)
        Core.eval(Base.MainInclude, Expr(:(=), :ans, QuoteNode(value)))
    else
        ccall(:jl_set_global, Cvoid, (Any, Any, Any), Main, :ans, value)
    end

hides_result(code::AbstractString) = REPL.ends_with_semicolon(code)

# --- errors -----------------------------------------------------------------------------

const DRIVER_FOLDER = @__DIR__
const OWN_PACKAGES = "/opt/juliabox/packages"

"""The frames of the user's code: neither the driver's nor Julia's `eval`, nor JuliaBox's own."""
function user_frames(backtrace)
    frames = stacktrace(backtrace)
    last_own = findfirst(frame -> startswith(String(frame.file), DRIVER_FOLDER), frames)
    last_own === nothing || (frames = frames[1:last_own-1])
    while !isempty(frames) && frames[end].func in (:eval, :include_string, :invokelatest)
        pop!(frames)
    end
    is_own(frame) = startswith(String(frame.file), OWN_PACKAGES)
    return !isempty(frames) && is_own(frames[1]) ? frames[findlast(is_own, frames)+1:end] : frames
end

exception_stack() =
    isdefined(Base, :current_exceptions) ?
    Any[(entry.exception, entry.backtrace) for entry in Base.current_exceptions()] :
    Any[(exception, backtrace) for (exception, backtrace) in Base.catch_stack()]

"""Describe the exceptions being handled: name, message, and coloured lines of text."""
function describe(stack)
    exception = stack[end][1]
    name = String(nameof(typeof(exception)))
    message = first_lines(describe_exception(exception, false), 50)
    text = IOBuffer()
    for (number, (cause, backtrace)) in enumerate(reverse(stack))
        number == 1 || print(text, "\n\ncaused by: ")
        print(text, "\e[91m", number == 1 ? "ERROR: " : "", describe_exception(cause, true), "\e[39m")
        print_frames(text, backtrace)
    end
    return name, message, first_lines(String(take!(text)), 200)
end

function describe_exception(exception, colour::Bool)
    try
        io = IOBuffer()
        invokelatest(showerror, shown_in(io, colour), exception)
        return String(take!(io))
    catch
        return "$(typeof(exception)) (its message cannot be shown)"
    end
end

function print_frames(io::IO, backtrace)
    try
        frames = user_frames(backtrace)
        isempty(frames) || invokelatest(Base.show_backtrace, shown_in(io, true), frames)
    catch
        print(io, "\n(the backtrace cannot be shown)")
    end
end

function first_lines(text::AbstractString, count::Int)
    lines = split(text, '\n')
    length(lines) <= count && return String(text)
    return join(lines[1:count], '\n') * "\n… $(length(lines) - count) more lines"
end
