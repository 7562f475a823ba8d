"""Whether new people may register now, how many an hour, and who waits for their turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct, field

from juliabox_spawner.hub.json_files import replace_json

HOUR = 3600.0


class _State(Struct):
    """What survives a restart."""

    #: Whether an admin has closed registration.
    closed: bool = False
    #: Unix times of the accounts that were let in during the last hour.
    admitted: list[float] = field(default_factory=list)
    #: Names that wait for nothing but their turn, the oldest first.
    queue: list[str] = field(default_factory=list)


class Registration:
    """A switch that an admin turns, and a rate beyond which new people wait for their turn.

    ``rate`` is in accounts per hour; 0 means no bound. Kept in ``folder``, or in memory alone
    where none is given.
    """

    def __init__(
        self, folder: Path | None, rate: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._file = folder / "registration.json" if folder else None
        self._rate = rate
        self._clock = clock
        self._state = self._read()

    @property
    def closed(self) -> bool:
        """Whether an admin has closed registration."""
        return self._state.closed

    def switch(self, closed: bool) -> None:
        """Close registration, or open it again."""
        self._state.closed = closed
        self._write()

    @property
    def waiting(self) -> list[str]:
        """Names that wait for their turn, the oldest first."""
        return list(self._state.queue)

    def admit(self, name: str) -> bool:
        """Count a new account in and return True, or let its name wait and return False."""
        if self._state.queue or not self._room():
            if name not in self._state.queue:
                self._state.queue.append(name)
            self._write()
            return False
        self._count()
        return True

    def next_turns(self) -> list[str]:
        """Take the names whose turn it is off the queue, counting them in."""
        names = []
        while self._state.queue and self._room():
            names.append(self._state.queue.pop(0))
            self._count()
        return names

    def forget(self, name: str) -> None:
        """Take a name off the queue: an admin decided about it."""
        if name in self._state.queue:
            self._state.queue.remove(name)
            self._write()

    def _room(self) -> bool:
        since = self._clock() - HOUR
        self._state.admitted = [time for time in self._state.admitted if time > since]
        return not self._rate or len(self._state.admitted) < self._rate

    def _count(self) -> None:
        self._state.admitted.append(self._clock())
        self._write()

    def _read(self) -> _State:
        if self._file is None:
            return _State()
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_State)
        except (FileNotFoundError, msgspec.DecodeError):
            return _State()

    def _write(self) -> None:
        if self._file is not None:
            replace_json(self._file, self._state)
