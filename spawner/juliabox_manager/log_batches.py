"""Lines of a log that are written in batches."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Final, TextIO

#: Seconds for which lines are gathered.
GATHERED: Final = 0.1
#: Seconds for which the end waits until the log is read.
PATIENCE: Final = 2.0
#: Lines that wait for whoever reads the log.
MOST: Final = 20_000


class BatchHandler(logging.Handler):
    """Writes what was logged from a thread of its own, many lines at a time.

    To write each line by itself takes a busy part a fifth of its time, and holds it up altogether
    when the log is not read. When too many lines wait, the oldest are dropped, and their number is
    told. What was logged in the last tenth of a second is lost with a part that is killed.
    """

    def __init__(self, stream: TextIO, gathered: float = GATHERED, most: int = MOST) -> None:
        super().__init__()
        self._stream = stream
        self._gathered = gathered
        self._most = most
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._closed = threading.Event()
        self._gathering = threading.Lock()
        self._writing = threading.Lock()
        threading.Thread(target=self._write_on, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Format a record and put it with the others."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        self.put(line)

    def put(self, line: str) -> None:
        """Put a line with the others, from any thread."""
        with self._gathering:
            if len(self._lines) >= self._most:
                self._lines.popleft()
                self._dropped += 1
            self._lines.append(line)

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:
            with self._gathering:
                lines, self._lines = self._lines, deque()
                dropped, self._dropped = self._dropped, 0
            if dropped:
                lines.appendleft(
                    f'{{"event": "lines of the log were dropped", "lines": {dropped}}}'
                )
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()

    def close(self) -> None:
        """Write what waits, and no more after it."""
        self._closed.set()
        self.flush()
        super().close()

    def _write_on(self) -> None:
        while not self._closed.wait(self._gathered):
            try:
                self.flush()
            except (OSError, ValueError):
                return  # nobody reads any more
