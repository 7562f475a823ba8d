# Every kind of state that one call can leave behind for the next, and a look for each.
#
# ``poison(word)`` leaves all of it; ``look(word)`` tells by name which of it is there. In the
# container that was poisoned most of it is, or a look that finds nothing elsewhere proves nothing.

using Random
using Sockets

const START = pwd()
mutable struct Box
    value::Any
end
const BOX = Box(nothing)
replaced() = "as published"

seen(work) = try work() === true catch; false end

function poison(word::String)
    failed = Dict{String,Any}()
    for (name, work) in STEPS
        told = try work(word); nothing catch error; sprint(showerror, error) end
        told === nothing || (failed[name] = told)
    end
    failed
end

look(word::String) = Dict(name => seen(() -> work(word)) for (name, work) in LOOKS)

# keeps children and tasks from the collector
const KEPT = Any[]

port(word) = 20_000 + hash(word) % 10_000
script(word) = "while true; do sleep 1; done; : $word"

function running(word)
    for pid in filter(name -> all(isdigit, name), readdir("/proc"))
        line = try read("/proc/$pid/cmdline", String) catch; "" end
        occursin(": $word", line) && return true
    end
    false
end

const STEPS = [
    "global of Main" => word -> Core.eval(Main, :(poisoned_global = $word)),
    "global of the source" => word -> (BOX.value = word),
    "method of the source" => word -> Core.eval(@__MODULE__, :(replaced() = $word)),
    "method of Base" => word -> Core.eval(Base, :(sin(x::Complex{Bool}) = $word)),
    "new module" => word -> Core.eval(Main, :(module Poisoned; const WORD = $word; end)),
    "file in /tmp" => word -> write("/tmp/poisoned", word),
    "file in /dev/shm" => word -> write("/dev/shm/poisoned", word),
    "environment" => word -> (ENV["POISONED"] = word),
    "environment of C" => word -> ccall(:setenv, Cint, (Cstring, Cstring, Cint), "POISONED_C", word, 1),
    "random numbers" => word -> Random.seed!(Random.GLOBAL_RNG, 4242),
    "working folder" => word -> cd("/dev"),
    "load path" => word -> push!(LOAD_PATH, "/tmp/$word"),
    "depot path" => word -> push!(DEPOT_PATH, "/tmp/$word"),
    "arguments" => word -> push!(ARGS, word),
    "task" => word -> push!(KEPT, @async while true
        write("/tmp/task", word)
        sleep(0.2)
    end),
    "process" => word -> push!(KEPT, run(Cmd(`sh -c $(script(word))`, detach = true), wait = false)),
    "listener" => word -> push!(KEPT, listen(ip"127.0.0.1", port(word))),
    "signal" => word -> ccall(:signal, Ptr{Cvoid}, (Cint, Ptr{Cvoid}), 10, Ptr{Cvoid}(1)),
    "umask" => word -> ccall(:umask, Cuint, (Cuint,), 0o000),
    "niceness" => word -> ccall(:setpriority, Cint, (Cint, Cuint, Cint), 0, 0, 7),
    "name of the process" => word -> ccall(:prctl, Cint, (Cint, Cstring), 15, "poisoned"),
]

ignored(number) = begin
    line = first(filter(one -> startswith(one, "SigIgn:"), readlines("/proc/self/status")))
    (parse(UInt64, split(line)[2], base = 16) >> (number - 1)) & 1 == 1
end

const LOOKS = [
    "global of Main" => word -> isdefined(Main, :poisoned_global) && Core.eval(Main, :poisoned_global) == word,
    "global of the source" => word -> BOX.value == word,
    "method of the source" => word -> Base.invokelatest(replaced) == word,
    "method of Base" => word -> Base.invokelatest(sin, Complex(true, false)) == word,
    "new module" => word -> isdefined(Main, :Poisoned),
    "file in /tmp" => word -> isfile("/tmp/poisoned"),
    "file in /dev/shm" => word -> isfile("/dev/shm/poisoned"),
    "environment" => word -> haskey(ENV, "POISONED"),
    "environment of C" => word -> ccall(:getenv, Ptr{UInt8}, (Cstring,), "POISONED_C") != C_NULL,
    "random numbers" => word -> rand(Random.GLOBAL_RNG, UInt64) == rand(typeof(copy(Random.GLOBAL_RNG))(4242), UInt64),
    "working folder" => word -> pwd() != START,
    "load path" => word -> "/tmp/$word" in LOAD_PATH,
    "depot path" => word -> "/tmp/$word" in DEPOT_PATH,
    "arguments" => word -> word in ARGS,
    "task" => word -> (rm("/tmp/task", force = true); sleep(0.5); isfile("/tmp/task")),
    "process" => word -> running(word),
    "listener" => word -> (close(connect(ip"127.0.0.1", port(word))); true),
    "signal" => word -> ignored(10),
    "umask" => word -> (old = ccall(:umask, Cuint, (Cuint,), 0o022); ccall(:umask, Cuint, (Cuint,), old); old == 0),
    "niceness" => word -> ccall(:getpriority, Cint, (Cint, Cuint), 0, 0) == 7,
    "name of the process" => word -> strip(read("/proc/self/comm", String)) == "poisoned",
]
