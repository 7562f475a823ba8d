# How a published function may be called: its methods' arguments by reflection. Which keywords it
# must have, and of what types, Julia does not tell; the source does.

struct Keyword
    name::Symbol
    kind::Any        # its type; Any where the source names none that can be told
    required::Bool
end

struct Signature
    method::Method
    names::Vector{String}
    kinds::Vector{Any}
    further::Any     # the type of any number of further arguments; nothing if it takes none
    keywords::Vector{Keyword}
    more_keywords::Bool
end

struct Published
    name::String
    value::Any
    signatures::Vector{Signature}
    doc::String
end

"""Look at a function of the module `home`; nothing if it has no method."""
function publish(home::Module, name::String, declared)
    isdefined(home, Symbol(name)) || return nothing
    value = getfield(home, Symbol(name))
    found = try
        collect(methods(value))
    catch
        return nothing
    end
    isempty(found) && return nothing
    own = get(declared, Symbol(name), Vector{Keyword}[])
    signatures = [signature(method, own) for method in found]
    return Published(name, value, [with_keywords(one, signatures) for one in signatures], docstring(home, name))
end

"""
Optional arguments make several methods of one definition. Julia tells the keywords of that with all
arguments; the others have the same.
"""
function with_keywords(one::Signature, all::Vector{Signature})
    isempty(one.keywords) && !one.more_keywords || return one
    for other in all
        other.method.line == one.method.line && other.method.file == one.method.file || continue
        isempty(other.keywords) && !other.more_keywords && continue
        return Signature(one.method, one.names, one.kinds, one.further, other.keywords, other.more_keywords)
    end
    return one
end

function signature(method::Method, declared::Vector{Vector{Keyword}})
    kinds = collect(Any, Base.unwrap_unionall(method.sig).parameters)[2:end]
    names = argument_names(method, length(kinds))
    further = nothing
    if method.isva
        further = whole_kind(Base.unwrapva(pop!(kinds)), method.sig)
        pop!(names)
    end
    kinds = Any[whole_kind(kind, method.sig) for kind in kinds]
    keywords, more_keywords = keyword_names(method)
    return Signature(method, names, kinds, further, described(keywords, declared), more_keywords)
end

function argument_names(method::Method, count::Int)
    names = try
        [String(name) for name in Base.method_argnames(method)[2:end]]
    catch
        String[]
    end
    while length(names) < count
        push!(names, "")
    end
    return [isempty(name) || startswith(name, '#') ? "argument$place" : name
            for (place, name) in enumerate(names[1:count])]
end

"""The type of an argument by itself: a parameter of the method stands for what bounds it."""
whole_kind(kind, signature) =
    kind isa TypeVar ? kind.ub : kind isa Type ? Base.rewrap_unionall(kind, signature) : Any

"""Names of a method's keywords, and whether it takes any other."""
function keyword_names(method::Method)
    names = try
        Symbol[name for name in Base.kwarg_decl(method)]
    catch
        Symbol[]
    end
    own = filter(name -> !endswith(String(name), "..."), names)
    return own, length(own) < length(names)
end

"""Keywords as the source declares them, where exactly these are declared together there."""
function described(names::Vector{Symbol}, declared::Vector{Vector{Keyword}})
    for keywords in declared
        Set(keyword.name for keyword in keywords) == Set(names) && return keywords
    end
    return [Keyword(name, Any, false) for name in names]
end

# --- what the source says ---------------------------------------------------------------------

"""Collect the keywords of every definition of a function in an expression, by its name."""
function declare!(declared::Dict{Symbol,Vector{Vector{Keyword}}}, home::Module, expression)
    expression isa Expr || return declared
    if expression.head in (:function, :(=)) && length(expression.args) == 2
        call = expression.args[1]
        while Meta.isexpr(call, (:where, :(::)))
            call = call.args[1]
        end
        if Meta.isexpr(call, :call) && call.args[1] isa Symbol
            keywords = declared_keywords(home, call)
            isempty(keywords) || push!(get!(() -> Vector{Keyword}[], declared, call.args[1]), keywords)
        end
    end
    foreach(part -> declare!(declared, home, part), expression.args)
    return declared
end

function declared_keywords(home::Module, call::Expr)
    keywords = Keyword[]
    for part in call.args[2:end]
        Meta.isexpr(part, :parameters) || continue
        for parameter in part.args
            required = !Meta.isexpr(parameter, (:kw, :(=)))
            name = required ? parameter : parameter.args[1]
            kind = Any
            if Meta.isexpr(name, :(::), 2)
                kind = kind_of(home, name.args[2])
                name = name.args[1]
            end
            name isa Symbol && push!(keywords, Keyword(name, kind, required))
        end
    end
    return keywords
end

"""The type that an expression names; Any for one that cannot be told by itself."""
function kind_of(home::Module, expression)
    kind = try
        Core.eval(home, expression)
    catch
        Any
    end
    return kind isa Type ? kind : Any
end

"""A function's docstrings as they were written."""
function docstring(home::Module, name::String)
    try
        found = get(Base.Docs.meta(home), Base.Docs.Binding(home, Symbol(name)), nothing)
        found isa Base.Docs.MultiDoc || return ""
        texts = [join(found.docs[kind].text) for kind in found.order]
        return shortened(strip(join(texts, "\n")))
    catch
        return ""
    end
end

# --- as the engine is told ----------------------------------------------------------------------

as_object(published::Published) = Object(
    "name" => published.name,
    "methods" => Any[as_object(signature) for signature in published.signatures],
    "doc" => published.doc,
)

as_object(signature::Signature) = Object(
    "arguments" => Any[
        Object("name" => name, "type" => string(kind), "required" => true)
        for (name, kind) in zip(signature.names, signature.kinds)
    ],
    "keywords" => Any[as_object(keyword) for keyword in signature.keywords],
    "more" => signature.further !== nothing,
    "more_type" => signature.further === nothing ? "Any" : string(signature.further),
    "more_keywords" => signature.more_keywords,
)

as_object(keyword::Keyword) = Object(
    "name" => String(keyword.name),
    "type" => string(keyword.kind),
    "required" => keyword.required,
)
