"""A value that is costly to ask for, and is believed for some seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Asks once for all threads that want the value at a time; an error is not remembered."""

    def __init__(self, ask: Callable[[], T], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = threading.Lock()
        self._known: list[tuple[float, T]] = []

    def get(self) -> T:
        """Return the value, asked for at most so many seconds ago."""
        with self._lock:
            if not self._known or time.monotonic() - self._known[0][0] > self._seconds:
                self._known = [(time.monotonic(), self._ask())]
            return self._known[0][1]

    def forget(self) -> None:
        """Ask again next time."""
        with self._lock:
            self._known = []
