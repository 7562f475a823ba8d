"""
The worker of the REST API engine: carries out calls of a publisher's functions.

It waits for the manager (`slot.jl`), then answers the engine on a ZMQ socket (`serve.jl`), one
request at a time. The publisher's source lives in `Main`. Needs nothing but the standard library
and libzmq, from Julia 1.5 on.
"""
module JuliaBoxWorker

if isdefined(Base, :Experimental) && isdefined(Base.Experimental, Symbol("@optlevel"))
    @eval Base.Experimental.@optlevel 1   # most of this runs once or waits: compile it fast
end

import Base: invokelatest
import Dates
import Logging
import Sockets
import Sockets: @ip_str

include("JuliaBox.jl")
include("json_read.jl")
include("json_write.jl")
include("zmq.jl")
include("output.jl")
include("memory.jl")
include("errors.jl")
include("signatures.jl")
include("fit.jl")
include("source.jl")
include("worker.jl")
include("calls.jl")
include("serve.jl")
include("slot.jl")
include("exercise.jl")
include("start.jl")

# when the image is built: what an exercise used (see compile.sh) comes compiled, as far as this
# Julia keeps that
const USED = joinpath(@__DIR__, "used.txt")
if isfile(USED)
    for line in eachline(USED)
        try
            Core.eval(@__MODULE__, Meta.parse(line))
        catch
            # a name that the compiler made up, and that is another now
        end
    end
end

end
