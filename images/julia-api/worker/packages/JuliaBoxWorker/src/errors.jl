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

"""The publisher's lines in a trace, innermost first."""
function user_frames(trace, file::String)
    frames = Frame[]
    for frame in stacktrace(trace[1:min(end, LOOKED_AT)])
        endswith(String(frame.file), file) || continue
        found = Frame(String(frame.func), Int(frame.line))
        isempty(frames) || frames[end].line != found.line || frames[end].name != found.name || continue
        push!(frames, found)
        length(frames) == MOST_FRAMES && break
    end
    return frames
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

"""What a macro or a file that was included threw, without the worker's own way there."""
function innermost(exception)
    while exception isa LoadError
        exception = exception.error
    end
    return exception
end

function shortened(text::AbstractString)
    ncodeunits(text) <= LONGEST_MESSAGE || (text = first(text, LONGEST_MESSAGE ÷ 4) * " …")
    return as_text(Vector{UInt8}(codeunits(String(text))))
end
