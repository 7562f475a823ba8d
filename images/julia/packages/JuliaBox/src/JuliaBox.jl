__precompile__(false)   # small: no byte code of it shall lie in everybody's home

"""
Functions of a notebook as an API that programs call over HTTPS: [`JuliaBox.publish`](@ref),
[`JuliaBox.apis`](@ref), [`JuliaBox.unpublish`](@ref), and [`JuliaBox.source`](@ref), which shows
what would be published. Kinds of answers beside JSON: [`JuliaBox.Content`](@ref),
[`JuliaBox.Stream`](@ref).

Needs nothing but Julia, from 1.5 on.
"""
module JuliaBox

if isdefined(Base, :Experimental) && isdefined(Base.Experimental, Symbol("@optlevel"))
    @eval Base.Experimental.@optlevel 0   # all of this runs once: compile it fast
end

include("content.jl")
include("shown.jl")

"""
    JuliaBox.publish(name, functions...; options...)

Publish functions of this notebook as the API `name`, or as its next version. Source and all that
it uses is taken from the cells that were run: functions, types, constants, macros, `using`. It is
loaded in a container of its own first; what fails there is told, and nothing changes. What is the
same as in the version that answers is not published once more: the result's `unchanged` is `true`.

    fib(n) = n < 2 ? n : fib(n - 1) + fib(n - 2)
    JuliaBox.publish("sums", fib; access = "public")

Options that are not given stay as they are in the API's last version, or have their defaults:

| option | meaning |
| --- | --- |
| `access` | `"public"`: anybody; `"users"` (default): who has an account; `"listed"`: those of `users` and `groups`; `"token"`: holders of a token of this API |
| `users`, `groups` | names, with `access = "listed"` |
| `description` | what it is for, in Markdown |
| `timeout` | seconds for one call |
| `memory` | bytes of memory of one container |
| `minimum`, `maximum` | containers that are kept though nobody calls, and most of them |
| `workers` | calls that one container carries out at once |
| `recycle_calls` | calls after which a container is replaced |
| `rate` | calls of one caller in a minute |
| `origins` | web pages whose scripts may call, such as `"https://example.org"`, or `"*"` |
| `cache` | `Cache-Control` of good answers, such as `"max-age=60"` |
| `content` | kinds of answers beside JSON that functions may give, such as `"image/svg+xml"` |
| `idempotent` | functions that may be carried out twice where a worker died |
| `note` | what is new, for the list of versions |
| `activate` | `false`: keep this version, and let calls go on to the one before |
"""
function publish(name, functions...; options...)
    return Base.invokelatest(later(:publish_cells), name, collect(Any, functions), options)
end

"""
    JuliaBox.apis(; shared = false)

List your APIs; with `shared`, those that you may call.
"""
function apis(; shared::Bool = false)
    return Base.invokelatest(later(:list_apis), shared)
end

"""
    JuliaBox.unpublish(name)

Remove one of your APIs, with all its versions, its log and its figures.
"""
function unpublish(name)
    return Base.invokelatest(later(:remove_api), name)
end

"""
    JuliaBox.source(functions...)

Return the text that [`JuliaBox.publish`](@ref) would publish.
"""
function source(functions...)
    return Base.invokelatest(later(:source_of), collect(Any, functions))
end

"""Why something cannot be published, or was not."""
struct PublishError <: Exception
    message::String
end

Base.showerror(io::IO, exception::PublishError) = print(io, exception.message)

"""Cells that failed, where the kernel does not tell how far they came."""
const failed = Set{Int}()

function __init__()
    notebook = isdefined(Main, :IJulia) ? getfield(Main, :IJulia) : nothing
    notebook isa Module && nameof(parentmodule(notebook)) !== :JuliaBoxKernel || return
    isdefined(notebook, :push_posterror_hook) && isdefined(notebook, :n) || return
    Base.invokelatest(notebook.push_posterror_hook, () -> push!(failed, notebook.n))
    return
end

const is_complete = Ref(false)

"""A function of the files that a notebook which publishes nothing does not need."""
function later(name::Symbol)
    if !is_complete[]
        for file in ("statements.jl", "sight.jl", "gather.jl", "engine.jl")
            Base.include(JuliaBox, joinpath(@__DIR__, file))
        end
        is_complete[] = true
    end
    return Base.invokelatest(getfield, JuliaBox, name)
end

end
