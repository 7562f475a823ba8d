"""Built-in plugins of JuliaBox, one package each."""
