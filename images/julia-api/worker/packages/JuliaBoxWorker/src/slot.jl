# The container's slot: the manager hands the environment over there (see slots.py of the manager).
# Lines of JSON, version 2: this process tells `loaded`, `accepted` and `listening`.

const SLOT = "/home/entry.sock"
const HANDOVER = 2
const RETRY = 0.05   # seconds; the manager may be restarting

mutable struct Door
    connection::Union{IO,Nothing}
    loaded::Bool
    environment::Union{Dict{String,Any},Nothing}
end

Door() = Door(nothing, false, nothing)

"""Connect until the manager hands over an environment, and take it."""
function await_release(door::Door)
    while door.environment === nothing
        try
            door.connection = Sockets.connect(SLOT)
            door.loaded && tell(door, "loaded")
            environment = take_environment(readline(door.connection))
            tell(door, "accepted")
            door.environment = environment
        catch exception
            exception isa Union{Base.IOError,JSONError,EOFError} || rethrow()
            door.connection === nothing || close(door.connection)
            door.connection = nothing
            sleep(RETRY)
        end
    end
end

"""The environment in a line of the manager. Throws `JSONError` for anything else."""
function take_environment(line::String)
    message = read_json(Vector{UInt8}(codeunits(line)))
    environment = message isa Dict && get(message, "version", 0) == HANDOVER ?
        get(message, "environment", nothing) : nothing
    environment isa Dict && all(value -> value isa String, values(environment)) && return environment
    println(stderr, "juliabox: the manager sent a message that this image does not understand")
    throw(JSONError("not an environment", 1))
end

tell(door::Door, state::String) =
    write(door.connection, write_header(Object("version" => HANDOVER, "state" => state)), '\n')

"""Tell the manager, now or when it is back, that all is prepared, unless it did not wait for that."""
function tell_loaded(door::Door)
    door.loaded = true
    (door.connection === nothing || door.environment !== nothing) && return
    try
        tell(door, "loaded")
    catch exception
        exception isa Base.IOError || rethrow()
    end
end

"""Tell the manager that the ports listen, and hang up."""
function tell_listening(door::Door)
    door.connection === nothing && return
    try
        tell(door, "listening")
        close(door.connection)
    catch exception
        exception isa Base.IOError || rethrow()
    end
end
