# Help while typing: completion, documentation, and whether a cell is complete.

"""Complete `code` at the byte offset `position`: `(first, last, texts...)`, offsets in bytes."""
function complete(code::String, position::Int)
    before = code[1:thisind(code, position)]
    found, range, _ = REPLCompletions.completions(before, position)
    texts = unique!(String[REPLCompletions.completion_text(completion) for completion in found])
    isempty(texts) && return (position, position)
    return (first(range) - 1, position, texts...)
end

identifier_part(character::Char) = Base.is_id_char(character) || character in ('.', '@', '!')

"""The name at the byte offset `position`, or that of the call around it."""
function name_at(code::String, position::Int)
    characters = collect(code)
    cursor = length(code, 1, thisind(code, position))
    name = name_around(characters, cursor)
    isempty(name) || return name
    depth = 0
    for i in cursor:-1:1
        characters[i] == ')' && (depth += 1)
        characters[i] == '(' || continue
        depth == 0 && return name_around(characters, i - 1)
        depth -= 1
    end
    return ""
end

function name_around(characters::Vector{Char}, cursor::Int)
    start = cursor
    while start >= 1 && identifier_part(characters[start])
        start -= 1
    end
    stop = cursor
    while stop < length(characters) && identifier_part(characters[stop+1])
        stop += 1
    end
    return strip(String(characters[start+1:stop]), '.')
end

"""Documentation of `name` as `(plain, markdown)`; `nothing` where there is none."""
function documentation(name::AbstractString)
    isempty(name) && return nothing
    hints = IOBuffer()
    found = Core.eval(Main, invokelatest(REPL.helpmode, hints, String(name)))
    found === nothing && return nothing
    plain = render(MIME("text/plain"), found)
    markdown = showable(MIME("text/markdown"), found) ? render(MIME("text/markdown"), found) : plain
    return String(take!(hints)), String(copy(plain)), String(copy(markdown))
end

"""True where `name` stands for something: a binding, a macro or a keyword with a text."""
function is_known(name::AbstractString)
    expression = Meta.parse(name; raise = false)
    while Meta.isexpr(expression, :macrocall)
        expression = expression.args[1]
    end
    try
        Core.eval(Main, expression)
        return true
    catch
        return expression isa Symbol && haskey(Base.Docs.keywords, expression)
    end
end

"""`complete`, `incomplete` or `invalid`, and the indentation of the next line."""
function completeness(code::String)
    startswith(lstrip(code), r"[;?\]]") && return "complete", ""
    parsed = Base.parse_input_line(code)
    heads = parsed isa Expr ? Any[parsed, parsed.args...] : Any[]
    any(part -> Meta.isexpr(part, :incomplete), heads) && return "incomplete", next_indent(code)
    any(part -> Meta.isexpr(part, :error), heads) && return "invalid", ""
    return "complete", ""
end

function next_indent(code::String)
    line = last(split(rstrip(code), '\n'))
    indent = match(r"^\s*", line).match
    opens = occursin(r"^\s*(function|for|while|if|elseif|else|begin|let|try|catch|finally|macro|module|struct|mutable|quote|do)\b|\bdo\b.*$|[(\[{,]$", line)
    return opens ? indent * "    " : indent
end
