"""Greets people of a JuliaBox."""
