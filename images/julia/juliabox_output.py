"""Run a session's program, and pass on to the engine's log what it prints, up to a rate.

The engine takes whatever a container prints and has no limit for that: one session that prints as
fast as it can keeps a whole processor of the host busy in the engine, outside all limits of the
session, and slows every other start. So the engine's end is held by this program alone. What is
printed beyond the rate is left out; the last of it follows when there is room, or at the end.

Programs of the session are the same user, so this process is not dumpable, and neither is tini,
whose file cannot be read: nobody reopens the engine's end through ``/proc``. Whoever kills this
process ends the session, which is theirs.

Usage: juliabox_output.py PROGRAM [ARGUMENT…]
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable

#: Bytes that are passed on at once, and bytes per second afterwards.
BURST = 256 * 1024
RATE = 16 * 1024
#: Bytes that are kept of what was left out: the cause of an end stands there.
TAIL = 4096

CHUNK = 65_536
PR_SET_DUMPABLE = 4
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


class Passage:
    """Passes on bytes up to a rate."""

    def __init__(
        self, write: Callable[[bytes], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._left = float(BURST)
        self._then = clock()
        self._kept = b""
        self._dropped = 0

    def take(self, chunk: bytes) -> None:
        """Pass on a chunk, or leave it out."""
        now = self._clock()
        self._left = min(BURST, self._left + (now - self._then) * RATE)
        self._then = now
        # after something was left out, room for more than a moment is awaited
        if self._left < len(chunk) + (BURST // 8 if self._dropped else 0):
            self._dropped += len(chunk)
            self._kept = (self._kept + chunk)[-TAIL:]
            return
        self.end()
        self._left -= len(chunk)
        self._write(chunk)

    def end(self) -> None:
        """Pass on the last of what was left out."""
        if self._dropped:
            left_out = self._dropped - len(self._kept)
            note = f"\njuliabox: {left_out} bytes of output were left out here\n"
            self._write(note.encode() + self._kept + b"\n")
            self._left -= len(self._kept)
        self._kept, self._dropped = b"", 0


def main() -> None:
    """Run the program; end as it ends."""
    # before there is anybody else
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    reader, writer = os.pipe()
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    child = os.fork()
    if not child:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell wanted
    os.close(writer)
    for number in FORWARDED:
        signal.signal(number, lambda sent, _: os.kill(child, sent))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    passage = Passage(pass_on)
    while True:
        ready, _, _ = select.select([reader, ended], [], [])
        if reader in ready:
            passage.take(os.read(reader, CHUNK))
        if ended in ready:
            os.read(ended, CHUNK)
            gone, status = os.waitpid(child, os.WNOHANG)
            if gone:
                break
    # what is still in the pipe; others may hold its other end for ever
    os.set_blocking(reader, False)
    try:
        for _ in range(64):
            passage.take(os.read(reader, CHUNK))
    except BlockingIOError:
        pass
    passage.end()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def pass_on(data: bytes) -> None:
    """Write all of some bytes to the engine."""
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()
