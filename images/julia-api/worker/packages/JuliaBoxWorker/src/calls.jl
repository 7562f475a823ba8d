# One call: from its frames to a result, items of a stream, or an error.

"""The one who asked has gone; there is nobody to answer."""
struct Gone <: Exception end

function gather(request::Request)
    arguments, keywords = try
        part(request, 1, "[]"), part(request, 2, "{}")
    catch exception
        exception isa JSONError || rethrow()
        refuse_arguments(message_of(exception))
    end
    arguments isa Vector && keywords isa Dict || refuse_arguments("not an array and an object")
    arguments = collect(Any, arguments)
    length(request.parts) < 3 || isempty(request.parts[3]) || add_body!(arguments, keywords, request.parts[3])
    return arguments, keywords
end

part(request::Request, number::Int, default::String) = read_json(
    length(request.parts) < number ? Vector{UInt8}(codeunits(default)) : request.parts[number]
)

"""Add what the body says: an array gives arguments, an object keywords, all else one argument."""
function add_body!(arguments::Vector{Any}, keywords::Dict{String,Any}, bytes::Vector{UInt8})
    body = try
        read_json(bytes)
    catch exception
        exception isa JSONError || rethrow()
        throw(Refusal("api.body", "the body is not JSON: " * message_of(exception)))
    end
    if body isa Dict
        for (name, value) in body
            haskey(keywords, name) && throw(
                Refusal("api.body", shortened("the keyword $(repr(name)) is in the address and in the body")),
            )
            keywords[name] = value
        end
    elseif body isa Vector
        append!(arguments, body)
    else
        push!(arguments, body)
    end
end

"""Carry a call out and answer it, whatever becomes of it."""
function carry_out(worker::Worker, request::Request)
    started = time_ns()
    worker.calls += 1
    try
        published = get(worker.published, get(request.header, "function", nothing), nothing)
        published === nothing && refuse_arguments("there is no such function")
        arguments, given = gather(request)
        arguments = fit(published, arguments)
        keywords = fit_keywords(published, arguments, given)
        value = isempty(keywords) ? published.value(arguments...) : published.value(arguments...; keywords...)
        deliver(worker, request, value, started)
    catch exception
        trace = catch_backtrace()
        exception isa Gone || answer_error(worker, request, exception, trace, started)
    end
    return nothing
end

function deliver(worker::Worker, request::Request, content::JuliaBox.Content, started::UInt64)
    is_media_type(content.type) ||
        throw(ResultError(shortened("$(repr(content.type)) is not the name of a kind of content")))
    length(content.data) <= worker.most ||
        throw(ResultError("the result is larger than $(worker.most) bytes"))
    answer_result(worker, request, "result", content.type, started, content.data)
end

deliver(worker::Worker, request::Request, stream::JuliaBox.Stream, started::UInt64) =
    deliver_items(worker, request, stream.values, started)
deliver(worker::Worker, request::Request, stream::Union{Channel,Base.Generator}, started::UInt64) =
    deliver_items(worker, request, stream, started)

function deliver_items(worker::Worker, request::Request, values, started::UInt64)
    for value in values
        answer(worker, request, "item", NOTHING, write_json(value, worker.most))
    end
    answer_result(worker, request, "end", JSON, started)
end

deliver(worker::Worker, request::Request, value, started::UInt64) =
    answer_result(worker, request, "result", JSON, started, write_json(value, worker.most))

const JSON = "application/json"
const NOTHING = Object()

is_media_type(type::String) =
    occursin(r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*(; ?[a-z]+=[A-Za-z0-9_.-]+)?\z", type)

function answer_result(worker::Worker, request::Request, kind::String, type::String, started::UInt64, bodies::Vector{UInt8}...)
    header = Object(
        "type" => type,
        "seconds" => (time_ns() - started) / 1e9,
        "memory" => memory(),
        "printed" => take_output!(worker.output),
    )
    answer(worker, request, kind, header, bodies...)
end

function answer_error(
    worker::Worker, request::Request, exception, trace, started::UInt64, more::Pair{String,Bool}...
)
    code, message, frames = call_failure(exception, trace, worker.file)
    header = Object(
        "code" => code,
        "message" => message,
        "frames" => Any[as_object(frame) for frame in frames],
        "seconds" => (time_ns() - started) / 1e9,
        "memory" => memory(),
        "printed" => take_output!(worker.output),
        more...,
    )
    try
        answer(worker, request, "error", header)
    catch gone
        gone isa Gone || rethrow()
    end
end

function call_failure(exception, trace, file::String)
    exception isa Refusal && return exception.code, exception.message, Frame[]
    exception isa ResultError && return "api.result", exception.message, Frame[]
    cause, traces = innermost(exception, trace)
    return "api.error", message_of(cause), user_frames(traces, file)
end
