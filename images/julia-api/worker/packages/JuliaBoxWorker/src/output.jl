# What the publisher's code prints. Julia's own output is kept in memory; what C code and child
# processes print goes to a file on the tmpfs. Of both only the end is told, and neither grows:
# the ring is short, the file is as large as the tmpfs at most and emptied after each request.

const KEPT = 4096               # bytes that an answer carries
const MOST_AT_LOAD = 1_000_000  # bytes that a source may print while it loads

"""The source prints more, while it loads, than can be meant."""
struct TooMuchOutput <: Exception end

Base.showerror(io::IO, ::TooMuchOutput) =
    print(io, "the source prints more than $MOST_AT_LOAD bytes while it loads")

mutable struct Printed <: IO
    kept::Vector{UInt8}   # the last bytes, as a ring
    count::Int            # bytes that were printed
    most::Int             # bytes after which printing fails
end

Printed() = Printed(zeros(UInt8, KEPT), 0, typemax(Int))

Base.isopen(::Printed) = true
Base.isreadable(::Printed) = false
Base.iswritable(::Printed) = true
Base.close(::Printed) = nothing
Base.flush(::Printed) = nothing
Base.displaysize(::Printed) = (24, 80)
Base.show(io::IO, ::Printed) = print(io, "Printed()")

function Base.write(printed::Printed, byte::UInt8)
    printed.kept[printed.count%KEPT+1] = byte
    note!(printed, 1)
    return 1
end

function Base.unsafe_write(printed::Printed, source::Ptr{UInt8}, size::UInt)
    for skipped in max(0, Int(size) - KEPT):Int(size)-1
        @inbounds printed.kept[(printed.count+skipped)%KEPT+1] = unsafe_load(source, skipped + 1)
    end
    note!(printed, Int(size))
    return Int(size)
end

function note!(printed::Printed, size::Int)
    printed.count += size
    printed.count <= printed.most || throw(TooMuchOutput())
end

"""The last bytes that were printed; forgets them."""
function take_kept!(printed::Printed)
    first = max(0, printed.count - KEPT)
    bytes = UInt8[printed.kept[place%KEPT+1] for place in first:printed.count-1]
    printed.count = 0
    return bytes
end

"""Where output goes, and the file behind descriptors 1 and 2; -1 for none."""
struct Output
    printed::Printed
    file::Cint
end

const APPENDING = Base.Filesystem.JL_O_RDWR | Base.Filesystem.JL_O_CREAT |
    Base.Filesystem.JL_O_APPEND | Base.Filesystem.JL_O_TRUNC

"""Take all output of this process from here on. Nothing reaches the container's log any more."""
function capture_output(path::String)
    file = Base.Filesystem.open(path, APPENDING, 0o600)
    push!(captured, file)   # one that is collected is closed
    printed = Printed()
    use_for(1, printed)
    use_for(2, printed)
    Logging.global_logger(Logging.ConsoleLogger(printed))
    return Output(printed, reinterpret(Int32, file.handle))
end

const captured = Base.Filesystem.File[]

"""Let descriptor 1 or 2 be the file, and what Julia prints there go to `printed`."""
function use_for(standard::Int, printed::Printed)
    descriptor = reinterpret(Int32, captured[end].handle)
    ccall(:dup2, Cint, (Cint, Cint), descriptor, standard) < 0 && error("dup2 failed")
    Core.eval(Base, standard == 1 ? :(stdout = $printed) : :(stderr = $printed))
    return printed
end

# code that captures output for itself puts this back afterwards
if isdefined(Base, :RedirectStdStream)
    (redirect::Base.RedirectStdStream)(printed::Printed) = use_for(Int(redirect.unix_fd), printed)
else
    Base.redirect_stdout(printed::Printed) = use_for(1, printed)
    Base.redirect_stderr(printed::Printed) = use_for(2, printed)
end

"""Bytes in the file."""
file_size(output::Output) =
    output.file < 0 ? 0 : Int(ccall(:lseek, Int64, (Cint, Int64, Cint), output.file, 0, 2))

"""The end of what was printed since the last time, as text; forgets it."""
function take_output!(output::Output)
    Libc.flush_cstdio()
    bytes = take_kept!(output.printed)
    size = file_size(output)
    if size > 0
        tail = Vector{UInt8}(undef, min(size, KEPT))
        count = ccall(:pread, Cssize_t, (Cint, Ptr{UInt8}, Csize_t, Int64), output.file, tail, length(tail), size - length(tail))
        append!(bytes, tail[1:max(count, 0)])
        ccall(:ftruncate, Cint, (Cint, Int64), output.file, 0)
    end
    isempty(bytes) && return ""
    return as_text(bytes[max(1, end - KEPT + 1):end])
end

"""Bytes as text: what is not UTF-8 is replaced, a character that was cut is left out."""
function as_text(bytes::Vector{UInt8})
    first = 1
    while first <= min(3, length(bytes)) && bytes[first] & 0xc0 == 0x80
        first += 1
    end
    text = String(bytes[first:end])
    return isvalid(text) ? text : map(character -> isvalid(character) ? character : '\ufffd', text)
end
