# libzmq, as much of it as one server needs.

const LIBZMQ = "libzmq.so.5"
const ROUTER, DEALER = 6, 5
const LINGER, SEND_LIMIT, SEND_TIME = 17, 23, 28
const ROUTER_MANDATORY, CURVE_SERVER, CURVE_SECRET_KEY = 33, 47, 49
const EVENTS, READABLE = 15, 1
const SEND_MORE = 2
const UNREACHABLE = 113   # EHOSTUNREACH: the one who asked has gone

"""Messages that wait for a slow reader; then sending waits."""
const OUTGOING = 64
"""Messages that are taken in while sending waits."""
const INCOMING = 64
"""Milliseconds between two looks at what has come in, while sending waits."""
const LOOK = 100

"""libzmq refused; the message says what."""
struct ZMQError <: Exception
    message::String
end

Base.showerror(io::IO, error::ZMQError) = print(io, error.message)

zmq_errno() = ccall((:zmq_errno, LIBZMQ), Cint, ())

function zmq_failed(what::String)
    number = zmq_errno()
    reason = unsafe_string(ccall((:zmq_strerror, LIBZMQ), Cstring, (Cint,), number))
    throw(ZMQError("$what: $reason"))
end

mutable struct Socket
    context::Ptr{Cvoid}
    handle::Ptr{Cvoid}
    message::Vector{UInt8}   # a zmq_msg_t
    waiting::Vector{Vector{Vector{UInt8}}}   # messages that came while one was sent
end

function Socket(kind::Integer)
    context = ccall((:zmq_ctx_new, LIBZMQ), Ptr{Cvoid}, ())
    context == C_NULL && zmq_failed("making a context")
    return Socket(context, kind)
end

function Socket(context::Ptr{Cvoid}, kind::Integer)
    handle = ccall((:zmq_socket, LIBZMQ), Ptr{Cvoid}, (Ptr{Cvoid}, Cint), context, kind)
    handle == C_NULL && zmq_failed("making a socket")
    return Socket(context, handle, zeros(UInt8, 64), Vector{Vector{UInt8}}[])
end

function set_option(socket::Socket, option::Integer, value::Integer)
    status = ccall(
        (:zmq_setsockopt, LIBZMQ), Cint, (Ptr{Cvoid}, Cint, Ref{Cint}, Csize_t),
        socket.handle, option, value, sizeof(Cint),
    )
    status == 0 || zmq_failed("option $option of a socket")
end

function set_option(socket::Socket, option::Integer, value::String)
    status = ccall(
        (:zmq_setsockopt, LIBZMQ), Cint, (Ptr{Cvoid}, Cint, Cstring, Csize_t),
        socket.handle, option, value, ncodeunits(value),
    )
    status == 0 || zmq_failed("option $option of a socket")
end

function bind(socket::Socket, address::String)
    status = ccall((:zmq_bind, LIBZMQ), Cint, (Ptr{Cvoid}, Cstring), socket.handle, address)
    status == 0 || zmq_failed("listening on $address")
end

function connect_to(socket::Socket, address::String)
    status = ccall((:zmq_connect, LIBZMQ), Cint, (Ptr{Cvoid}, Cstring), socket.handle, address)
    status == 0 || zmq_failed("connecting to $address")
end

"""
Open the socket of a worker: whoever knows the public half of `key` may ask. There is no list of
clients: the engine keeps that half for itself, and nobody else reaches the port.
"""
function listen(address::String, key::String)
    socket = Socket(ROUTER)
    set_option(socket, CURVE_SERVER, 1)
    set_option(socket, CURVE_SECRET_KEY, key)
    set_option(socket, ROUTER_MANDATORY, 1)   # else answers to a slow reader are dropped
    set_option(socket, SEND_LIMIT, OUTGOING)
    set_option(socket, SEND_TIME, LOOK)
    set_option(socket, LINGER, 500)
    bind(socket, address)
    return socket
end

"""
Wait for one message, in which no task runs; return its frames, ahead of them the name of the one
who sent it where libzmq tells that.
"""
receive(socket::Socket) =
    isempty(socket.waiting) ? receive_next(socket) : popfirst!(socket.waiting)

function receive_next(socket::Socket)
    frames = Vector{UInt8}[]
    message = socket.message
    while true
        ccall((:zmq_msg_init, LIBZMQ), Cint, (Ptr{UInt8},), message)
        while ccall((:zmq_msg_recv, LIBZMQ), Cint, (Ptr{UInt8}, Ptr{Cvoid}, Cint), message, socket.handle, 0) < 0
            zmq_errno() == Libc.EINTR || zmq_failed("waiting for a message")
        end
        size = Int(ccall((:zmq_msg_size, LIBZMQ), Csize_t, (Ptr{UInt8},), message))
        data = ccall((:zmq_msg_data, LIBZMQ), Ptr{UInt8}, (Ptr{UInt8},), message)
        frame = unsafe_wrap(Array, data, size)   # libzmq's own memory, until it is closed
        more = ccall((:zmq_msg_more, LIBZMQ), Cint, (Ptr{UInt8},), message) != 0
        more ? push!(frames, copy(frame)) : append!(frames, unpack(frame))
        ccall((:zmq_msg_close, LIBZMQ), Cint, (Ptr{UInt8},), message)
        more || return frames
    end
end

"""Whether a message waits."""
is_ready(socket::Socket) = !isempty(socket.waiting) || has_come(socket)

function has_come(socket::Socket)
    events, size = Ref{Cint}(0), Ref{Csize_t}(sizeof(Cint))
    ccall(
        (:zmq_getsockopt, LIBZMQ), Cint, (Ptr{Cvoid}, Cint, Ref{Cint}, Ref{Csize_t}),
        socket.handle, EVENTS, events, size,
    )
    return events[] & READABLE != 0
end

"""Send one message, to the one so named where there are many; false if that one has gone."""
function send(socket::Socket, frames::Vector{Vector{UInt8}}, name::Vector{UInt8}...)
    for part in name
        insist(socket) do
            ccall((:zmq_send, LIBZMQ), Cint, (Ptr{Cvoid}, Ptr{UInt8}, Csize_t, Cint), socket.handle, part, length(part), SEND_MORE)
        end || return false
    end
    message = zeros(UInt8, 64)   # a zmq_msg_t: what is in it is libzmq's, and not copied once more
    size = packed_size(frames)
    ccall((:zmq_msg_init_size, LIBZMQ), Cint, (Ptr{UInt8}, Csize_t), message, size) == 0 || zmq_failed("making a message")
    data = ccall((:zmq_msg_data, LIBZMQ), Ptr{UInt8}, (Ptr{UInt8},), message)
    pack!(unsafe_wrap(Array, data, size), frames)
    return insist(socket) do
        ccall((:zmq_msg_send, LIBZMQ), Cint, (Ptr{UInt8}, Ptr{Cvoid}, Cint), message, socket.handle, 0)
    end
end

"""Send until libzmq takes it, and read meanwhile; false if the one it is for has gone."""
function insist(send_once, socket::Socket)
    while send_once() < 0
        zmq_errno() == UNREACHABLE && return false
        zmq_errno() == Libc.EAGAIN && (take_in(socket); continue)
        zmq_errno() == Libc.EINTR || zmq_failed("sending a message")
    end
    return true
end

"""
Read what has come. libzmq learns that a reader has gone only when it has read all that this one
had sent before; a sender that waits for that reader would never hear of it.
"""
function take_in(socket::Socket)
    while length(socket.waiting) < INCOMING && has_come(socket)
        push!(socket.waiting, receive_next(socket))
    end
end

"""Send what is under way, for as long as the socket lingers, and close."""
function close_socket(socket::Socket)
    ccall((:zmq_close, LIBZMQ), Cint, (Ptr{Cvoid},), socket.handle)
    ccall((:zmq_ctx_term, LIBZMQ), Cint, (Ptr{Cvoid},), socket.context)
    return nothing
end

# The frames of a message travel as one frame of ZMQ's, since libzmq encrypts each one by itself:
# their number and their lengths, as words of 32 bits with the lowest byte first, then they
# themselves.

packed_size(frames::Vector{Vector{UInt8}}) = 4 * (length(frames) + 1) + sum(length, frames)

function pack!(message::Vector{UInt8}, frames::Vector{Vector{UInt8}})
    at = 4 * (length(frames) + 1)
    set_word(message, 0, length(frames))
    for (number, frame) in enumerate(frames)
        set_word(message, number, length(frame))
        copyto!(message, at + 1, frame, 1, length(frame))
        at += length(frame)
    end
    return message
end

"""The frames of a message; none if it is no such message."""
function unpack(message::Vector{UInt8})
    none = Vector{UInt8}[]
    length(message) >= 4 || return none
    number = word(message, 0)
    at = 4 * (number + 1)
    at <= length(message) || return none
    frames = Vector{UInt8}[]
    for place in 1:number
        size = word(message, place)
        at + size <= length(message) || return none
        push!(frames, message[(at + 1):(at + size)])
        at += size
    end
    return at == length(message) ? frames : none
end

function set_word(message::Vector{UInt8}, place::Int, value::Int)
    for byte in 0:3
        message[4 * place + byte + 1] = (value >> (8 * byte)) % UInt8
    end
end

word(message::Vector{UInt8}, place::Int) =
    sum(Int(message[4 * place + byte + 1]) << (8 * byte) for byte in 0:3)
