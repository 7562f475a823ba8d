# Frames on the socket: UInt32 length of the rest, one byte that names the kind, then fields,
# each a UInt32 length and its bytes. All numbers are little-endian; text is UTF-8.

const LARGEST_FIELD = 64 * 1024 * 1024   # bytes; a larger rendering is replaced by a note

mutable struct Connection
    socket::IO
    sending::ReentrantLock
end

"""Open the socket that the parent process left at file descriptor `fd`."""
function connect_parent(fd::Integer)
    close_on_exec = 1
    ccall(:fcntl, Cint, (Cint, Cint, Cint), fd, 2, close_on_exec)   # 2: F_SETFD
    socket = Base.PipeEndpoint()
    Base.open_pipe!(socket, RawFD(fd))
    return Connection(socket, ReentrantLock())
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
# SIGINT, when it computes. Neither may hit the driver's own work.

mutable struct Interrupts
    evaluating::Union{Task,Nothing}   # the task that runs the user's code now
    protected::Int                    # > 0: the evaluating task is in the driver's code
    pending::Bool                     # an interrupt came while it was protected
end

const interrupts = Interrupts(nothing, 0, false)

"""Run `work` so that an interrupt of the evaluating task comes after it, not within."""
function uninterrupted(work)
    current_task() === interrupts.evaluating || return disable_sigint(work)
    interrupts.protected += 1
    try
        disable_sigint(work)
    finally
        interrupts.protected -= 1
        if interrupts.protected == 0 && interrupts.pending
            interrupts.pending = false
            throw(InterruptException())
        end
    end
end

"""Stop the evaluating task if it waits; called by the reader task, so it does wait."""
function interrupt_waiting()
    task = interrupts.evaluating
    (task === nothing || istaskdone(task)) && return
    if interrupts.protected > 0
        interrupts.pending = true
    else
        schedule(task, InterruptException(); error = true)
    end
    return
end

"""Run the user's `work` with interrupts on; a stale interrupt is dropped before."""
function interruptible(work)
    try
        Base.reenable_sigint(yield)
    catch exception
        exception isa InterruptException || rethrow()
    end
    interrupts.pending = false
    interrupts.protected = 0
    interrupts.evaluating = current_task()
    try
        return Base.reenable_sigint(work)
    finally
        interrupts.evaluating = nothing
    end
end
