# The loop that answers the Python side.

const connection = Ref{Connection}()
const input = Ref{NotebookInput}()

"""Take the socket at `fd`, announce this process, and answer until the parent goes."""
function serve(fd::Integer)
    die_with_parent()
    ccall(:jl_exit_on_sigint, Cvoid, (Cint,), 0)
    connection[] = connect_parent(fd)
    input[] = NotebookInput(connection[])
    prepare_session()
    requests = Channel{Tuple{Char,Vector{Vector{UInt8}}}}(Inf)
    @async disable_sigint(() -> read_requests(requests))
    send(connection[], 'h', string(VERSION), getpid())
    disable_sigint() do
        for (kind, fields) in requests
            answer(kind, String[String(field) for field in fields])
        end
    end
end

"""End this process when the Python process dies, also in the middle of a computation."""
function die_with_parent()
    set_death_signal, kill = 1, 9
    ccall(:prctl, Cint, (Cint, Culong, Culong, Culong, Culong), set_death_signal, kill, 0, 0, 0)
end

function prepare_session()
    Core.eval(Base, Expr(:(=), :stdin, input[]))
    pushdisplay(NotebookDisplay(connection[]))
    Logging.global_logger(Logging.ConsoleLogger(IOContext(stderr, :color => true)))
end

function read_requests(requests::Channel)
    while true
        frame = receive(connection[])
        frame === nothing && leave()
        kind, fields = frame
        if kind == 'N'
            interrupt_waiting()
            send(connection[], 'n')
        elseif kind == 'R'
            put!(input[].answers, fields[1] == b"1" ? String(fields[2]) : nothing)
        else
            put!(requests, frame)
        end
    end
end

"""The parent has gone: end the children of this process as well."""
function leave()
    try
        exit(0)
    finally
        ccall(:kill, Cint, (Cint, Cint), 0, 9)
    end
end

function answer(kind::Char, fields::Vector{String})
    if kind == 'X'
        execute(fields...)
    elseif kind == 'C'
        reply(() -> (range = complete(fields[1], parse(Int, fields[2])); (range[1], range[2], range[3]...)))
    elseif kind == 'I'
        reply(() -> inspect(fields[1], parse(Int, fields[2])))
    elseif kind == 'K'
        reply(() -> completeness(fields[1]))
    elseif kind == 'U'
        reply(() -> bundle(interruptible(() -> evaluate(fields[1], "expression"))))
    end
end

"""Answer a question; whatever fails is sent as an error and ends nothing."""
function reply(work)
    answered = try
        invokelatest(work)
    catch
        send(connection[], 'e', describe(exception_stack())...)
        nothing
    end
    answered === nothing || send(connection[], 'a', answered...)
    send(connection[], 'f')
end

function inspect(code::String, position::Int)
    name = name_at(code, position)
    (isempty(name) || !is_known(name)) && return ()
    found = documentation(name)
    return found === nothing ? () : (found[2], found[3])
end

function execute(code::String, count::String, silent::String, allow_stdin::String)
    input[].allowed = allow_stdin == "1"
    try
        interruptible() do
            value = run_cell(code, "In[$count]")
            show_result(code, value, silent == "1")
        end
    catch
        send(connection[], 'e', describe(exception_stack())...)
    end
    Libc.flush_cstdio()
    send(connection[], 'f')
end

function run_cell(code::String, filename::String)
    question = match(r"^\s*\?([^\n]*\S)\s*$", code)
    question === nothing && return evaluate(code, filename)
    found = documentation(strip(question[1], [' ', '?']))
    found === nothing || send(connection[], 'o', found...)
    return nothing
end

function show_result(code::String, value, silent::Bool)
    value === nothing || silent || set_answer(value)
    Libc.flush_cstdio()
    (value === nothing || silent || hides_result(code)) && return
    send(connection[], 'r', bundle(value)...)
end
