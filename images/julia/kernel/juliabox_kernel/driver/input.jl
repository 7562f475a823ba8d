# Standard input: what the person types into the notebook, asked for when the program reads.

mutable struct NotebookInput <: IO
    connection::Connection
    buffer::IOBuffer
    answers::Channel{Union{String,Nothing}}
    allowed::Bool
    prompt::String
end

NotebookInput(connection::Connection) =
    NotebookInput(connection, IOBuffer(), Channel{Union{String,Nothing}}(1), false, "stdin> ")

struct InputNotAllowed <: Exception end

Base.showerror(io::IO, ::InputNotAllowed) =
    print(io, "InputNotAllowed: this cell reads standard input, which its front end does not offer")

"""Ask the person for one line. `nothing` when the question was withdrawn."""
function ask(input::NotebookInput, prompt::AbstractString; password::Bool = false)
    input.allowed || throw(InputNotAllowed())
    Libc.flush_cstdio()
    while isready(input.answers)   # the answer to a question that was interrupted
        take!(input.answers)
    end
    send(input.connection, 'i', prompt, password ? "1" : "0")
    return take!(input.answers)
end

function fill!(input::NotebookInput)
    answer = ask(input, input.prompt)
    answer === nothing && return false
    input.buffer = IOBuffer(answer * "\n")
    return true
end

Base.isopen(::NotebookInput) = true
Base.isreadable(::NotebookInput) = true
Base.iswritable(::NotebookInput) = false
Base.close(::NotebookInput) = nothing
Base.bytesavailable(input::NotebookInput) = bytesavailable(input.buffer)
Base.eof(input::NotebookInput) = eof(input.buffer) && !fill!(input)
Base.read(input::NotebookInput, ::Type{UInt8}) =
    eof(input) ? throw(EOFError()) : read(input.buffer, UInt8)
Base.peek(input::NotebookInput) = eof(input) ? throw(EOFError()) : Base.peek(input.buffer)
Base.readavailable(input::NotebookInput) = eof(input) ? UInt8[] : read(input.buffer)
Base.show(io::IO, ::NotebookInput) = print(io, "NotebookInput()")

function Base.unsafe_read(input::NotebookInput, target::Ptr{UInt8}, count::UInt)
    for i in 1:count
        unsafe_store!(target, read(input, UInt8), i)
    end
    return nothing
end

function Base.getpass(input::NotebookInput, ::IO, prompt::AbstractString)
    answer = ask(input, prompt * ": "; password = true)
    return Base.SecretBuffer(answer === nothing ? "" : answer)
end
