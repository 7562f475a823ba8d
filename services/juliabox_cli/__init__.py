"""Command line of JuliaBox: installs, starts and inspects an installation."""
