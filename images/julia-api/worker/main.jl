# The container's program. Whatever fails before it serves stands in the container's log.
try
    @eval using JuliaBoxWorker
    Base.invokelatest(() -> JuliaBoxWorker.main(ARGS))
catch exception
    print(stderr, "juliabox: the worker did not start: ")
    showerror(stderr, exception, catch_backtrace())
    println(stderr)
    ccall(:_exit, Cvoid, (Cint,), 70)
end
