# Become Julia's system with the worker's program in it, and with what an exercise of that used:
# the trace of it is the argument. Run with --output-o, so nothing is set up yet. What is done here
# has a module of its own: Main is kept as it is, for the publisher's source.
@eval Module() begin
    Base.reinit_stdio()
    Core.eval(Sys, :(BINDIR = ccall(:jl_get_julia_bindir, Any, ())::String))
    Core.eval(Sys, :(STDLIB = joinpath(BINDIR, "..", "share", "julia", "stdlib", "v$(VERSION.major).$(VERSION.minor)")))
    Base.init_load_path()
    isdefined(Base, :init_active_project) && Base.init_active_project()
    Base.init_depot_path()
    Base.require(Base.identify_package("JuliaBoxWorker"))

    # the names in the trace are those of modules
    stage = Module()
    for (id, loaded) in Base.loaded_modules
        id.name in ("Main", "Core", "Base") || Core.eval(stage, :(const $(Symbol(id.name)) = $loaded))
    end
    let kept = 0
        for line in eachline(ARGS[1])
            try
                Core.eval(stage, Meta.parse(line))
                kept += 1
            catch
                # a name that the compiler made up, or of the exercise's own
            end
        end
        kept > 100 || error("only $kept methods of the trace could be compiled")
    end
    empty!(LOAD_PATH)
    empty!(DEPOT_PATH)
end
