# The way to the API engine: a small program of the session asks it over HTTP.

const PYTHON = "/opt/venv/bin/python"
const CLIENT = "/opt/juliabox/juliabox_apis.py"

const Record = Dict{String,String}

"""Have the engine asked; return its records, or raise what it answers, as text for a person."""
function ask(action::String, request)
    isempty(get(ENV, "JULIABOX_API_URL", "")) && throw(PublishError(
        "This installation has no API engine: its operator can turn it on with `apis.enabled`. A " *
        "server that was started before that has to be started again.",
    ))
    process = open(ignorestatus(`$PYTHON -I $CLIENT $action`), "r+")
    write(process, json(request))
    close(process.in)
    told = read(process, String)
    wait(process)
    process.exitcode == 0 || throw(PublishError(rstrip(told)))
    return records(told)
end

"""Fields end with NUL, records with a record separator."""
function records(text::String)
    found = Record[]
    for part in split(text, '\x1e'; keepempty = false)
        fields = split(part, '\0')
        push!(found, Record(fields[i] => fields[i+1] for i in 1:2:length(fields)-1))
    end
    return found
end

# --- JSON ---------------------------------------------------------------------------------

json(value) = sprint(json, value)
json(io::IO, ::Nothing) = print(io, "null")
json(io::IO, value::Bool) = print(io, value)
json(io::IO, value::Integer) = print(io, value)
json(io::IO, value::Real) = json(io, Float64(value))
function json(io::IO, value::Float64)
    isfinite(value) || throw(PublishError("$value is no number that can be sent."))
    print(io, isinteger(value) && abs(value) < 2.0^53 ? Int(value) : value)
end
json(io::IO, value::Union{Symbol,Function}) = json(io, String(nameof_text(value)))
json(io::IO, value::Union{AbstractVector,Tuple,AbstractSet}) = enclosed(io, '[', value, ']') do item
    json(io, item)
end
json(io::IO, value::Union{AbstractDict,NamedTuple}) = enclosed(io, '{', pairs(value), '}') do pair
    json(io, String(first(pair)))
    print(io, ':')
    json(io, last(pair))
end
json(io::IO, value) = throw(PublishError("$(repr(value)) is nothing that an option can be."))

nameof_text(value::Symbol) = value
nameof_text(value::Function) = nameof(value)

function enclosed(write_item, io::IO, opening::Char, items, closing::Char)
    print(io, opening)
    for (number, item) in enumerate(items)
        number > 1 && print(io, ',')
        write_item(item)
    end
    print(io, closing)
end

function json(io::IO, value::AbstractString)
    print(io, '"')
    for character in value
        if character in ('"', '\\')
            print(io, '\\', character)
        elseif character < ' '
            print(io, "\\u", string(UInt16(character); base = 16, pad = 4))
        else
            print(io, isvalid(character) ? character : '\ufffd')
        end
    end
    print(io, '"')
end

# --- verbs --------------------------------------------------------------------------------

"""An API as the engine knows it."""
struct Api
    fields::Record
end

Base.propertynames(::Api, private::Bool = false) =
    (:publisher, :name, :version, :access, :functions, :stopped, :description, :url, :page,
        :unchanged)
function Base.getproperty(api::Api, name::Symbol)
    fields = getfield(api, :fields)
    name === :fields && return fields
    name === :version && return parse(Int, fields["version"])
    name === :unchanged && return !isempty(get(fields, "unchanged", ""))
    name === :functions && return split(fields["functions"], ' '; keepempty = false)
    return haskey(fields, String(name)) ? fields[String(name)] : getfield(api, name)
end

const WHO = Dict("public" => "anybody", "users" => "all who have an account",
    "listed" => "listed people and groups", "token" => "holders of a token of this API")

const STOPPED = Dict("owner" => "stopped by its owner", "admin" => "stopped by an admin")

function Base.show(io::IO, api::Api)
    print(io, api.publisher, '/', api.name, ", version ", about(api))
end

function Base.show(io::IO, ::MIME"text/plain", api::Api)
    show(io, api)
    foreach(line -> print(io, "\n  ", line), calls(api))
end

function Base.show(io::IO, ::MIME"text/html", api::Api)
    print(io, "<p><a href=\"", escaped(api.page), "\" target=\"_blank\" rel=\"noopener\">")
    print(io, escaped("$(api.publisher)/$(api.name)"), "</a>, version ", escaped(about(api)))
    print(io, "</p><ul>")
    foreach(line -> print(io, "<li><code>", escaped(line), "</code></li>"), calls(api))
    print(io, "</ul>")
end

"""What there is to say of an API behind its name."""
function about(api::Api)
    told = "$(api.version), for $(get(WHO, api.access, api.access)): $(join(api.functions, ", "))"
    stopped = get(STOPPED, api.stopped, "")
    kept = get(api.fields, "kept", "")
    isempty(kept) || (told *= "; version $kept is kept until it is activated")
    api.unchanged && (told *= "; nothing is new, so no version was made")
    return isempty(stopped) ? told : "$told ($stopped)"
end

calls(api::Api) = split(api.fields["calls"], '\n'; keepempty = false)

escaped(text) = replace(replace(replace(replace(
    String(text), '&' => "&amp;"), '<' => "&lt;"), '>' => "&gt;"), '"' => "&quot;")

const OPTIONS = (
    :description, :access, :users, :groups, :timeout, :memory, :minimum, :maximum, :workers,
    :recycle_calls, :rate, :origins, :cache, :content, :idempotent,
)

"""Options that are lists; one thing may stand for a list of it alone."""
const LISTS = (:users, :groups, :origins, :content, :idempotent)
listed(key::Symbol, value) =
    key in LISTS && value isa Union{AbstractString,Symbol,Function} ? [value] : value

"""Names of functions that an address can carry."""
const NAMES = r"^[A-Za-z_][A-Za-z0-9_!]{0,63}$"

function publish_cells(name, given::Vector{Any}, options)
    unknown = setdiff(collect(keys(options)), [OPTIONS..., :note, :activate])
    isempty(unknown) || throw(PublishError(
        "There is no option $(join(unknown, ", ")). Options: $(join(OPTIONS, ", ")), note, activate.",
    ))
    source, names = gathered(given)
    for name in names
        occursin(NAMES, String(name)) || throw(PublishError(
            "`$name` cannot stand in an address: a published function's name has ASCII letters, " *
            "digits and `_` alone, at most 64. Publish one of another name that calls it.",
        ))
    end
    chosen = Dict{Symbol,Any}(key => listed(key, value) for (key, value) in options if key in OPTIONS)
    request = Dict{Symbol,Any}(
        :name => String(name), :source => source, :functions => names, :options => chosen,
        :note => string(get(options, :note, "")), :activate => get(options, :activate, true),
    )
    return Api(ask("publish", request)[1])
end

list_apis(shared::Bool) = Api[Api(record) for record in ask("list", (shared = shared,))]

function remove_api(name)
    ask("remove", (name = String(name),))
    return nothing
end
