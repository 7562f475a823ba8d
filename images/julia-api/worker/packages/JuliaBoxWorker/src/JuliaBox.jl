"""
What a published function says of its result, where that is not JSON.

`JuliaBox.html(x)`, `.svg(x)`, `.png(x)`, `.csv(x)`, `.text(x)` and `.bytes(x)` are results of that
kind; `JuliaBox.Content(type, data)` is one of any other kind. `JuliaBox.Stream(values)` hands the
caller one value after another, each when it is there.
"""
module JuliaBox

include("content.jl")   # of the session's package JuliaBox: own.sh lays it here

end
