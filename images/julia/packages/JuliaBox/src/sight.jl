# What a statement defines and what it uses.

"""What is seen of one statement, by its syntax and by how Julia lowers it."""
struct Sight
    #: Functions, types, macros and modules that it defines; of these, those that are no method.
    defines::Set{Symbol}
    solid::Set{Symbol}
    #: Variables that it gives a value, and those whose value it changes.
    assigns::Set{Symbol}
    changes::Set{Symbol}
    #: Methods: their signatures, and the names in those of functions that are not this notebook's.
    signatures::Set{String}
    extends::Set{Symbol}
    #: Names that must be there when it runs, and when what it defines is called.
    early::Set{Symbol}
    late::Set{Symbol}
    #: Packages that it loads; `.Name` for a module of the notebook.
    packages::Set{String}
end

Sight() = Sight((Set{Symbol}() for _ in 1:4)..., Set{String}(), (Set{Symbol}() for _ in 1:3)...,
    Set{String}())

"""Look at one statement."""
function sight(expression)
    seen = Sight()
    look!(seen, expression)
    use!(seen, expression)
    setdiff!(seen.early, seen.defines)
    return seen
end

const CONTAINERS = (:toplevel, :block, :if, :elseif, :const, :global)

"""Find what an expression at top level defines; `inner` within a loop or the like."""
function look!(seen::Sight, expression, inner::Bool = false)
    expression isa Expr || return
    head, arguments = expression.head, expression.args
    if head in CONTAINERS
        foreach(part -> look!(seen, part, inner), arguments)
    elseif head in (:for, :let)   # what their heads name is their own
        look!(seen, arguments[2], true)
    elseif head in (:while, :try)
        foreach(part -> look!(seen, part, true), arguments)
    elseif head === :local
        foreach(part -> Meta.isexpr(part, :(=)) && look!(seen, part.args[2], inner), arguments)
    elseif head === :(=)
        assignment!(seen, arguments[1], arguments[2], inner)
    elseif head in (:function, :macro)
        method!(seen, arguments[1], head === :macro)
    elseif head in (:struct, :abstract, :primitive)
        solid!(seen, plain_name(arguments[head === :struct ? 2 : 1]))
    elseif head === :module
        solid!(seen, arguments[2])
    elseif head in (:using, :import)
        foreach(part -> package!(seen, part), arguments)
    elseif head === :macrocall
        look!(seen, is_doc(expression) ? last(arguments) : expanded(expression), inner)
    elseif is_update(head)
        change!(seen, arguments[1])
    end
    # what is changed in place, wherever it stands
    head in (:call, :do, :(=), :macrocall) && mutated!(seen, expression)
    return
end

"""Whether this is the head of `x += 1` and its like."""
is_update(head::Symbol) = length(String(head)) > 1 && endswith(String(head), "=")

is_doc(expression::Expr) =
    expression.args[1] in (Symbol("@doc"), GlobalRef(Core, Symbol("@doc"))) ||
    Meta.isexpr(expression.args[1], :.) && expression.args[1].args[end] == QuoteNode(Symbol("@doc"))

"""What a macro makes; nothing where it cannot be expanded."""
function expanded(expression::Expr)
    try
        return macroexpand(Main, expression)
    catch
        return nothing
    end
end

solid!(seen::Sight, name) = name isa Symbol && (push!(seen.defines, name); push!(seen.solid, name))

"""The name in `Name`, `Name{T}`, `Name <: Above`."""
plain_name(name) = Meta.isexpr(name, (:curly, :<:)) ? plain_name(name.args[1]) : name

function assignment!(seen::Sight, target, value, inner::Bool)
    if is_signature(target)
        method!(seen, target, false)
        return
    end
    Meta.isexpr(value, :(=)) && assignment!(seen, value.args[1], value.args[2], inner)
    assign!(seen, target, inner)
end

"""Note what gets a value: a name, an element or a field, or several in a tuple, nested perhaps."""
function assign!(seen::Sight, target, inner::Bool)
    if Meta.isexpr(target, (:tuple, :parameters))
        foreach(part -> assign!(seen, part, inner), target.args)
    elseif Meta.isexpr(target, WRAPPED)
        assign!(seen, target.args[1], inner)
    elseif target isa Symbol
        push!(inner ? seen.changes : seen.assigns, target)
    else
        change!(seen, target)
    end
    return
end

"""What may stand around a name that gets a value: `x::Int`, `Alias{T}`, `rest...`, `global x`."""
const WRAPPED = (:(::), :curly, :(...), :global)

"""Whether the left side of `=` is that of a method, such as `f(x)::Int where T`."""
is_signature(target) =
    Meta.isexpr(target, :call) ||
    Meta.isexpr(target, (:where, :(::))) && is_signature(target.args[1])

"""Note that the variable at the root of `x[i]`, `x.field` or `x` is changed."""
function change!(seen::Sight, target)
    while Meta.isexpr(target, (:ref, :.))
        target = target.args[1]
    end
    target isa Symbol && push!(seen.changes, target)
    return
end

"""Note what calls such as `push!(x, 1)` and assignments such as `x[1] = 2` change."""
function mutated!(seen::Sight, expression)
    expression isa Expr || return
    head, arguments = expression.head, expression.args
    head in (:quote, :function, :macro, :struct, :module) && return
    head === :(=) && (is_signature(arguments[1]) || Meta.isexpr(arguments[2], :->)) && return
    if head === :(=) && Meta.isexpr(arguments[1], (:ref, :.)) || is_update(head)
        change!(seen, arguments[1])
    elseif head === :call && arguments[1] isa Symbol && endswith(String(arguments[1]), "!")
        given = filter(part -> !Meta.isexpr(part, :parameters), arguments[2:end])
        isempty(given) || arguments[1] === :! || change!(seen, given[1])
    end
    foreach(part -> mutated!(seen, part), arguments)
end

"""Note a method by its signature."""
function method!(seen::Sight, signature, is_macro::Bool)
    if signature isa Symbol   # `function f end`
        push!(seen.defines, is_macro ? Symbol('@', signature) : signature)
        return
    end
    push!(seen.signatures, string(Base.remove_linenums!(copy(signature))))
    call = signature
    types = Set{Symbol}()
    while Meta.isexpr(call, (:where, :(::))) && !isempty(call.args) && call.args[1] isa Expr
        foreach(part -> symbols!(types, part), call.args[2:end])
        call = call.args[1]
    end
    Meta.isexpr(call, :call) || return
    callee = call.args[1]
    Meta.isexpr(callee, :curly) && (callee = callee.args[1])
    foreach(part -> argument_types!(types, part), call.args[2:end])
    if is_macro && callee isa Symbol
        solid!(seen, Symbol('@', callee))
    elseif callee isa Symbol && !is_foreign(callee)
        push!(seen.defines, callee)
    else   # Base.show(…), an imported name, or (p::Polynomial)(x)
        Meta.isexpr(callee, :(::)) && symbols!(types, last(callee.args))
        union!(seen.extends, types)
    end
    return
end

"""Whether a name stands for a function or type that is not of this notebook."""
function is_foreign(name::Symbol)
    isdefined(Main, name) || return false
    value = getfield(Main, name)
    value isa Union{Function,Type} || return false
    return Base.moduleroot(parentmodule(value)) !== Main
end

"""Collect the names in the types of an argument."""
function argument_types!(types::Set{Symbol}, argument)
    argument isa Expr || return
    if argument.head === :(::)
        symbols!(types, last(argument.args))
    elseif argument.head in (:kw, :..., :parameters)
        foreach(part -> argument_types!(types, part), argument.args)
    end
    return
end

symbols!(names::Set{Symbol}, part::Symbol) = push!(names, part)
symbols!(names::Set{Symbol}, part::Expr) = foreach(inner -> symbols!(names, inner), part.args)
symbols!(names::Set{Symbol}, part) = nothing

function package!(seen::Sight, part)
    while Meta.isexpr(part, (:(:), :as))
        part = part.args[1]
    end
    Meta.isexpr(part, :.) || return
    names = filter(name -> name !== :., part.args)
    isempty(names) && return
    relative = part.args[1] === :.
    push!(seen.packages, relative ? ".$(names[1])" : String(names[1]))
    relative && push!(seen.early, names[1])
    return
end

# --- uses -------------------------------------------------------------------------------

"""Find the names that an expression at top level uses, as Julia itself resolves them."""
function use!(seen::Sight, expression)
    expression isa Expr || return expression isa Symbol && push!(seen.early, expression)
    expression.head in (:using, :import, :export, :module, :error, :incomplete) && return
    macros!(seen.early, expression)
    if expression.head === :toplevel
        foreach(part -> use!(seen, part), expression.args)
        return
    end
    lowered = try
        Meta.lower(Main, Expr(:block, Expr(:softscope, true), expression))
    catch
        nothing
    end
    if lowered === nothing || Meta.isexpr(lowered, (:error, :incomplete))
        symbols!(seen.early, expression)   # rather too much than too little
    else
        walk!(seen, lowered, seen.early)
    end
    return
end

"""Collect the names of macros, which are gone from lowered code."""
function macros!(names::Set{Symbol}, expression)
    expression isa Expr || return
    if expression.head === :macrocall
        called = expression.args[1]
        while Meta.isexpr(called, :.)
            called = called.args[1]
        end
        called isa Symbol && push!(names, called)
    end
    foreach(part -> macros!(names, part), expression.args)
end

const NO_USES = (
    :const, :global, :meta, :static_parameter, :inbounds, :boundscheck, :loopinfo, :line, :inert,
    :module, :using, :import, :export, :enter, :leave, :pop_exception,
)

"""Collect the global names in lowered code: what is no slot, no value and no literal."""
function walk!(seen::Sight, item, names::Set{Symbol})
    if item isa Symbol
        push!(names, item)
    elseif item isa GlobalRef
        item.mod === Main && push!(names, item.name)
    elseif item isa Core.CodeInfo
        foreach(part -> walk!(seen, part, names), item.code)
    elseif item isa Expr
        walk_expression!(seen, item, names)
    elseif isdefined(Core, :ReturnNode) && item isa Core.ReturnNode
        isdefined(item, :val) && walk!(seen, item.val, names)
    elseif isdefined(Core, :GotoIfNot) && item isa Core.GotoIfNot
        walk!(seen, item.cond, names)
    end
    return
end

function walk_expression!(seen::Sight, item::Expr, names::Set{Symbol})
    if item.head in NO_USES
        return
    elseif item.head === :toplevel
        foreach(part -> use!(seen, part), item.args)
    elseif item.head === :method
        # what it is called is no use of it; its body runs later
        length(item.args) < 3 && return
        walk!(seen, item.args[2], names)
        walk!(seen, item.args[3], seen.late)
    elseif item.head === :(=) && item.args[1] isa Union{Symbol,GlobalRef} && names === seen.early
        walk!(seen, item.args[2], names)
    else
        foreach(part -> walk!(seen, part, names), item.args)
    end
    return
end

"""Collect what the methods of a function use, as they are: also those that `@eval` made."""
function method_uses!(seen::Sight, method::Method)
    code = try
        isdefined(Base, :uncompressed_ir) ? Base.uncompressed_ir(method) : Base.uncompressed_ast(method)
    catch
        return   # a generated function
    end
    code isa Core.CodeInfo && walk!(seen, code, seen.late)
    return
end
