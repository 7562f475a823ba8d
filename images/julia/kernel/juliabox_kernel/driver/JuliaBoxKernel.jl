"""
The Julia side of JuliaBox's kernel. A Python process that speaks the Jupyter protocol drives
it over one socket; standard output and error are plain pipes that the Python side reads, so
that what C code and child processes print is seen as well.

Needs nothing but the standard library, from Julia 1.5 on.
"""
module JuliaBoxKernel

if isdefined(Base, :Experimental) && isdefined(Base.Experimental, Symbol("@optlevel"))
    @eval Base.Experimental.@optlevel 1   # this code waits more than it computes: compile it fast
end

import Base: invokelatest
import Base.Multimedia
import InteractiveUtils
import Logging
import Markdown
import Random
import REPL
import REPL.REPLCompletions

include("frames.jl")
include("input.jl")
include("bundles.jl")
include("evaluate.jl")
include("language.jl")
include("compatibility.jl")
include("serve.jl")

end
