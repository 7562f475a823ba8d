"""Warm containers: started, loaded, and nobody's until a session claims one.

``demand``, ``size`` and ``images`` say how many there should be, ``shelf`` keeps their rows in the
store, ``warm`` makes, adopts and removes one, ``pool`` keeps as many as there should be and gives
them out, ``start`` is the start of a session or an API container in one.
"""

from juliabox_manager.pool.pool import Pool
from juliabox_manager.pool.start import WarmStart

__all__ = ["Pool", "WarmStart"]
