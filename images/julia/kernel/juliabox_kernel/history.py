"""History of a kernel's cells, in memory."""

import fnmatch
from collections import deque
from typing import Any

REMEMBERED = 10_000  # cells

Entry = tuple[int, int, Any]


class History:
    """The cells of this kernel's life, session number 1, newest last."""

    def __init__(self) -> None:
        self._cells: deque[tuple[int, str]] = deque(maxlen=REMEMBERED)

    def add(self, count: int, code: str) -> None:
        """Remember the cell with execution count `count`."""
        self._cells.append((count, code))

    def find(
        self,
        access: str,
        output: bool,
        *,
        start: int = 0,
        stop: int | None = None,
        n: int | None = None,
        pattern: str | None = None,
        unique: bool = False,
        **_: Any,
    ) -> list[Entry]:
        """Answer a history request: `range`, `tail` or `search`."""
        cells = list(self._cells)
        if access == "range":
            cells = [c for c in cells if c[0] >= start and (stop is None or c[0] < stop)]
        elif access == "search":
            cells = [c for c in cells if fnmatch.fnmatchcase(c[1], pattern or "*")]
        if unique:
            cells = list({code: (count, code) for count, code in cells}.values())
        if access != "range" and n is not None:
            cells = cells[-n:] if n > 0 else []
        return [(1, count, (code, None) if output else code) for count, code in cells]
