# The cells that were run, split in their top-level statements, as text.

"""One top-level statement of a cell that was run."""
struct Statement
    cell::Int
    #: Lines of the cell, comments before it left out.
    first::Int
    last::Int
    #: As it was written, with the comments before it.
    text::String
    expression::Any
    #: Whether it was carried out to its end, as far as that is known.
    ran::Bool
end

"""All statements of this notebook's cells, in the order in which they were run."""
function notebook_statements()
    cells = executed_cells()
    found = Statement[]
    for number in sort!(collect(keys(cells)))
        append!(found, split_cell(number, String(cells[number]), stop_line(number)))
    end
    return found
end

"""What the kernel remembers of its cells: number => text."""
function executed_cells()
    notebook = isdefined(Main, :IJulia) ? getfield(Main, :IJulia) : nothing
    if notebook isa Module && isdefined(notebook, :In)
        return getfield(notebook, :In)
    elseif isdefined(Main, :In) && getfield(Main, :In) isa AbstractDict
        return getfield(Main, :In)
    end
    throw(PublishError("Functions are published from a notebook: here are no cells to take them from."))
end

"""The line of the first statement of a cell that was not carried out to its end."""
function stop_line(number::Int)
    kernel = isdefined(Main, :JuliaBoxKernel) ? getfield(Main, :JuliaBoxKernel) : nothing
    kernel === nothing && return number in failed ? 1 : typemax(Int)
    number == kernel.running[] && return kernel.reached[]
    return get(kernel.stopped, number, typemax(Int))
end

"""The lines that start a cell with `;`, `]` or `?` are no Julia: empty lines stand for them."""
function julia_lines(code::String)
    lines = split(code, '\n')
    for (number, line) in enumerate(lines)
        text = strip(line)
        isempty(text) && continue
        first(text) in (';', ']', '?') || break
        lines[number] = ""
    end
    return join(lines, '\n')
end

"""Split a cell; one that cannot be parsed ran nothing, so there is nothing in it."""
function split_cell(number::Int, code::String, stop::Int)
    text = julia_lines(code)
    found = Statement[]
    position, line = 1, 1
    while position <= ncodeunits(text)
        expression, next = Meta.parse(text, position; raise = false, depwarn = false)
        Meta.isexpr(expression, (:error, :incomplete)) && return Statement[]
        next = past_comment(text, max(next, nextind(text, position)))
        piece = String(SubString(text, position, prevind(text, next)))
        if expression !== nothing
            first = line + count(==('\n'), leading(piece))
            last = line + count(==('\n'), rstrip(piece))
            publishes = false
            for (part, inner) in parts(piece, expression)
                publishes = publishes || mentions_us(inner)
                ran = last < stop || first <= stop <= last && is_running(number) && !publishes
                push!(found, Statement(number, first, last, tidy(part), inner, ran))
            end
        end
        line += count(==('\n'), piece)
        position = next
    end
    return found
end

is_running(number::Int) =
    isdefined(Main, :JuliaBoxKernel) && getfield(Main, :JuliaBoxKernel).running[] == number

"""Whether a statement is the one that asks us: those before it on its line were carried out."""
mentions_us(expression) = expression === :JuliaBox || expression isa Expr &&
    !(expression.head in (:using, :import)) && any(mentions_us, expression.args)

"""The statements that stand on one line with `;` between them, as text and expression."""
function parts(piece::String, expression)
    whole = Tuple{String,Any}[(piece, expression)]
    Meta.isexpr(expression, :toplevel) || return whole
    wanted = count(part -> !(part isa LineNumberNode), expression.args)
    found = Tuple{String,Any}[]
    start = 1
    for position in findall(==(';'), piece)
        length(found) + 1 < wanted || break
        text = String(SubString(piece, start, prevind(piece, position)))
        inner = Meta.parse(text; raise = false, depwarn = false)
        (inner === nothing || Meta.isexpr(inner, (:error, :incomplete))) && continue
        push!(found, (text, inner))
        start = nextind(piece, position)
    end
    text = String(SubString(piece, start))
    inner = Meta.parse(text; raise = false, depwarn = false)
    push!(found, (text, inner))
    complete = length(found) == wanted && !Meta.isexpr(inner, (:error, :incomplete))
    return complete ? found : whole
end

"""Blank lines and comments before a statement."""
leading(piece::AbstractString) = match(r"^(?:\s|#=.*?=#|#[^\n]*(?:\n|$))*"s, piece).match

"""Where the line ends, if nothing but a comment is left of it."""
function past_comment(text::String, position::Int)
    position > ncodeunits(text) && return position
    position > 1 && text[prevind(text, position)] == '\n' && return position
    found = match(r"^[ \t;]*(?:#(?!=)[^\n]*)?(?:\n|$)", SubString(text, position))
    return found === nothing ? position : position + ncodeunits(found.match)
end

"""The text without blank lines around it."""
tidy(piece::AbstractString) = String(rstrip(replace(piece, r"^(?:[ \t]*\n)*" => "")))
