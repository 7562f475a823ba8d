# What the parts of a worker hand each other.

const WIRE = Vector{UInt8}("JBW2")

struct Request
    from::Vector{UInt8}   # whom ZMQ hands the answer
    id::Vector{UInt8}
    verb::String
    header::Dict{String,Any}
    parts::Vector{Vector{UInt8}}
end

mutable struct Worker
    socket::Socket
    output::Output
    home::Module                      # where the source is evaluated
    most::Int                         # bytes of a result
    file::String
    loaded::Bool
    published::Dict{String,Published}
    calls::Int
    asked::Union{Request,Nothing}     # what is being carried out
end

Worker(socket::Socket, output::Output, home::Module, most::Int) =
    Worker(socket, output, home, most, "", false, Dict{String,Published}(), 0, nothing)

"""Answer a request. Throws `Gone` where nobody is there to take it."""
function answer(worker::Worker, request::Request, kind::String, header::Object, bodies::Vector{UInt8}...)
    frames = Vector{UInt8}[WIRE, request.id, Vector{UInt8}(codeunits(kind)), write_header(header)]
    append!(frames, bodies)
    send(worker.socket, frames, request.from) || throw(Gone())
end
