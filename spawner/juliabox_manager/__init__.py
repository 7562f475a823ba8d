"""Container manager: the only part of JuliaBox that holds the Docker socket."""
