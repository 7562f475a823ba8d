# A notebook shows what a caller of the API gets.

Base.showable(mime::MIME, content::Content) = string(mime) in (content.type, "text/plain")
Base.show(io::IO, ::MIME, content::Content) = (write(io, content.data); nothing)
Base.show(io::IO, content::Content) =
    print(io, "JuliaBox.Content(\"", content.type, "\", ", length(content.data), " bytes)")
Base.show(io::IO, ::MIME"text/plain", content::Content) =
    content.type == "text/plain" ? (write(io, content.data); nothing) : show(io, content)

Base.iterate(stream::Stream, state...) = iterate(stream.values, state...)
Base.IteratorSize(::Type{<:Stream}) = Base.SizeUnknown()
Base.IteratorEltype(::Type{<:Stream}) = Base.EltypeUnknown()
