# Everything is done once for nobody, so that it is compiled when the first call comes: the wire,
# sources, calls and errors of many kinds. Nothing of it stays: the module it happens in is dropped.

const REHEARSED = """
\"\"\"Adds.\"\"\"
function total(x::Number, more::Number = 1; factor::Int = 1, label = "")
    print(devnull, label)
    return (x + more) * factor
end
mean(values::Vector{Float64}) = sum(values) / length(values)
echo(value) = value
failing(x) = sqrt(x - 10.0)
unknown(x) = no_such_function(x)
mistaken(x) = x + "a"
several(n::Int) = (i^2 for i in 1:n)
shown(x) = JuliaBox.html("<p>\$x</p>")
"""

const REHEARSED_CALLS = [
    ("total", "[30]", "{}", ""), ("total", "[1, 2.5]", "{\"factor\": 2, \"label\": \"a\"}", ""),
    ("total", "[]", "{}", "{\"x\": 1}"), ("total", "[\"a\"]", "{}", ""), ("total", "[1]", "{\"z\": 1}", ""),
    ("mean", "[]", "{}", "[[1, 2, 3]]"), ("mean", "[[1.5, 2]]", "{}", ""), ("mean", "[]", "{}", "[1"),
    ("echo", "[]", "{}", "{\"value\": 1}"),
    ("echo", "[]", "{}", "[{\"a\": [1, 2.5, \"\\u00fc\\n\", null, true], \"b\": {\"c\": [[1, 2], [3, 4]]}}]"),
    ("echo", "[[\"a\", \"b\"]]", "{}", ""), ("echo", "[[true, false]]", "{}", ""),
    ("echo", "[\"a\"]", "{}", ""), ("echo", "[12345678901234567890]", "{}", ""), ("echo", "[null]", "{}", ""),
    ("failing", "[1]", "{}", ""), ("unknown", "[1]", "{}", ""), ("mistaken", "[1]", "{}", ""),
    ("several", "[3]", "{}", ""), ("shown", "[1]", "{}", ""), ("absent", "[]", "{}", ""),
]

const VALUES = Any[
    (a = 1, b = "x"), Dict("a" => [1, 2]), Dict(:a => 1.5), [1 2; 3 4], [1.0, 2.0], [1, 2], ["a"],
    Any[1, "a"], (1, 2), 1:3, 'a', :a, 1.5f0, big(2), [[1.0], [2.0]], 1 => 2, true, nothing,
]

"""Do all of it, until that is enough."""
function exercise(is_enough)
    usual = set_optimization(1)   # compiling takes most of the time
    rehearse(is_enough)
    set_optimization(usual)
    return nothing
end

"""Set the level at which code is compiled from now on; returns the one before."""
function set_optimization(level)
    index = Base.fieldindex(Base.JLOptions, :opt_level, false)
    index == 0 && return nothing
    offset = fieldoffset(Base.JLOptions, index)
    place = convert(Ptr{fieldtype(Base.JLOptions, index)}, cglobal(:jl_options) + offset)
    before = unsafe_load(place)
    unsafe_store!(place, level)
    return before
end

function rehearse(is_enough)
    context = ccall((:zmq_ctx_new, LIBZMQ), Ptr{Cvoid}, ())
    mine, engine = Socket(context, ROUTER), Socket(context, DEALER)
    bind(mine, "inproc://exercise")
    connect_to(engine, "inproc://exercise")
    worker = Worker(mine, Output(Printed(), -1), stage(), 1_000_000)
    ask(engine, worker, "load", "{\"file\": \"a.jl\", \"functions\": [\"total\", \"mean\", \"echo\", \"failing\", \"unknown\", \"mistaken\", \"several\", \"shown\"]}", REHEARSED)
    for (name, arguments, keywords, body) in REHEARSED_CALLS
        yield()   # to the task that hears from the manager
        is_enough() && break
        ask(engine, worker, "call", "{\"function\": \"$name\"}", arguments, keywords, body)
    end
    is_enough() || rehearse_the_rest(engine, worker)
    for socket in (mine, engine)
        ccall((:zmq_close, LIBZMQ), Cint, (Ptr{Cvoid},), socket.handle)
    end
    ccall((:zmq_ctx_term, LIBZMQ), Cint, (Ptr{Cvoid},), context)
    return nothing
end

"""A module such as sources are evaluated in."""
function stage()
    empty = Module(:Rehearsal)
    Core.eval(empty, :(const JuliaBox = $JuliaBox))
    return empty
end

function rehearse_the_rest(engine::Socket, worker::Worker)
    for value in VALUES
        write_json(value, 1000)
    end
    ask(engine, worker, "health", "{}")
    println(worker.output.printed, "a", 1)
    take_output!(worker.output)
    ask(engine, worker, "nonsense", "{}")
    for source in ("f(x) = ", "error(\"no\")", "g = 1")
        again = Worker(worker.socket, Output(Printed(), -1), stage(), 1000)
        ask(engine, again, "load", "{\"file\": \"a.jl\", \"functions\": [\"f\"]}", source)
    end
    tidy()
end

"""Send a message as the engine does, have it served, and take the answers."""
function ask(engine::Socket, worker::Worker, verb::String, header::String, parts::String...)
    frames = Vector{UInt8}[WIRE]
    foreach(text -> push!(frames, Vector{UInt8}(codeunits(text))), ("0", verb, header, parts...))
    send(engine, frames)
    serve_one(worker, receive(worker.socket))
    while receive(engine)[3] == ITEM
    end
end

const ITEM = Vector{UInt8}("item")
