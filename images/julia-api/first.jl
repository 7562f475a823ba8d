# Manager and engine of one start, in which the worker compiles all that a start and a first call
# need: first.jl TRACE has its compiler tell that.
using JuliaBoxWorker, Sockets

const W = JuliaBoxWorker
const PUBLIC_KEY, SERVER_KEY = 48, 50

"""A pair of keys, as libzmq writes them."""
function keys_of_curve()
    public, secret = zeros(UInt8, 41), zeros(UInt8, 41)
    ccall((:zmq_curve_keypair, W.LIBZMQ), Cint, (Ptr{UInt8}, Ptr{UInt8}), public, secret)
    return String(public[1:40]), String(secret[1:40])
end

function ask(engine, frames...)
    W.send(engine, Vector{UInt8}[Vector{UInt8}(codeunits(frame)) for frame in ("JBW2", "a", frames...)])
    return String(W.receive(engine)[3])
end

expect(found, wanted) = found == wanted || error("$found, not $wanted")

mkpath("/run/juliabox")
door = Sockets.listen(W.SLOT)
command = `$(Base.julia_cmd()) --startup-file=no --history-file=no --trace-compile=$(ARGS[1])`
worker = run(pipeline(`$command /opt/juliabox/api/main.jl`; stdout = stdout, stderr = stderr); wait = false)
connection = accept(door)
expect(occursin("loaded", readline(connection)), true)
public, secret = keys_of_curve()
println(connection, """{"version":2,"environment":{"JULIABOX_WORKER_KEY":"$secret","JULIABOX_WORKERS":"1"}}""")
expect(occursin("accepted", readline(connection)), true)
expect(occursin("listening", readline(connection)), true)
engine = W.Socket(W.DEALER)
mine = keys_of_curve()
W.set_option(engine, SERVER_KEY, public)
W.set_option(engine, PUBLIC_KEY, mine[1])
W.set_option(engine, W.CURVE_SECRET_KEY, mine[2])
W.connect_to(engine, "tcp://127.0.0.1:$(W.PORT)")
source = "\"\"\"Adds.\"\"\"\nadd(x::Int, y = 1; z = 0) = x + y + z\nname(text) = string(text)\n"
expect(ask(engine, "load", """{"file":"a.jl","functions":["add","name"]}""", source), "loaded")
expect(ask(engine, "health", "{}"), "healthy")
expect(ask(engine, "call", """{"function":"add"}""", "[1, 2]", """{"z": 3}""", ""), "result")
expect(ask(engine, "call", """{"function":"name"}""", "[]", "{}", "\"a\""), "result")
expect(ask(engine, "call", """{"function":"add"}""", "[\"a\"]", "{}", ""), "error")
kill(worker, Base.SIGKILL)
rm(W.SLOT; force = true)
