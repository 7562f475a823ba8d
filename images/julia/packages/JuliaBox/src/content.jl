# Answers that are not JSON. The image of API containers takes this file as well.

export Content, Stream

"""A result of the kind `type`, such as `"text/html"`: its text, or its bytes."""
struct Content
    type::String
    data::Vector{UInt8}
end

Content(type::MIME, data) = Content(string(type), data)
Content(type::AbstractString, data::AbstractString) =
    Content(String(type), Vector{UInt8}(codeunits(String(data))))

"""Results that the caller gets one by one."""
struct Stream{T}
    values::T
end

"""Text as it is; anything else as its `show` method for the kind renders it."""
shown(type::String, value::AbstractString) = Content(type, value)
shown(type::String, value::AbstractVector{UInt8}) = Content(type, Vector{UInt8}(value))
shown(type::String, value) = Content(type, Base.invokelatest(rendered, MIME(type), value))

rendered(mime::MIME, value) = sprint(show, mime, value)
rendered(mime::MIME"image/png", value) = take!(drawn(mime, value))

function drawn(mime::MIME, value)
    buffer = IOBuffer()
    show(buffer, mime, value)
    return buffer
end

html(value) = shown("text/html", value)
svg(value) = shown("image/svg+xml", value)
png(value) = shown("image/png", value)
text(value) = Content("text/plain", string(value))
bytes(value::AbstractVector{UInt8}) = Content("application/octet-stream", Vector{UInt8}(value))
bytes(value::AbstractString) = Content("application/octet-stream", value)

"""
Comma-separated values: a text as it is; a matrix, or rows. Rows are named tuples (their names come
first) or anything that can be iterated.
"""
csv(value::AbstractString) = Content("text/csv", value)
csv(value::AbstractMatrix) = csv([value[row, :] for row in axes(value, 1)])
function csv(rows)
    buffer = IOBuffer()
    for (number, row) in enumerate(rows)
        number == 1 && row isa NamedTuple && write_row(buffer, keys(row))
        write_row(buffer, row isa NamedTuple ? values(row) : row)
    end
    return Content("text/csv", take!(buffer))
end

function write_row(io::IO, row)
    for (number, field) in enumerate(row)
        number == 1 || print(io, ',')
        print(io, quoted(field))
    end
    print(io, "\r\n")
end

quoted(field::Union{Missing,Nothing}) = ""
function quoted(field)
    written = string(field)
    any(in(written), (',', '"', '\r', '\n')) || return written
    return "\"" * replace(written, "\"" => "\"\"") * "\""
end
