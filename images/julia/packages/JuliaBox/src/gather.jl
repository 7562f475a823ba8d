# From functions to the text of everything that they use.

"""The statements of a notebook, what is seen of each, and who defines a name."""
struct Notebook
    statements::Vector{Statement}
    sights::Vector{Sight}
    #: Name => the statements that define it, or give it a value, in order.
    definers::Dict{Symbol,Vector{Int}}
    #: Cell and line => statements.
    places::Dict{Tuple{Int,Int},Vector{Int}}
    #: What was chosen for a name.
    chosen::Dict{Symbol,Vector{Int}}
end

function Notebook()
    statements = notebook_statements()
    notebook = Notebook(statements, Sight[sight(one.expression) for one in statements],
        Dict{Symbol,Vector{Int}}(), Dict{Tuple{Int,Int},Vector{Int}}(),
        Dict{Symbol,Vector{Int}}())
    for (index, (statement, seen)) in enumerate(zip(statements, notebook.sights))
        for line in statement.first:statement.last
            push!(get!(notebook.places, (statement.cell, line), Int[]), index)
        end
        for name in union(seen.defines, seen.assigns)
            push!(get!(notebook.definers, name, Int[]), index)
        end
    end
    return notebook
end

"""The statements that make up what `name` is now; none where it is not this notebook's."""
function choose(notebook::Notebook, name::Symbol)
    return get!(notebook.chosen, name) do
        candidates = get(notebook.definers, name, Int[])
        value = isdefined(Main, name) ? getfield(Main, name) : nothing
        ran = filter(index -> notebook.statements[index].ran, candidates)
        if isempty(candidates) && (name === :ans || is_foreign(name))
            Int[]
        elseif !isempty(ran) && name in notebook.sights[ran[end]].assigns
            variable_statements(notebook, name, ran)
        else
            defining_statements(notebook, name, value, ran)
        end
    end
end

"""A variable: where it got its value last, and what changed that since."""
function variable_statements(notebook::Notebook, name::Symbol, ran::Vector{Int})
    found = Int[]
    for index in reverse(ran)
        name in notebook.sights[index].assigns || continue
        pushfirst!(found, index)
        name in notebook.sights[index].early || break   # not from its own former value
    end
    for index in found[1]+1:length(notebook.statements)
        changes = name in notebook.sights[index].changes
        changes && notebook.statements[index].ran && push!(found, index)
    end
    return sort!(unique!(found))
end

"""A function, type, macro or module: its methods as they are now, and its definition."""
function defining_statements(notebook::Notebook, name::Symbol, value, ran::Vector{Int})
    found = Set{Int}()
    if value isa Union{Function,Type}
        for method in methods(value)
            for index in places_of(notebook, method, name)
                push!(found, index)
                method_uses!(notebook.sights[index], method)
            end
        end
    end
    solid = filter(index -> name in notebook.sights[index].solid, ran)
    isempty(solid) || push!(found, solid[end])
    isempty(found) && union!(found, last_by_signature(notebook, ran))
    return sort!(collect(found))
end

"""The statements that a method of `name` comes from: of those on one line, what defines it."""
function places_of(notebook::Notebook, method::Method, name::Symbol)
    found = match(r"^In\[(\d+)\]$", String(method.file))
    found === nothing && return Int[]
    there = get(notebook.places, (parse(Int, found[1]), Int(method.line)), Int[])
    defining = filter(there) do index
        name in notebook.sights[index].defines || name in notebook.sights[index].assigns
    end
    return isempty(defining) ? there : defining
end

"""Of methods that were defined again, the last."""
function last_by_signature(notebook::Notebook, indices::Vector{Int})
    newest = Dict{Any,Int}()
    for index in indices
        seen = notebook.sights[index]
        newest[isempty(seen.signatures) ? index : seen.signatures] = index
    end
    return values(newest)
end

# --- all that is needed -------------------------------------------------------------------

"""The statements that functions need, and the names that occur in these."""
function needed(notebook::Notebook, functions::Vector{Symbol})
    chosen, names = Set{Int}(), Set{Symbol}()
    waiting = copy(functions)
    while true
        while !isempty(waiting)
            name = pop!(waiting)
            name in names && continue
            push!(names, name)
            for index in choose(notebook, name)
                push!(chosen, index)
                append!(waiting, uses(notebook, index))
            end
        end
        for index in extensions(notebook, chosen)
            push!(chosen, index)
            append!(waiting, uses(notebook, index))
        end
        isempty(waiting) && break
    end
    return chosen, names
end

uses(notebook::Notebook, index::Int) =
    union(notebook.sights[index].early, notebook.sights[index].late)

"""Methods of others' functions for types that are needed, such as `Base.show`."""
function extensions(notebook::Notebook, chosen::Set{Int})
    solid = Set{Symbol}()
    foreach(index -> union!(solid, notebook.sights[index].solid), chosen)
    found = filter(eachindex(notebook.statements)) do index
        notebook.statements[index].ran && !isdisjoint_from(notebook.sights[index].extends, solid)
    end
    return setdiff(last_by_signature(notebook, found), chosen)
end

isdisjoint_from(left, right) = all(item -> !(item in right), left)

"""Raise an error for names of this session that none of its cells explains."""
function check_known(notebook::Notebook, names)
    for name in sort!(collect(names))
        (isempty(choose(notebook, name)) && is_own(name)) || continue
        throw(PublishError(
            name === :ans ?
            "`ans` is used, the result of whichever cell ran last: give the value a name of its own." :
            "`$name` is used, and no cell of this notebook defines it: it comes from a file, " *
            "from startup.jl, or from a cell that is gone. Define it in a cell and run that.",
        ))
    end
end

const ALWAYS_THERE = (:JuliaBox, :IJulia, :JuliaBoxKernel, :eval, :include, :In, :Out)

"""Whether a name has a value that is this session's own."""
function is_own(name::Symbol)
    (name in ALWAYS_THERE || startswith(String(name), "#") || !isdefined(Main, name)) && return false
    name === :ans && return true
    value = getfield(Main, name)
    value isa Module && return false
    return owner(name) === Main
end

"""The module that a name of this session comes from."""
owner(name::Symbol) = isdefined(Main, name) ? Base.binding_module(Main, name) : nothing

# --- packages -----------------------------------------------------------------------------

"""Packages of the standard library that are for whoever sits at a prompt."""
const FOR_PEOPLE = ("InteractiveUtils", "JuliaBox", "Pkg", "REPL", "IJulia")

"""The `using` and `import` that are needed: all of Julia's own, of others those that are used."""
function loading(notebook::Notebook, names)
    used = Set{String}()
    for name in names
        source = owner(name)
        source isa Module && push!(used, String(nameof(Base.moduleroot(source))))
        value = isdefined(Main, name) ? getfield(Main, name) : nothing
        value isa Module && push!(used, String(nameof(Base.moduleroot(value))))
    end
    newest = Dict{String,Int}()
    for (index, statement) in enumerate(notebook.statements)
        packages = notebook.sights[index].packages
        (isempty(packages) || !statement.ran) && continue
        any(package -> is_loaded_there(package, used), packages) || continue
        get!(newest, statement.text, index)
    end
    return sort!(collect(values(newest)))
end

function is_loaded_there(package::String, used::Set{String})
    package in FOR_PEOPLE && return package in used
    startswith(package, ".") && return true
    package in ("Base", "Core") && return true
    return package in used || isdir(joinpath(Sys.STDLIB, package))
end

# --- order --------------------------------------------------------------------------------

"""Put statements in an order in which each finds what it needs when it runs."""
function in_order(notebook::Notebook, loaded::Vector{Int}, chosen::Set{Int})
    placed, begun, whole = Int[], Set{Int}(), Set{Int}()
    function place(index)
        index in begun && return
        push!(begun, index)
        seen = notebook.sights[index]
        for name in sort!(collect(seen.early))
            # what changes a value again comes later
            own = name in seen.changes || name in seen.assigns
            foreach(choose(notebook, name)) do other
                own && other > index || complete_statement(other)
            end
        end
        push!(placed, index)
    end
    # what is used at once is called, perhaps: all that it needs must be there, too
    complete_name(name) = foreach(complete_statement, choose(notebook, name))
    function complete_statement(index)
        (index in whole || !(index in chosen)) && return
        push!(whole, index)
        place(index)
        foreach(complete_name, sort!(collect(notebook.sights[index].late)))
    end
    foreach(place, loaded)
    foreach(place, sort!(collect(setdiff(chosen, loaded))))
    return placed
end

"""Names of functions as they were given: the functions themselves, symbols or text."""
function function_name(notebook::Notebook, given)
    given isa Union{Symbol,AbstractString} && return Symbol(given)
    given isa Union{Function,Type} ||
        throw(PublishError("$(repr(given)) is no function: give functions, or their names."))
    name = nameof(given)
    isdefined(Main, name) && getfield(Main, name) === given && return name
    for other in keys(notebook.definers)
        isdefined(Main, other) && getfield(Main, other) === given && return other
    end
    startswith(String(name), '#') || not_here(name)
    throw(PublishError("A function without a name cannot be published: give it one, as in `f(x) = …`."))
end

"""Raise the error for a function of a package, or of a module."""
not_here(name::Symbol) = throw(PublishError(
    "`$name` is not defined in a cell of this notebook. A function of a package or a module is " *
    "published by one of your own, such as `my_$name(x) = $name(x)`.",
))

"""Return the text that publishes functions, and their names."""
function gathered(given::Vector{Any})
    isempty(given) && throw(PublishError("Name at least one function to publish."))
    notebook = Notebook()
    names = Symbol[function_name(notebook, one) for one in given]
    for name in names
        isempty(choose(notebook, name)) && not_here(name)
    end
    chosen, used = needed(notebook, names)
    check_known(notebook, used)
    loaded = loading(notebook, used)
    local_modules = Symbol[]
    for index in loaded
        append!(local_modules, notebook.sights[index].early)
    end
    more, _ = needed(notebook, local_modules)
    order = in_order(notebook, loaded, union(chosen, more))
    return join((notebook.statements[index].text for index in order), "\n\n") * "\n", names
end

source_of(given::Vector{Any}) = gathered(given)[1]
