# Frames on the socket: UInt32 length of the rest, one byte that names the kind, then fields,
# each a UInt32 length and its bytes. All numbers are little-endian; text is UTF-8.

const LARGEST_FIELD = 64 * 1024 * 1024   # bytes; a larger rendering is replaced by a note

mutable struct Connection
    socket::IO
    sending::ReentrantLock
    showing::ReentrantLock
    shown::Channel{Nothing}   # the parent's word that a display is out
end

Connection(socket::IO) =
    Connection(socket, ReentrantLock(), ReentrantLock(), Channel{Nothing}(Inf))

"""Open the socket that the parent process left at file descriptor `fd`."""
function connect_parent(fd::Integer)
    close_on_exec = 1
    ccall(:fcntl, Cint, (Cint, Cint, Cint), fd, 2, close_on_exec)   # 2: F_SETFD
    socket = Base.PipeEndpoint()
    Base.open_pipe!(socket, RawFD(fd))
    return Connection(socket)
end

as_bytes(field::Vector{UInt8}) = field
as_bytes(field::AbstractString) = Vector{UInt8}(codeunits(String(field)))
as_bytes(field::Integer) = as_bytes(string(field))

"""Write one frame. An interrupt never leaves half of it on the socket."""
function send(connection::Connection, kind::Char, fields...)
    frame = IOBuffer()
    parts = [as_bytes(field) for field in fields]
    length_of_rest = 1 + sum(Int[4 + length(part) for part in parts])
    write(frame, htol(UInt32(length_of_rest)), UInt8(kind))
    for part in parts
        write(frame, htol(UInt32(length(part))), part)
    end
    uninterrupted() do
        lock(connection.sending) do
            write(connection.socket, take!(frame))
        end
    end
    return nothing
end

"""
Send a frame that shows something, and await the parent's word that it is out: what is printed
from then on comes after it, and a flood of displays goes no faster than they are shown.
"""
function show_frame(connection::Connection, kind::Char, fields...)
    uninterrupted() do
        lock(connection.showing) do
            send(connection, kind, fields...)
            take!(connection.shown)
        end
    end
    return nothing
end

"""Read one frame as `(kind, fields)`, or `nothing` when the parent has gone."""
function receive(connection::Connection)
    header = read(connection.socket, 4)
    length(header) == 4 || return nothing
    rest = read(connection.socket, ltoh(reinterpret(UInt32, header)[1]))
    source = IOBuffer(rest)
    kind = Char(read(source, UInt8))
    fields = Vector{UInt8}[]
    while !eof(source)
        push!(fields, read(source, ltoh(read(source, UInt32))))
    end
    return kind, fields
end

# --- interrupts -------------------------------------------------------------------------
# The evaluating task may be stopped in two ways: by the reader task, when it waits, or by
# SIGINT, when it computes. The parent asks for the first always, and for the second when that
# takes too long. Neither may hit the driver's own work.

mutable struct Interrupts
    evaluating::Union{Task,Nothing}   # the task that runs the user's code now
    outstanding::Int                  # requests that came and are not finished
    protected::Int                    # > 0: the evaluating task is in the driver's code
    pending::Bool                     # an interrupt awaits the user's code
    warming::Bool                     # what is evaluated now is not a request
end

const interrupts = Interrupts(nothing, 0, 0, false, false)

"""Run `work` so that an interrupt of the evaluating task comes after it, not within."""
function uninterrupted(work)
    current_task() === interrupts.evaluating || return disable_sigint(work)
    interrupts.protected += 1
    try
        disable_sigint(work)
    finally
        interrupts.protected -= 1
        interrupts.protected == 0 && throw_pending()
    end
end

function throw_pending()
    interrupts.pending || return
    interrupts.pending = false
    throw(InterruptException())
end

"""Stop the request at hand, or the next where none is at hand yet. The reader task's part."""
function interrupt_waiting()
    interrupts.outstanding > 0 || return
    task = interrupts.evaluating
    if task === nothing || interrupts.protected > 0
        interrupts.pending = true
    elseif !istaskdone(task)
        schedule(task, InterruptException(); error = true)
    end
    return
end

"""Run the user's `work` with interrupts on. A SIGINT from before is dropped."""
function interruptible(work)
    interrupts.warming && return work()
    try
        Base.reenable_sigint(yield)
    catch exception
        exception isa InterruptException || rethrow()
    end
    interrupts.protected = 0
    interrupts.evaluating = current_task()
    try
        throw_pending()
        return Base.reenable_sigint(work)
    finally
        interrupts.evaluating = nothing
    end
end
