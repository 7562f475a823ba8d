# Values of JSON as arguments of Julia's methods.
#
# JSON knows one kind of numbers, no symbols and no empty vector of something. So where no method
# takes the values as they are, they are converted to what a method declares, if nothing is lost.

"""A call that cannot be made as it was asked for: `api.body` or `api.arguments`."""
struct Refusal <: Exception
    code::String
    message::String
end

refuse_arguments(message) = throw(Refusal("api.arguments", message))

struct NoFit <: Exception end

"""The arguments as some method takes them. Throws `Refusal` where none does."""
function fit(published::Published, arguments::Vector{Any})
    applicable(published.value, arguments...) && return arguments
    for signature in published.signatures
        fitted = fit_method(signature, arguments)
        fitted === nothing || !applicable(published.value, fitted...) || return fitted
    end
    refuse_arguments(no_method(published, arguments))
end

function fit_method(signature::Signature, arguments::Vector{Any})
    count = length(signature.kinds)
    open_ended = signature.further !== nothing
    length(arguments) == count || (open_ended && length(arguments) > count) || return nothing
    try
        fitted = copy(arguments)
        for place in eachindex(arguments)
            kind = place <= count ? signature.kinds[place] : signature.further
            fitted[place] = fit_value(kind, arguments[place])
        end
        return fitted
    catch
        return nothing
    end
end

function no_method(published::Published, arguments::Vector{Any})
    counts = sort(unique([length(signature.kinds) for signature in published.signatures]))
    open_ended = any(signature -> signature.further !== nothing, published.signatures)
    length(arguments) in counts || open_ended ||
        return "$(published.name) takes $(join(counts, ", ", " or ")) arguments, not $(length(arguments))"
    kinds = join([shown_kind(argument) for argument in arguments], ", ")
    wanted = join(unique(map(wanted_kinds, published.signatures)), "; ")
    return shortened("$(published.name) does not take arguments of types ($kinds); it takes ($wanted)")
end

shown_kind(value) = string(typeof(value))

function wanted_kinds(signature::Signature)
    kinds = map(string, signature.kinds)
    signature.further === nothing || push!(kinds, "$(signature.further)...")
    return join(kinds, ", ")
end

"""The value as one of type `kind`. Throws anything where it is none."""
function fit_value(kind, value)
    kind isa Union && return fit_union(kind, value)
    value isa kind && return value
    kind isa Type || throw(NoFit())
    return convert_value(kind, value)
end

function fit_union(kind::Union, value)
    value isa kind && return value
    for one in Base.uniontypes(kind)
        try
            return fit_value(one, value)
        catch
        end
    end
    throw(NoFit())
end

convert_value(kind::Type, value) = throw(NoFit())
convert_value(::Type{Missing}, ::Nothing) = missing

function convert_value(kind::Type{<:Number}, value::Number)
    (value isa Bool || kind === Bool) && throw(NoFit())
    converted = convert(kind, value)
    isfinite(converted) || throw(NoFit())
    return converted
end

convert_value(::Type{Symbol}, value::String) = Symbol(value)
convert_value(::Type{<:AbstractChar}, value::String) = only(value)
convert_value(kind::Type{<:Dates.TimeType}, value::String) = kind(value)

const DATE_TIME = r"^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,3})\d*)?([Zz]|[+-]\d\d:\d\d)?$"

"""
A moment as Julia writes it or as RFC 3339 has it, which is what other languages send. Julia has no
zones, so that one becomes UTC, and knows milliseconds: smaller parts are left out.
"""
function convert_value(::Type{Dates.DateTime}, value::String)
    found = match(DATE_TIME, value)
    found === nothing && return Dates.DateTime(value)
    date, time, fraction, zone = found.captures
    moment = Dates.DateTime("$(date)T$(time)")
    fraction === nothing || (moment += Dates.Millisecond(parse(Int, rpad(fraction, 3, '0'))))
    zone in (nothing, "Z", "z") && return moment
    ahead = Dates.Hour(parse(Int, zone[2:3])) + Dates.Minute(parse(Int, zone[5:6]))
    return zone[1] == '+' ? moment - ahead : moment + ahead
end
convert_value(kind::Type{<:AbstractDict}, value::Dict) = convert(
    kind,
    Dict{keytype(kind),valtype(kind)}(
        fit_key(keytype(kind), key) => fit_value(valtype(kind), one) for (key, one) in value
    ),
)

"""A key of an object as one of type `kind`; a whole number only as results have them, so that no two become one."""
function fit_key(kind, key::String)
    kind isa Type && kind <: Integer && kind !== Bool || return fit_value(kind, key)
    number = parse(isconcretetype(kind) ? kind : Int, key)
    return string(number) == key ? number : throw(NoFit())
end

convert_value(kind::Type{<:Tuple}, values::AbstractVector) = convert(
    kind,
    Tuple(Any[fit_value(fieldtype(kind, place), one) for (place, one) in enumerate(values)]),
)
function convert_value(kind::Type{<:AbstractVector}, value::AbstractVector)
    element = element_kind(kind)
    element === Any && return convert(kind, value)
    return convert(kind, isempty(value) ? element[] : [fit_value(element, one) for one in value])
end

"""The type of an array's elements, or what bounds it: `Real` of `Vector{<:Real}`."""
function element_kind(kind::Type)
    parameters = Base.unwrap_unionall(kind).parameters
    isempty(parameters) && return eltype(kind)
    first(parameters) isa TypeVar ? first(parameters).ub : eltype(kind)
end

"""A matrix from its rows, as results have them."""
function convert_value(kind::Type{<:AbstractMatrix}, rows::AbstractVector)
    width = isempty(rows) ? 0 : length(first(rows))
    all(row -> row isa AbstractVector && length(row) == width, rows) || throw(NoFit())
    element = element_kind(kind)
    matrix = width == 0 ? Matrix{element}(undef, length(rows), 0) :
        [fit_value(element, row[column]) for row in rows, column in 1:width]
    return matrix isa kind ? matrix : convert(kind, matrix)
end

# --- keywords -----------------------------------------------------------------------------------

"""The keywords as the method takes them that these arguments lead to. Throws `Refusal`."""
function fit_keywords(published::Published, arguments::Vector{Any}, given::Dict{String,Any})
    isempty(given) && all(one -> isempty(one.keywords), published.signatures) && return Pair{Symbol,Any}[]
    signature = signature_for(published, arguments)
    known = Dict(String(keyword.name) => keyword for keyword in signature.keywords)
    for keyword in signature.keywords
        !keyword.required || haskey(given, String(keyword.name)) ||
            refuse_arguments("$(published.name) needs the keyword argument $(keyword.name)")
    end
    return Pair{Symbol,Any}[
        fit_keyword(published, signature, get(known, name, nothing), name, value)
        for (name, value) in given
    ]
end

function signature_for(published::Published, arguments::Vector{Any})
    chosen = which(published.value, Tuple{map(typeof, arguments)...})
    for signature in published.signatures
        signature.method === chosen && return signature
    end
    return published.signatures[1]
end

function fit_keyword(published::Published, signature::Signature, keyword, name::String, value)
    if keyword === nothing
        signature.more_keywords && !occursin('\0', name) && return Symbol(name) => value
        refuse_arguments(shortened("$(published.name) has no keyword argument $(repr(name))"))
    end
    try
        return keyword.name => fit_value(keyword.kind, value)
    catch
        refuse_arguments("the keyword argument $name of $(published.name) must be of type $(keyword.kind)")
    end
end
