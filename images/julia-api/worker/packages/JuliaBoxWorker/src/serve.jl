# The wire between engine and worker, version 2. A message has the frames: version, id of the
# request, verb or kind of answer, header (a JSON object), and further parts. One request at a time.

"""Answer requests until the container ends."""
function serve(worker::Worker)
    atexit(() -> leaving(worker))
    while true
        serve_one(worker, receive(worker.socket))
        tidy()
    end
end

function serve_one(worker::Worker, frames::Vector{Vector{UInt8}})
    request = understand(frames)
    request === nothing && return
    worker.asked = request
    try
        # what the source defines is newer than this loop
        invokelatest(handle, worker, request)
    catch exception
        exception isa Gone || rethrow()
    end
    worker.asked = nothing
    current_task().storage = nothing   # all calls are one task: the next finds nothing of this one
    return
end

"""The request that a message is; nothing for one that could not even be answered."""
function understand(frames::Vector{Vector{UInt8}})
    length(frames) >= 5 || return length(frames) < 3 ? nothing : unknown(frames)
    header = try
        read_json(frames[5])
    catch
        nothing
    end
    frames[2] == WIRE && header isa Dict || return unknown(frames)
    return Request(frames[1], frames[3], as_text(frames[4]), header, frames[6:end])
end

unknown(frames) = Request(frames[1], frames[3], "", Dict{String,Any}(), Vector{UInt8}[])

function handle(worker::Worker, request::Request)
    if request.verb == "call"
        carry_out(worker, request)
    elseif request.verb == "load"
        load(worker, request)
    elseif request.verb == "health"
        header = Object("calls" => worker.calls, "memory" => memory(), "loaded" => worker.loaded)
        answer(worker, request, "healthy", header)
    else
        answer(worker, request, "error", Object(
            "code" => "wire.version",
            "message" => "this worker speaks version 2: load, call and health",
        ))
    end
end

# --- the source ---------------------------------------------------------------------------------

"""Load the publisher's source, once, and tell what it publishes."""
function load(worker::Worker, request::Request)
    worker.loaded && return answer_failed(worker, request, "source.error", "this worker has a source", Frame[])
    started = time_ns()
    worker.loaded = true
    worker.file = FOLDER * basename(string(get(request.header, "file", "api.jl")))
    names = String[name for name in get(request.header, "functions", String[])]
    text = isempty(request.parts) ? "" : String(copy(request.parts[1]))
    progress = Progress(1)
    printed = worker.output.printed
    printed.most = MOST_AT_LOAD
    try
        found = load_source(worker.home, text, worker.file, names, progress)
        file_size(worker.output) <= MOST_AT_LOAD || throw(TooMuchOutput())
        worker.published = Dict(one.name => one for one in found)
        answer_loaded(worker, request, found, started)
    catch exception
        trace = catch_backtrace()
        exception isa Gone && rethrow()
        printed.most = typemax(Int)
        answer_failed(worker, request, invokelatest(load_failure, exception, trace, worker.file, progress)...)
    finally
        printed.most = typemax(Int)
    end
end

answer_loaded(worker::Worker, request::Request, found::Vector{Published}, started::UInt64) =
    answer(worker, request, "loaded", Object(
        "functions" => Any[as_object(one) for one in found],
        "seconds" => (time_ns() - started) / 1e9,
        "printed" => take_output!(worker.output),
    ))

answer_failed(worker::Worker, request::Request, code::String, message::String, frames::Vector{Frame}) =
    answer(worker, request, "failed", Object(
        "code" => code,
        "message" => message,
        "frames" => Any[as_object(frame) for frame in frames],
        "printed" => take_output!(worker.output),
    ))

"""Julia ends: tell whoever waits for an answer that it was the publisher's code that ended it."""
function leaving(worker::Worker)
    request = worker.asked
    request === nothing && return
    worker.asked = nothing
    message = "the code ended Julia (exit)"
    try
        if request.verb == "load"
            answer_failed(worker, request, "source.error", message, Frame[])
        elseif request.verb == "call"
            # so that the engine gives it no further call
            answer_error(worker, request, ErrorException(message), Ptr{Cvoid}[], time_ns(), "leaving" => true)
        end
        close_socket(worker.socket)
    catch
    end
end
