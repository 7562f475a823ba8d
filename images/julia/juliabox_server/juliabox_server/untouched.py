"""Leaving classes as they were: libraries keep a server's things in them.

Singletons, patched methods of handlers and caches would outlive the rehearsal's server, and the
person's server would find them.
"""

import contextlib
import functools
import gc
import sys
from collections.abc import Iterator
from typing import Any

#: Names that belong to Python itself.
_OWN = ("__", "_abc_")


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Undo what is set in classes meanwhile, and empty the caches of functions."""
    # what is frozen is not listed
    gc.unfreeze()
    classes = {kind: dict(vars(kind)) for kind in gc.get_objects() if isinstance(kind, type)}
    try:
        yield
    finally:
        for kind, before in classes.items():
            _restore_class(kind, before)
        _empty_caches()


def _restore_class(kind: type, before: dict[str, Any]) -> None:
    for name, value in list(vars(kind).items()):
        if name.startswith(_OWN) or before.get(name, _OWN) is value:
            continue
        with contextlib.suppress(TypeError, AttributeError):
            if name in before:
                type.__setattr__(kind, name, before[name])
            else:
                type.__delattr__(kind, name)


def _empty_caches() -> None:
    for cache in gc.get_objects():
        if isinstance(cache, functools._lru_cache_wrapper):
            library = str(cache.__module__).partition(".")[0]
            if library not in sys.stdlib_module_names and library != __package__:
                cache.cache_clear()
