# What went wrong in the publisher's code, for those who call it: Julia's message, and where in the
# source. Nothing of Julia's own frames or the worker's.

const LONGEST_MESSAGE = 2000   # bytes
const MOST_FRAMES = 20
const LOOKED_AT = 400          # entries of a trace: that of an endless recursion has 80,000

"""Files of publishers' sources are below this folder, so that no API's name hides one of Julia's."""
const FOLDER = "published/"

struct Frame
    name::String
    line::Int
end

as_object(frame::Frame) = Object("function" => frame.name, "line" => frame.line)

"""The publisher's lines in traces, innermost first."""
function user_frames(traces::Vector{Any}, file::String)
    frames = Frame[]
    for trace in traces, frame in stacktrace(trace[1:min(end, LOOKED_AT)])
        endswith(String(frame.file), file) || continue
        name = written_name(String(frame.func))
        name == "kwcall" && continue   # a newer Julia's way to a function with keywords
        found = Frame(name, Int(frame.line))
        isempty(frames) || frames[end].line != found.line || frames[end].name != found.name || continue
        push!(frames, found)
        length(frames) == MOST_FRAMES && break
    end
    return frames
end

"""The name that stands in the source, of `#f#3` and `f##kw`; `anonymous` of `#5`."""
function written_name(name::String)
    occursin('#', name) || return name
    named = filter(part -> !isempty(part) && !all(isdigit, part), split(name, '#'))
    return isempty(named) ? "anonymous" : String(first(named))
end

"""Julia's message for an exception, on any failure of that its type."""
function message_of(exception)
    text = try
        sprint(showerror, exception)
    catch
        "$(typeof(exception)) (its message cannot be shown)"
    end
    return shortened(text)
end

"""
What was thrown at first, by a macro, in a file that was included or in a task, and the traces of
the way from there, innermost first.
"""
function innermost(exception, trace)
    traces = Any[trace]
    while true
        if exception isa LoadError
            exception = exception.error
        elseif exception isa CompositeException && !isempty(exception.exceptions)
            exception = first(exception.exceptions)
        elseif exception isa TaskFailedException
            thrown = exceptions_of(exception.task)
            isempty(thrown) && return exception, traces
            exception = thrown[end][1]
            pushfirst!(traces, thrown[end][2])
        else
            return exception, traces
        end
    end
end

const exceptions_of = isdefined(Base, :current_exceptions) ? Base.current_exceptions : Base.catch_stack

function shortened(text::AbstractString)
    ncodeunits(text) <= LONGEST_MESSAGE || (text = first(text, LONGEST_MESSAGE ÷ 4) * " …")
    return as_text(Vector{UInt8}(codeunits(String(text))))
end
