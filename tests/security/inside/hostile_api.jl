# What somebody may publish who means harm, or who writes bugs.

fine(n::Int) = n + 1

# -- without an end ------------------------------------------------------------------------------

sleeps() = sleep(3600)

# no point at which the collector, or a signal that Julia handles, could come in
spins() = (x = 1; while true; x = xor(x, 3); x == 0 && return x; end)

blocks() = ccall(:pause, Cint, ())

# SIGTERM and SIGINT are ignored from now on
function ignores()
    for signal in (2, 15)
        ccall(:signal, Ptr{Cvoid}, (Cint, Ptr{Cvoid}), signal, Ptr{Cvoid}(1))
    end
    spins()
end

# -- deaths --------------------------------------------------------------------------------------

leaves(id) = (note(id); exit(0))
aborts(id) = (note(id); ccall(:abort, Cvoid, ()))
faults(id) = (note(id); unsafe_load(Ptr{Int}(8)))
vanishes(id) = (note(id); ccall(:kill, Cint, (Cint, Cint), getpid(), 9))
# one that may be carried out twice
repeats(id) = (note(id); ccall(:abort, Cvoid, ()))

function eats(id)
    note(id)
    kept = Vector{UInt8}[]
    while true
        push!(kept, ones(UInt8, 64 * 1024^2))
    end
end

# -- noise and children --------------------------------------------------------------------------

prints() = (for _ in 1:2_000_000; println("x"^100); end; "printed")

function forks()
    started = 0
    for _ in 1:2000
        try
            run(Cmd(`sleep 60`, detach = true), wait = false)
            started += 1
        catch
            break
        end
    end
    started
end

# -- answers -------------------------------------------------------------------------------------

huge() = "x"^(40 * 1024^2)
nan() = Dict("value" => NaN)
endless() = (n for n in Iterators.countfrom(1))
function itself()
    a = Any[]
    push!(a, a)
    a
end
deep() = foldl((inner, _) -> Any[inner], 1:500; init = 1)
thing() = stdout
mime(kind) = JuliaBox.Content(kind, "x")
injected() = JuliaBox.Content("text/plain\r\nX-Evil: yes\r\n\r\n<script>", "x")
page() = JuliaBox.html("<script>document.title = 'taken'</script>")
picture() = JuliaBox.svg("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>")
says(text) = error(text)
broken() = String(UInt8[0xff, 0xfe, 0x41])
