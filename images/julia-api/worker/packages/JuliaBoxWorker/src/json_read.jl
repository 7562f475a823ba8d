# JSON as RFC 8259 has it, and nothing else. Beyond that RFC: a key that comes twice is refused,
# and so is nesting deeper than DEEPEST, half of a surrogate pair, and a number without a Float64.
#
# Integers become Int64 or BigInt, other numbers Float64. An array becomes the narrowest of a few
# kinds of vectors; an object becomes a Dict{String,Any}.

const DEEPEST = 64
const LONGEST_INTEGER = 10_000   # digits; converting takes more than linear time

struct JSONError <: Exception
    message::String
    position::Int
end

Base.showerror(io::IO, error::JSONError) = print(io, error.message, " (byte ", error.position, ")")

mutable struct Reader
    bytes::Vector{UInt8}
    position::Int   # of the byte that is looked at next
end

refuse(reader::Reader, message::String) = throw(JSONError(message, reader.position))

"""Read the one value that `bytes` hold. Throws `JSONError`."""
function read_json(bytes::Vector{UInt8})
    reader = Reader(bytes, 1)
    skip_blanks(reader)
    value = read_value(reader, 0)
    skip_blanks(reader)
    reader.position > length(bytes) || refuse(reader, "something follows the JSON value")
    return value
end

"""The byte at hand; 0, which is nowhere admitted outside of strings, at the end."""
current(reader::Reader) =
    reader.position <= length(reader.bytes) ? @inbounds(reader.bytes[reader.position]) : 0x00

function skip_blanks(reader::Reader)
    while current(reader) in (0x20, 0x0a, 0x0d, 0x09)
        reader.position += 1
    end
end

function read_value(reader::Reader, depth::Int)
    byte = current(reader)
    byte == UInt8('"') && return read_string(reader)
    byte == UInt8('{') && return read_object(reader, depth + 1)
    byte == UInt8('[') && return read_array(reader, depth + 1)
    (byte == UInt8('-') || is_digit(byte)) && return read_number(reader)
    byte == UInt8('t') && return read_word(reader, "true", true)
    byte == UInt8('f') && return read_word(reader, "false", false)
    byte == UInt8('n') && return read_word(reader, "null", nothing)
    ended = reader.position > length(reader.bytes)
    refuse(reader, ended ? "the JSON text ends too early" : "this is not a JSON value")
end

function read_word(reader::Reader, word::String, value)
    for byte in codeunits(word)
        current(reader) == byte || refuse(reader, "this is not a JSON value")
        reader.position += 1
    end
    return value
end

function enter(reader::Reader, depth::Int)
    depth <= DEEPEST || refuse(reader, "nested deeper than $DEEPEST levels")
    reader.position += 1
    skip_blanks(reader)
end

function read_array(reader::Reader, depth::Int)
    enter(reader, depth)
    values = Any[]
    if current(reader) == UInt8(']')
        reader.position += 1
        return values
    end
    while true
        push!(values, read_value(reader, depth))
        goes_on(reader, UInt8(']'), "array") || return narrow(values)
    end
end

function read_object(reader::Reader, depth::Int)
    enter(reader, depth)
    object = Dict{String,Any}()
    if current(reader) == UInt8('}')
        reader.position += 1
        return object
    end
    while true
        current(reader) == UInt8('"') || refuse(reader, "a key in double quotes is missing")
        place = reader.position
        key = read_string(reader)
        haskey(object, key) && throw(JSONError("the key $(repr(key)) comes twice", place))
        skip_blanks(reader)
        current(reader) == UInt8(':') || refuse(reader, "a colon is missing")
        reader.position += 1
        skip_blanks(reader)
        object[key] = read_value(reader, depth)
        goes_on(reader, UInt8('}'), "object") || return object
    end
end

"""Go past the comma after a member, or past the end of what holds it; whether it was a comma."""
function goes_on(reader::Reader, last::UInt8, what::String)
    skip_blanks(reader)
    byte = current(reader)
    byte == last || byte == UInt8(',') || refuse(reader, "a comma or the end of the $what is missing")
    reader.position += 1
    byte == last && return false
    skip_blanks(reader)
    return true
end

const NARROW = (
    Int64, Float64, String, Bool, Vector{Int64}, Vector{Float64}, Vector{String}, Vector{Bool},
)

"""The same values in a vector of their kind, where it is one that functions ask for."""
function narrow(values::Vector{Any})
    kind = typeof(values[1])
    if all(value -> typeof(value) === kind, values)
        return kind in NARROW ? convert(Vector{kind}, values) : values
    elseif all(is_exact_real, values)
        return convert(Vector{Float64}, values)
    elseif all(value -> value isa Vector{Float64} || is_exact_row(value), values)
        return convert(Vector{Vector{Float64}}, values)
    end
    return values
end

is_exact_real(value) =
    value isa Float64 || (value isa Int64 && -9007199254740992 <= value <= 9007199254740992)
is_exact_row(value) = value isa Vector{Int64} && all(is_exact_real, value)

# --- numbers --------------------------------------------------------------------------------

is_digit(byte::UInt8) = 0x30 <= byte <= 0x39

function skip_digits(reader::Reader)
    is_digit(current(reader)) || refuse(reader, "a digit is missing")
    while is_digit(current(reader))
        reader.position += 1
    end
end

function read_number(reader::Reader)
    start = reader.position
    current(reader) == UInt8('-') && (reader.position += 1)
    if current(reader) == UInt8('0')
        reader.position += 1
        is_digit(current(reader)) && refuse(reader, "a number starts with a zero too many")
    else
        skip_digits(reader)
    end
    whole = true
    if current(reader) == UInt8('.')
        whole = false
        reader.position += 1
        skip_digits(reader)
    end
    if current(reader) in (UInt8('e'), UInt8('E'))
        whole = false
        reader.position += 1
        current(reader) in (UInt8('+'), UInt8('-')) && (reader.position += 1)
        skip_digits(reader)
    end
    text = String(reader.bytes[start:reader.position-1])
    return whole ? read_integer(text, start) : read_real(text, start)
end

function read_integer(text::String, start::Int)
    ncodeunits(text) <= 18 && return parse(Int64, text)
    small = tryparse(Int64, text)
    small === nothing || return small
    ncodeunits(text) <= LONGEST_INTEGER ||
        throw(JSONError("an integer has more than $LONGEST_INTEGER digits", start))
    return parse(BigInt, text)
end

"""By C's own function: Julia 1.5 takes neither subnormal numbers nor tells too large ones."""
function read_real(text::String, start::Int)
    value = ccall(:strtod, Cdouble, (Cstring, Ptr{Cvoid}), text, C_NULL)
    isfinite(value) || throw(JSONError("a number is too large", start))
    return value
end

# --- strings --------------------------------------------------------------------------------

function read_string(reader::Reader)
    reader.position += 1
    start = reader.position
    plain = true    # nothing escaped
    ascii = true
    while true
        byte = current(reader)
        if byte == UInt8('"')
            break
        elseif byte == UInt8('\\')
            plain = false
            reader.position += 2
        elseif byte < 0x20
            ended = reader.position > length(reader.bytes)
            refuse(reader, ended ? "a string does not end" : "a control character in a string")
        else
            ascii &= byte < 0x80
            reader.position += 1
        end
    end
    raw = reader.bytes[start:reader.position-1]
    reader.position += 1
    ascii || isvalid(String, raw) || throw(JSONError("a string is not UTF-8", start))
    return plain ? String(raw) : unescape(raw, start)
end

const ESCAPED = Dict(
    UInt8('"') => 0x22, UInt8('\\') => 0x5c, UInt8('/') => 0x2f, UInt8('b') => 0x08,
    UInt8('f') => 0x0c, UInt8('n') => 0x0a, UInt8('r') => 0x0d, UInt8('t') => 0x09,
)

function unescape(raw::Vector{UInt8}, start::Int)
    text = IOBuffer()
    position = 1
    while position <= length(raw)
        if raw[position] != UInt8('\\')
            write(text, raw[position])
            position += 1
        elseif raw[position+1] == UInt8('u')
            character, position = unescape_character(raw, position, start)
            print(text, character)
        else
            byte = get(ESCAPED, raw[position+1], 0x00)
            byte == 0x00 && throw(JSONError("an unknown escape in a string", start + position - 1))
            write(text, byte)
            position += 2
        end
    end
    return String(take!(text))
end

"""The character that `\\uXXXX` at `position` stands for, and where the text goes on."""
function unescape_character(raw::Vector{UInt8}, position::Int, start::Int)
    unit = code_unit(raw, position, start)
    position += 6
    if 0xd800 <= unit <= 0xdbff
        low = position < length(raw) && raw[position] == UInt8('\\') && raw[position+1] == UInt8('u') ?
            code_unit(raw, position, start) : UInt32(0)
        0xdc00 <= low <= 0xdfff || throw(JSONError("half of a surrogate pair", start + position - 7))
        return Char(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)), position + 6
    end
    0xdc00 <= unit <= 0xdfff && throw(JSONError("half of a surrogate pair", start + position - 7))
    return Char(unit), position
end

function code_unit(raw::Vector{UInt8}, position::Int, start::Int)
    unit = UInt32(0)
    for place in position+2:position+5
        digit = place <= length(raw) ? hex_digit(raw[place]) : nothing
        digit === nothing && throw(JSONError("an escape without four hexadecimal digits", start + place - 1))
        unit = unit << 4 | digit
    end
    return unit
end

function hex_digit(byte::UInt8)
    is_digit(byte) && return UInt32(byte - 0x30)
    0x61 <= byte <= 0x66 && return UInt32(byte - 0x61 + 10)
    0x41 <= byte <= 0x46 && return UInt32(byte - 0x41 + 10)
    return nothing
end
