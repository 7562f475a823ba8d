"""Sums over all sessions, kept as they change, so that no question makes anybody count again."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, TypeVar

from juliabox_manager.protocol import SessionState
from juliabox_manager.records import SessionRecord

K = TypeVar("K", bound=str)


class _Counted(NamedTuple):
    """What a session was counted as."""

    state: SessionState
    owner: str
    memory: int
    retired: bool


class Tally:
    """Counts sessions; those that have not ended are *living*, however little of them there is."""

    def __init__(self) -> None:
        self._counted: dict[str, _Counted] = {}
        self._owners: Counter[str] = Counter()
        self.states: Counter[SessionState] = Counter()
        #: Sessions that have not ended, and the bytes that their limits add up to.
        self.living = 0
        self.memory = 0

    def of(self, owner: str) -> int:
        """Return how many living sessions a person has, retired ones apart."""
        return self._owners[owner]

    def count(self, record: SessionRecord) -> None:
        """Count a session as it is now."""
        self.leave(record.session)
        one = _Counted(record.state, record.owner, record.limits.memory, record.retired)
        self._counted[record.session] = one
        self._add(one, 1)

    def leave(self, session: str) -> None:
        """Count a session no more; harmless if it was not counted."""
        one = self._counted.pop(session, None)
        if one is not None:
            self._add(one, -1)

    def _add(self, one: _Counted, number: int) -> None:
        _change(self.states, one.state, number)
        if one.state != "ended":
            self.living += number
            self.memory += number * one.memory
            if not one.retired:
                _change(self._owners, one.owner, number)


def _change(counts: Counter[K], key: K, number: int) -> None:
    counts[key] += number
    if not counts[key]:
        del counts[key]
