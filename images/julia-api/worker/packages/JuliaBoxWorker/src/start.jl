# From a container's start to the first request.

const PORT = 8888
const KEY, WORKERS, RESULT = "JULIABOX_WORKER_KEY", "JULIABOX_WORKERS", "JULIABOX_RESULT_BYTES"
const RUN = "/run/juliabox"
const SOON = 1.0            # seconds within which one that is wanted now is told so: it has no time for an exercise
const CHILDREN_LIMIT = 60   # seconds until further workers listen

"""
Without arguments: wait for the manager, then be the first worker and start the further ones.
With a port: be a further worker, in the environment of the first.
"""
function main(arguments::Vector{String})
    make_known(JuliaBox)
    isempty(arguments) || return work(parse(Int, arguments[1]), rehearsing = true)
    door = Door()
    waiting = @async await_release(door)
    if timedwait(() -> door.environment !== nothing, SOON; pollint = 0.005) == :timed_out
        exercise(() -> door.environment !== nothing)
        GC.gc()
        tell_loaded(door)
    end
    wait(waiting)
    merge!(ENV, door.environment)
    count = parse(Int, get(ENV, WORKERS, "1"))
    further = PORT+1:PORT+count-1
    foreach(start_further, further)
    work(PORT, () -> (foreach(await_port, further); tell_listening(door)))
end

"""Listen, tell so, and serve; never returns."""
function work(port::Int, listening = () -> nothing; rehearsing::Bool = false)
    collected_to[] = 0
    container_memory[] = find_container_memory() ÷ parse(Int, get(ENV, WORKERS, "1"))
    most = parse(Int, get(ENV, RESULT, string(16 * 1024^2)))
    socket = listen("tcp://0.0.0.0:$port", pop!(ENV, KEY))
    rehearsing && exercise(() -> is_ready(socket))
    listening()
    output = capture_output("$RUN/output-$port")
    serve(Worker(socket, output, Main, most))
end

"""Let sources name the module, and write `using` of it."""
function make_known(helpers::Module)
    Core.eval(Main, :(const JuliaBox = $helpers))
    key = Base.PkgId(String(nameof(helpers)))
    Base.loaded_modules[key] = helpers
    Base.module_keys[helpers] = key
end

"""Start a further worker: a process of the same program, which ends with the container."""
function start_further(port::Int)
    command = `$(Base.julia_cmd()) --startup-file=no --history-file=no $PROGRAM_FILE $port`
    run(pipeline(command; stdout = stderr, stderr = stderr); wait = false)
end

function await_port(port::Int)
    limit = time() + CHILDREN_LIMIT
    while true
        try
            return close(Sockets.connect(ip"127.0.0.1", port))
        catch exception
            exception isa Base.IOError && time() < limit || rethrow()
            sleep(0.02)
        end
    end
end
