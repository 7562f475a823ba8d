"""When the next mail may go out: so many per second, so many per day."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime

import structlog

from juliabox_ext.errors import JuliaBoxError, NoRoomError, UnavailableError
from juliabox_plugins.state_file import StateFile

log = structlog.get_logger("juliabox.plugins")

#: Seconds that a mail waits for its turn at most.
PATIENCE = 60.0


def _today() -> date:
    return datetime.now(UTC).date()


class MailRates:
    """Spaces mails evenly and counts those of a day (UTC).

    The count survives a restart. Mails never come closer than the rate admits, not even across a
    restart: the first one of a process waits like any other.
    """

    def __init__(
        self,
        store: StateFile,
        plugin: str,
        *,
        today: Callable[[], date] = _today,
        patience: float = PATIENCE,
    ) -> None:
        self._store = store
        self._plugin = plugin
        self._today = today
        self._patience = patience
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._start = time.monotonic()
        self._next: float | None = None
        self._day, self._sent = today(), 0

    def open(self) -> None:
        """Read how many mails went out today."""
        try:
            kept = self._store.read()
        except JuliaBoxError as error:
            log.warning("the count of today's mails is lost", reason=error.message)
            return
        sent = kept.get("sent")
        if kept.get("day") == self._today().isoformat() and isinstance(sent, int):
            self._sent = max(0, sent)

    def close(self) -> None:
        """Send those away that wait for their turn."""
        self._closed.set()

    def left(self, quota: int) -> int:
        """Return how many mails of a daily quota are left."""
        with self._lock:
            self._roll()
            return max(0, quota - self._sent)

    def take(self, rate: float, quota: int | None = None) -> None:
        """Wait for a turn and count one mail; no quota means that somebody else counts.

        Raise ``NoRoomError`` if the quota is used up or the queue is longer than a minute.
        """
        with self._lock:
            self._roll()
            if quota is not None and self._sent >= quota:
                raise NoRoomError(
                    f"plugin {self._plugin}: all {quota} mails of today are sent. Try again "
                    "tomorrow (UTC), or raise the daily quota with the mail provider",
                    code="mail.quota",
                )
            now = time.monotonic()
            first = self._start + 1 / rate if self._next is None else self._next
            turn = max(now, first)
            if turn - now > self._patience:
                raise NoRoomError(
                    f"plugin {self._plugin}: more mails wait than {rate:g} per second let out in "
                    f"{self._patience:g} s. Try again later",
                    code="mail.rate",
                )
            self._next = turn + 1 / rate
            if quota is not None:
                self._count(1)
        if self._closed.wait(max(0.0, turn - time.monotonic())):
            if quota is not None:
                self.give_back()
            raise UnavailableError(
                f"plugin {self._plugin}: its process ends; the mail was not sent. Try again",
                code="mail.closed",
            )

    def give_back(self) -> None:
        """Take back the count of a mail that never reached the server."""
        with self._lock:
            self._roll()
            self._count(-1)

    def _roll(self) -> None:
        if self._today() != self._day:
            self._day, self._sent = self._today(), 0

    def _count(self, more: int) -> None:
        """Change the count; mail goes on when it cannot be kept."""
        self._sent = max(0, self._sent + more)
        try:
            with self._store.change() as kept:
                kept.update(day=self._day.isoformat(), sent=self._sent)
        except JuliaBoxError as error:
            log.warning("the count of today's mails is not kept", reason=error.message)
