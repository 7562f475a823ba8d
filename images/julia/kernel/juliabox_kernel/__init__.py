"""Jupyter kernel for Julia: the Python part, which drives a Julia process."""

__all__ = ["__version__"]

__version__ = "0.1.0"
