include("JuliaBoxKernel.jl")
JuliaBoxKernel.serve(parse(Int, ARGS[1]))
