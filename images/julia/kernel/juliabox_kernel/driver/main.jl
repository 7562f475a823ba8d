# Start: main.jl DESCRIPTOR PARENT serve|wait. Whatever fails here ends Julia; the parent says so.
try
    include("JuliaBoxKernel.jl")
    JuliaBoxKernel.serve(parse(Int, ARGS[1]), parse(Int, ARGS[2]), ARGS[3] == "wait")
catch exception
    showerror(stderr, exception, catch_backtrace())
    println(stderr)
    ccall(:_exit, Cvoid, (Cint,), 70)
end
