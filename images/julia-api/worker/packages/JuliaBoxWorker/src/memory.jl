# What a worker holds, and how much of that there is.

const PAGE = Int(ccall(:getpagesize, Cint, ()))

"""
Bytes of memory that this process holds. Those of files do not count: others share them, and they
are let go when memory is short.
"""
function memory()
    fields = split(read("/proc/self/statm", String))
    last_memory[] = (parse(Int, fields[2]) - parse(Int, fields[3])) * PAGE
    return last_memory[]
end

"""What it was when an answer was made."""
const last_memory = Ref(0)

"""Bytes of memory of the container; of which the collector of Julia 1.5 knows nothing."""
const container_memory = Ref(typemax(Int))

function find_container_memory()
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
        limit = isfile(path) ? tryparse(Int, strip(read(path, String))) : nothing
        limit === nothing || return limit
    end
    return typemax(Int)
end

"""What it was after the last collection."""
const collected_to = Ref(0)

"""
After an answer: collect when much of the container's memory is taken, and more than the last time
by what makes it worth while.
"""
function tidy()
    limit = container_memory[]
    last_memory[] > limit ÷ 2 && last_memory[] > collected_to[] + limit ÷ 8 || return
    GC.gc()
    collected_to[] = memory()
    return
end
