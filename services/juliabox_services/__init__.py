"""Hub services of JuliaBox."""
