# The loop that answers the Python side.

const connection = Ref{Connection}()
const input = Ref{NotebookInput}()
const Request = Tuple{Char,Vector{String}}

"""
Take the socket at `fd`, announce this process, and answer until the parent goes. With `wait`
nothing of a person's is read before `adopt`.
"""
function serve(fd::Integer, parent::Integer, wait::Bool)
    die_with(parent)
    ccall(:jl_exit_on_sigint, Cvoid, (Cint,), 0)
    connection[] = connect_parent(fd)
    input[] = NotebookInput(connection[])
    prepare_session()
    requests = Channel{Request}(Inf)
    @async disable_sigint(() -> read_requests(requests))
    send(connection[], 'h', string(VERSION))
    disable_sigint() do
        usual_optimization[] = wait ? set_optimization(1) : nothing
        wait || load_startup()
        wait || warm_up(requests)
        while true
            serve_next(requests)
        end
    end
end

function serve_next(requests::Channel)
    kind, fields = take!(requests)
    answer(connection[], kind, fields)
    interrupts.outstanding -= 1
    interrupts.pending = false
    kind == 'A' || send(connection[], 'f')   # nobody awaits the end of that
end

"""End this process when the Python process dies, also in the middle of a computation."""
function die_with(parent::Integer)
    set_death_signal, kill = 1, 9
    ccall(:prctl, Cint, (Cint, Culong, Culong, Culong, Culong), set_death_signal, kill, 0, 0, 0)
    ccall(:getppid, Cint, ()) == parent || exit(0)
end

function prepare_session()
    Core.eval(Base, Expr(:(=), :stdin, input[]))
    Core.eval(Main, :(using InteractiveUtils))
    Core.eval(Main, :(const IJulia = $IJulia))
    pushdisplay(NotebookDisplay(connection[]))
    Logging.global_logger(Logging.ConsoleLogger(IOContext(stderr, :color => true)))
end

"""The level at which a person's code is compiled; `nothing` while it is in force."""
const usual_optimization = Ref{Any}(nothing)

"""
Become the person's: their environment and folder, and what Julia derives from these when it
starts. Random numbers start anew. `fields`: folder, name, value, name, value…
"""
function adopt(fields::Vector{String})
    variables = Dict(fields[i] => fields[i+1] for i in 2:2:length(fields))
    foreach(name -> haskey(variables, name) || delete!(ENV, name), collect(keys(ENV)))
    foreach(pair -> ENV[pair[1]] = pair[2], variables)
    ccall(:tzset, Cvoid, ())
    cd(fields[1])
    Base.init_depot_path()
    Base.init_load_path()
    isdefined(Base, :init_active_project) && Base.init_active_project()
    Libc.srand()
    Random.seed!()
    set_optimization(usual_optimization[])
    load_startup()
end

"""Run the person's startup.jl. What fails there is told, and ends nothing."""
function load_startup()
    isempty(DEPOT_PATH) && return
    path = joinpath(DEPOT_PATH[1], "config", "startup.jl")
    isfile(path) || return
    try
        interruptible(() -> Base.include(Main, path))
    catch
        _, _, text = describe(exception_stack())
        print(stderr, "In $path:\n$text\n")
    end
end

"""
Compile what the first cells need, while the person reads. Requests that come meanwhile go
first; what is done here shows nowhere and defines nothing.
"""
function warm_up(requests::Channel)
    nowhere = Connection(IOBuffer())
    usual = set_optimization(1)   # halves the time; none of this is the person's code
    for request in WARMING
        yield()
        while isready(requests)
            set_optimization(usual)
            serve_next(requests)
            set_optimization(1)
            yield()
        end
        interrupts.warming = true
        answer(nowhere, request...)
        interrupts.warming = false
        take!(nowhere.socket)
    end
    set_optimization(usual)
end

"""Set the level at which code is compiled from now on; returns the one before."""
function set_optimization(level)
    index = Base.fieldindex(Base.JLOptions, :opt_level, false)
    (index == 0 || level === nothing) && return nothing
    offset = fieldoffset(Base.JLOptions, index)
    place = convert(Ptr{fieldtype(Base.JLOptions, index)}, cglobal(:jl_options) + offset)
    before = unsafe_load(place)
    unsafe_store!(place, level)
    return before
end

const WARMING = Request[
    ('X', ["[1.5, 2.5]", "0", "2", "0"]), ('X', ["sqrt(-1)", "0", "2", "0"]),
    ('C', ["prin", "4"]), ('I', ["sum", "3"]), ('K', ["for i in 1:3"]),
]

function read_requests(requests::Channel)
    while true
        frame = receive(connection[])
        frame === nothing && leave()
        kind, fields = frame
        if kind == 'N'
            interrupt_waiting()
            send(connection[], 'n')
        elseif kind == 'D'
            put!(connection[].shown, nothing)
        elseif kind == 'R'
            put!(input[].answers, fields[1] == b"1" ? String(fields[2]) : nothing)
        else
            interrupts.outstanding += 1
            put!(requests, (kind, String[String(field) for field in fields]))
        end
    end
end

"""The parent has gone: run the exit hooks, and end the children of this process as well."""
function leave()
    try
        exit(0)
    finally
        ccall(:kill, Cint, (Cint, Cint), 0, 9)
    end
end

const JULIABOX = "/opt/juliabox/packages/JuliaBox/src/JuliaBox.jl"

"""Load the module `JuliaBox` when it is first mentioned: most notebooks never do."""
function introduce(code::String)
    (occursin("JuliaBox", code) && !isdefined(Main, :JuliaBox)) || return
    try
        path = Base.find_package("JuliaBox")
        path === nothing && return
        # `import` alone starts another Julia, only to tell the person that there is no byte code
        path == JULIABOX && Base.include(Base.__toplevel__, path)
        Core.eval(Main, :(import JuliaBox))
    catch exception
        print(stderr, "JuliaBox cannot be loaded: $exception\n")
    end
end

function answer(to::Connection, kind::Char, fields::Vector{String})
    kind in ('X', 'C', 'I', 'U') && introduce(fields[1])
    if kind == 'A'
        adopt(fields)
    elseif kind == 'X'
        execute(to, fields...)
    elseif kind == 'C'
        reply(() -> complete(fields[1], parse(Int, fields[2])), to)
    elseif kind == 'I'
        reply(() -> inspect(fields[1], parse(Int, fields[2])), to)
    elseif kind == 'K'
        reply(() -> completeness(fields[1]), to)
    elseif kind == 'U'
        reply(() -> bundle(evaluate(fields[1], "expression")), to)
    end
end

"""Answer a question; whatever fails is sent as an error and ends nothing."""
function reply(work, to::Connection)
    answered = try
        interruptible(() -> invokelatest(work))
    catch
        send(to, 'e', describe(exception_stack())...)
        nothing
    end
    answered === nothing || send(to, 'a', answered...)
end

function inspect(code::String, position::Int)
    name = name_at(code, position)
    (isempty(name) || !is_known(name)) && return ()
    found = documentation(name)
    return found === nothing ? () : (found[2], found[3])
end

"""`silent`: "1" shows no result and keeps no answer."""
function execute(to::Connection, code::String, count::String, silent::String, stdin::String)
    input[].allowed = stdin == "1"
    hooks = silent == "0"
    running[] = hooks ? remember(parse(Int, count), code) : 0
    try
        interruptible() do
            hooks && run_hooks(IJulia.preexecute_hooks)
            value = run_cell(to, code, "In[$count]")
            hooks && run_hooks(IJulia.postexecute_hooks)
            show_result(to, code, value, silent)
        end
    catch
        hooks && (stopped[parse(Int, count)] = reached[])
        report(to, hooks)
    end
    running[] = 0
    Libc.flush_cstdio()
end

function remember(count::Int, code::String)
    IJulia.In[count] = code
    delete!(stopped, count)
    return count
end

function report(to::Connection, hooks::Bool)
    send(to, 'e', describe(exception_stack())...)
    (hooks && !isempty(IJulia.posterror_hooks)) || return
    yield()
    interrupts.pending = false   # the interrupt that is being reported
    try
        interruptible(() -> run_hooks(IJulia.posterror_hooks))
    catch
        print(stderr, "A hook for errors failed: $(last(describe(exception_stack())))\n")
    end
end

function run_cell(to::Connection, code::String, filename::String)
    question = match(r"^\s*\?([^\n]*\S)\s*$", code)
    question === nothing && return evaluate(code, filename)
    found = documentation(strip(question[1], [' ', '?']))
    found === nothing || send(to, 'o', found...)
    return nothing
end

"""`silent` is "2" for warming up: the result is rendered and goes nowhere."""
function show_result(to::Connection, code::String, value, silent::String)
    value === nothing || silent != "0" || set_answer(value)
    Libc.flush_cstdio()
    (value === nothing || silent == "1" || hides_result(code)) && return
    send(to, 'r', bundle(value)...)
end
