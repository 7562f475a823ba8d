"""Public API of JuliaBox for plugin authors and for its own parts."""

from juliabox_ext.errors import JuliaBoxError

__all__ = ["JuliaBoxError"]
