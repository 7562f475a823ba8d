# Julia's values as JSON.
#
# Numbers that JSON has not (NaN, infinities) are refused, never replaced. A matrix is an array of
# its rows. A struct is an object of its fields, as packages for JSON have it.

"""A result that cannot be handed to the caller."""
struct ResultError <: Exception
    message::String
end

Base.showerror(io::IO, error::ResultError) = print(io, error.message)

struct Writer
    io::IOBuffer
    most::Int   # bytes
end

"""The JSON text of `value`, of at most `most` bytes. Throws `ResultError`."""
function write_json(value, most::Int)
    writer = Writer(IOBuffer(), most)
    write_value(writer, value, 0)
    check_size(writer)
    return take!(writer.io)
end

check_size(writer::Writer, size::Int = writer.io.size) =
    size <= writer.most || throw(ResultError("the result is larger than $(writer.most) bytes"))

function deeper(depth::Int)
    depth < DEEPEST || throw(ResultError("the result is nested deeper than $DEEPEST levels"))
    return depth + 1
end

write_value(writer::Writer, ::Union{Nothing,Missing}, ::Int) = print(writer.io, "null")
write_value(writer::Writer, value::Bool, ::Int) = print(writer.io, value ? "true" : "false")
write_value(writer::Writer, value::Integer, ::Int) = print(writer.io, value)
write_value(writer::Writer, value::Union{Symbol,AbstractChar}, ::Int) =
    write_string(writer, string(value))
write_value(writer::Writer, value::AbstractString, ::Int) = write_string(writer, String(value))
write_value(writer::Writer, value::Enum, ::Int) = write_string(writer, string(value))
write_value(writer::Writer, value::Union{Dates.TimeType,VersionNumber,Type,Base.UUID}, ::Int) =
    write_string(writer, string(value))

check_finite(value) =
    isfinite(value) || throw(ResultError("JSON has no number for $value, which the result holds"))

function write_value(writer::Writer, value::Union{Float64,Float32,Float16}, ::Int)
    check_finite(value)
    print(writer.io, value)
end

# Julia 1.5 of Debian writes BigFloats wrongly: MPFR itself is asked
const LIBMPFR = isdefined(Base.MPFR, :libmpfr) ? Base.MPFR.libmpfr : :libmpfr

function write_value(writer::Writer, value::BigFloat, ::Int)
    check_finite(value)
    exponent = Ref{Clong}(0)
    digits = ccall(
        (:mpfr_get_str, LIBMPFR), Ptr{UInt8},
        (Ptr{UInt8}, Ref{Clong}, Cint, Csize_t, Ref{BigFloat}, Cint),
        C_NULL, exponent, 10, 0, value, 0,
    )
    text = unsafe_string(digits)
    ccall((:mpfr_free_str, LIBMPFR), Cvoid, (Ptr{UInt8},), digits)
    sign = startswith(text, '-') ? "-" : ""
    text = text[1+length(sign):end]
    print(writer.io, sign, text[1:1], '.', length(text) > 1 ? text[2:end] : "0")
    iszero(value) || exponent[] == 1 || print(writer.io, 'e', exponent[] - 1)
end

write_value(writer::Writer, value::Union{AbstractFloat,AbstractIrrational}, depth::Int) =
    write_value(writer, Float64(value), depth)

const PLAIN = let plain = trues(256)
    plain[1:32] .= false
    plain[Int('"')+1] = plain[Int('\\')+1] = false
    Vector{Bool}(plain)
end
const SHORT = Dict(0x08 => "\\b", 0x09 => "\\t", 0x0a => "\\n", 0x0c => "\\f", 0x0d => "\\r",
    UInt8('"') => "\\\"", UInt8('\\') => "\\\\")

function write_string(writer::Writer, text::String)
    isvalid(text) || throw(ResultError("a text in the result is not UTF-8"))
    check_size(writer, ncodeunits(text))
    units = codeunits(text)
    write(writer.io, '"')
    from = 1
    for (place, unit) in enumerate(units)
        @inbounds PLAIN[unit+1] && continue
        write_units(writer.io, text, from, place - 1)
        print(writer.io, get(SHORT, unit, "\\u00$(string(unit, base = 16, pad = 2))"))
        from = place + 1
    end
    write_units(writer.io, text, from, length(units))
    write(writer.io, '"')
    check_size(writer)
end

write_units(io::IOBuffer, text::String, from::Int, to::Int) =
    from <= to && GC.@preserve text unsafe_write(io, pointer(text, from), UInt(to - from + 1))

# --- what holds other values ------------------------------------------------------------------

function write_array(writer::Writer, values, depth::Int)
    inner = deeper(depth)
    separator = '['
    for value in values
        write(writer.io, separator)
        write_value(writer, value, inner)
        check_size(writer)
        separator = ','
    end
    print(writer.io, separator == '[' ? "[]" : ']')
end

write_value(writer::Writer, values::Union{Tuple,AbstractVector,AbstractSet}, depth::Int) =
    write_array(writer, values, depth)
write_value(writer::Writer, value::AbstractArray{<:Any,0}, depth::Int) =
    write_value(writer, value[], depth)
write_value(writer::Writer, values::AbstractArray, depth::Int) =
    write_array(writer, (selectdim(values, 1, row) for row in axes(values, 1)), depth)

"""Write pairs as one object. Throws `ResultError` if two keys are the same as texts."""
function write_object(writer::Writer, members, depth::Int)
    inner = deeper(depth)
    seen = Set{String}()
    separator = '{'
    for (key, value) in members
        name = object_key(key)
        name in seen && throw(ResultError("two keys of the result are both written $(repr(name))"))
        push!(seen, name)
        write(writer.io, separator)
        write_string(writer, name)
        write(writer.io, ':')
        write_value(writer, value, inner)
        check_size(writer)
        separator = ','
    end
    print(writer.io, separator == '{' ? "{}" : '}')
end

object_key(key::Union{AbstractString,Symbol,AbstractChar,Number,Enum,Dates.TimeType}) = string(key)
object_key(::Nothing) = "null"
object_key(key) =
    throw(ResultError("a key of type $(typeof(key)) in the result cannot be a key in JSON"))

write_value(writer::Writer, members::Union{AbstractDict,Base.Iterators.Pairs}, depth::Int) =
    write_object(writer, members, depth)
write_value(writer::Writer, value::NamedTuple, depth::Int) = write_object(writer, pairs(value), depth)
write_value(writer::Writer, value::Pair, depth::Int) = write_object(writer, (value,), depth)

function write_value(writer::Writer, value, depth::Int)
    kind = typeof(value)
    writable = isstructtype(kind) && fieldcount(kind) > 0 &&
        !(value isa Union{Function,Module,IO,Task,Ptr,JuliaBox.Content,JuliaBox.Stream})
    writable || throw(ResultError("a value of type $kind cannot be written as JSON"))
    fields = Any[]
    for name in fieldnames(kind)
        isdefined(value, name) || throw(ResultError("the field $name of a $kind is not set"))
        push!(fields, name => getfield(value, name))
    end
    write_object(writer, fields, depth)
end

"""An object whose members stand in an order: what the worker itself writes."""
struct Object
    members::Vector{Pair{String,Any}}
end

Object(members::Pair{String}...) = Object(Pair{String,Any}[members...])

write_value(writer::Writer, object::Object, depth::Int) = write_object(writer, object.members, depth)

"""The JSON text of the header of a message."""
write_header(header::Object) = write_json(header, typemax(Int))
