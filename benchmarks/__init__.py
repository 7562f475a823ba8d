"""Each figure of JuliaBox side by side with its peer, in one run, on one machine."""
