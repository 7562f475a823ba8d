# Values as MIME bundles, and the display that `display(x)` finds.

const RICH_TYPES = [
    "text/html", "text/markdown", "text/latex", "image/svg+xml", "image/png", "image/jpeg",
    "application/json", "application/javascript", "application/vnd.plotly.v1+json",
    "application/vnd.vega.v5+json", "application/vnd.vegalite.v4+json",
    "application/vnd.vegalite.v5+json",
]

struct NotebookDisplay <: AbstractDisplay
    connection::Connection
end

"""Context of everything shown: elided to a screen, with colours for text/plain."""
shown_in(io::IO, colour::Bool) = IOContext(
    io, :limit => true, :color => colour, :module => Main, :displaysize => displaysize(stdout),
)

"""Render `value` as `mime`. Strings and bytes given for a type that is not theirs are raw data."""
function render(mime::MIME, value)
    if !istextmime(mime) && value isa Vector{UInt8}
        return value
    elseif value isa AbstractString && !(mime isa MIME"text/plain") && !showable(mime, value)
        return as_bytes(value)
    end
    buffer = IOBuffer()
    invokelatest(show, shown_in(buffer, mime isa MIME"text/plain"), mime, value)
    bytes = take!(buffer)
    length(bytes) <= LARGEST_FIELD ||
        error("rendering as $mime takes $(length(bytes)) bytes, more than a notebook can hold")
    return bytes
end

can_show(mime::MIME, value) =
    try
        invokelatest(showable, mime, value)
    catch exception
        exception isa InterruptException && rethrow()
        false
    end

"""
All renderings of `value` as a flat list: type, data, type, data… A `show` method that fails
is told of on standard error and costs only its own rendering.
"""
function bundle(value)
    fields = Any["text/plain", plain_text(value)]
    for name in RICH_TYPES
        mime = MIME(name)
        can_show(mime, value) || continue
        try
            push!(fields, name, render(mime, value))
        catch exception
            exception isa InterruptException && rethrow()
            tell_broken_show(value, name, exception)
        end
    end
    return fields
end

function plain_text(value)
    try
        return render(MIME("text/plain"), value)
    catch exception
        exception isa InterruptException && rethrow()
        tell_broken_show(value, "text/plain", exception)
        return "<a $(typeof(value)) that cannot be shown>"
    end
end

function tell_broken_show(value, mime, exception)
    message = try
        invokelatest(sprint, showerror, exception)
    catch
        string(typeof(exception))
    end
    print(stderr, "Error showing a value of type $(typeof(value)) as $mime: $message\n")
end

Base.display(d::NotebookDisplay, value) = show_frame(d.connection, 'd', "", "0", bundle(value)...)
Base.display(d::NotebookDisplay, mime::MIME, value) =
    show_frame(d.connection, 'd', "", "0", string(mime), render(mime, value))
Base.display(d::NotebookDisplay, mime::MIME"text/plain", value) =
    show_frame(d.connection, 'd', "", "0", "text/plain", render(mime, value))
Base.displayable(::NotebookDisplay, mime::MIME) = istextmime(mime) || string(mime) in RICH_TYPES

# --- for programs that change what they have shown ----------------------------------------

"""Forget the output of the cell; with `wait`, when the next output comes."""
clear_output(wait::Bool = false) = show_frame(connection[], 'c', wait ? "1" : "0")

"""Show `value` under a name of the caller's choice, for `update_display`."""
display_with_id(value, id::AbstractString) = show_frame(connection[], 'd', id, "0", bundle(value)...)

"""Replace what was shown under the name `id`, in whatever cell it is."""
update_display(value, id::AbstractString) = show_frame(connection[], 'd', id, "1", bundle(value)...)
