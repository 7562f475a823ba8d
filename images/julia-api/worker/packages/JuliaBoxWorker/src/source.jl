# The publisher's source: evaluated once, statement by statement, in the module `home`.

"""A source that cannot be parsed; nothing of it was evaluated."""
struct SyntaxError <: Exception
    message::String
    line::Int
end

Base.showerror(io::IO, error::SyntaxError) = print(io, "syntax: ", error.message)

"""A function that was to be published and is not in the source."""
struct MissingFunction <: Exception
    name::String
end

Base.showerror(io::IO, error::MissingFunction) =
    print(io, "the source defines no function ", error.name)

"""Split a source in statements, each with the line at which it starts. Throws `SyntaxError`."""
function statements(text::String, file::String)
    isvalid(text) || throw(SyntaxError("the source is not UTF-8", 1))
    parsed = Base.parse_input_line(text; filename = file)
    parts = Meta.isexpr(parsed, :toplevel) ? parsed.args : Any[parsed]
    found = Tuple{Int,Any}[]
    line = 1
    for part in parts
        if part isa LineNumberNode
            line = part.line
        elseif Meta.isexpr(part, (:error, :incomplete))
            throw(SyntaxError(parser_message(part), failing_line(text)))
        else
            push!(found, (line, part))
        end
    end
    return found
end

parser_message(part::Expr) =
    isempty(part.args) ? "it cannot be parsed" :
    part.args[1] isa Exception ? message_of(part.args[1]) : shortened(join(map(string, part.args), " "))

"""The line at which the statement that cannot be parsed starts."""
function failing_line(text::String)
    position = 1
    while position <= ncodeunits(text)
        start = position
        expression, position = Meta.parse(text, position; raise = false, depwarn = false)
        Meta.isexpr(expression, (:error, :incomplete)) || continue
        blank = match(r"^(\s|#[^\n]*\n)*", SubString(text, start)).match
        return 1 + count(==('\n'), SubString(text, 1, prevind(text, start))) + count(==('\n'), blank)
    end
    return 1
end

"""Where a load is: `line` of the statement that is being evaluated."""
mutable struct Progress
    line::Int
end

"""
Evaluate a source and look at the functions that it must have. Throws what the source throws, or
`SyntaxError`, `MissingFunction`, `TooMuchOutput`.
"""
function load_source(home::Module, text::String, file::String, names::Vector{String}, progress::Progress)
    found = statements(text, file)
    for (line, statement) in found
        progress.line = line
        Core.eval(home, Expr(:toplevel, LineNumberNode(line, Symbol(file)), statement))
    end
    declared = Dict{Symbol,Vector{Vector{Keyword}}}()
    foreach(((_, statement),) -> declare!(declared, home, statement), found)
    published = Published[]
    for name in names
        one = invokelatest(publish, home, name, declared)
        one === nothing && throw(MissingFunction(name))
        push!(published, one)
    end
    return published
end

"""What a failed load is told with: code, message and frames."""
function load_failure(exception, trace, file::String, progress::Progress)
    exception isa SyntaxError &&
        return "source.syntax", message_of(exception), [Frame("top-level scope", exception.line)]
    exception isa MissingFunction && return "source.missing", message_of(exception), Frame[]
    cause, traces = innermost(exception, trace)
    frames = user_frames(traces, file)
    if isempty(frames)
        inside = exception isa LoadError && endswith(String(exception.file), file)
        push!(frames, Frame("top-level scope", inside ? Int(exception.line) : progress.line))
    end
    return cause isa TooMuchOutput ? "source.output" : "source.error", message_of(cause), frames
end
