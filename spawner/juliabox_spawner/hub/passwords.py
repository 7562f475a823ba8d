"""Passwords: hashed in threads, since bcrypt takes a quarter of a second, and guarded."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from juliabox_ext.errors import NoRoomError

T = TypeVar("T")

#: bcrypt looks at no more bytes than these.
MAX_BYTES = 72
MIN_LENGTH = 8

#: Hashes that wait for a thread, beyond which more are refused: about 30 seconds of work.
_QUEUE = 200

#: Names that the guard remembers; the oldest is forgotten first.
_REMEMBERED = 10_000

#: Addresses that are remembered of one name; and how many times as many wrong passwords as lock a
#: name for one address lock it for all.
_ADDRESSES = 200
_EVERYBODY = 20

_threads = ThreadPoolExecutor(2, thread_name_prefix="bcrypt")
_waiting = 0

#: Hash of no password, checked for names that do not exist so that these take as long.
_NOBODY = bcrypt.hashpw(b"nobody's", bcrypt.gensalt())


def problem(password: str) -> str:
    """Return what is wrong with a new password, for the person, or an empty text."""
    if len(password) < MIN_LENGTH:
        return f"A password has at least {MIN_LENGTH} characters."
    if len(password.encode()) > MAX_BYTES:
        return f"A password has at most {MAX_BYTES} bytes."
    if "\x00" in password:
        return "A password has no NUL character."
    return ""


def hashed(password: str) -> bytes:
    """Return the hash of a password; takes a quarter of a second."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt())


async def hash_password(password: str) -> bytes:
    """Return the hash of a password; raise ``NoRoomError`` if too many wait."""
    return await _threaded(lambda: hashed(password))


async def check_password(password: str, stored: bytes | None) -> bool:
    """Return whether a password belongs to a stored hash; ``None`` takes as long and is wrong."""
    encoded = password.encode("utf-8", "surrogatepass")
    if len(encoded) > MAX_BYTES or b"\x00" in encoded:
        encoded, stored = b"", None
    good = await _threaded(lambda: bcrypt.checkpw(encoded, stored or _NOBODY))
    return bool(good) and stored is not None


async def _threaded(work: Callable[[], T]) -> T:
    global _waiting  # noqa: PLW0603  # one queue for the process's one pool
    if _waiting >= _QUEUE:
        raise NoRoomError("Too many people are logging in at once. Try again in a minute.")
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, work)
    finally:
        _waiting -= 1


class Guard:
    """Locks a name after too many wrong passwords in a row.

    Whoever types them from one address locks the name for that address alone, so that nobody keeps
    another person out; only many times as many, from all addresses together, lock it for everybody.
    """

    def __init__(
        self, allowed: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed = allowed
        self._seconds = seconds
        self._clock = clock
        #: Name -> address, or "" for all of them -> tries and the time of the last.
        self._tries: OrderedDict[str, OrderedDict[str, tuple[int, float]]] = OrderedDict()

    def locked(self, name: str, address: str) -> int:
        """Return the seconds for which a name is still locked, rounded up; 0 if it is not."""
        return max(
            self._left(name, address, self._allowed),
            self._left(name, "", self._allowed * _EVERYBODY),
        )

    def trying(self, name: str, address: str) -> None:
        """Note a try, which counts as wrong until it succeeds: many may be made at once."""
        tries = self._tries.pop(name, OrderedDict())
        self._tries[name] = tries
        for place in ("", address):
            count, _ = tries.pop(place, (0, 0.0))
            tries[place] = (count + 1, self._clock())
        while len(tries) > _ADDRESSES:
            tries.popitem(last=False)
        while len(self._tries) > _REMEMBERED:
            self._tries.popitem(last=False)

    def untried(self, name: str, address: str) -> None:
        """Take back a try whose password was not looked at."""
        tries = self._tries.get(name, OrderedDict())
        for place in ("", address):
            if place in tries:
                count, since = tries[place]
                tries[place] = (count - 1, since)

    def succeeded(self, name: str) -> None:
        """Forget the wrong passwords of a name."""
        self._tries.pop(name, None)

    def _left(self, name: str, place: str, allowed: int) -> int:
        tries = self._tries.get(name, OrderedDict())
        count, since = tries.get(place, (0, 0.0))
        if not allowed or count < allowed:
            return 0
        left = since + self._seconds - self._clock()
        if left <= 0:
            del tries[place]
            return 0
        return int(left) + 1
