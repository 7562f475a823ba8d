"""Julia's standard output and error: batched, paced, and never more than a little in memory."""

import array
import asyncio
import codecs
import fcntl
import os
import termios
import time
from collections.abc import Callable

CHUNK = 64 * 1024  # bytes per read of a pipe
HELD = 512 * 1024  # bytes held before the pipes are left alone, which blocks the writer
GATHER = 0.01  # seconds for the pieces of one print to come together
INTERVAL = 0.05  # seconds between messages, so about 20 messages per second


class Pace:
    """Token bucket: at most `rate` bytes per second after a burst of `rate * window` bytes."""

    def __init__(self, rate: float, window: float = 3.0) -> None:
        self.rate = rate
        self.capacity = rate * window
        self._tokens = self.capacity
        self._at = time.monotonic()

    def available(self) -> float:
        """Return how many bytes may go now."""
        if self.rate <= 0:
            return float("inf")
        now = time.monotonic()
        self._tokens = min(self.capacity, self._tokens + (now - self._at) * self.rate)
        self._at = now
        return self._tokens

    def spend(self, count: int) -> None:
        """Take `count` bytes off; the balance may become negative."""
        self._tokens -= count


class Pipe:
    """The read end of one of Julia's output pipes."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        self.watched = False
        self.ended = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        os.set_blocking(descriptor, False)

    def waiting(self) -> int:
        """Return how many bytes lie in the pipe."""
        if self.ended:
            return 0
        count = array.array("i", [0])
        fcntl.ioctl(self.descriptor, termios.FIONREAD, count)
        return count[0]

    def read(self, limit: int) -> str:
        """Read what is there, up to `limit` bytes, as text."""
        try:
            data = os.read(self.descriptor, limit)
        except BlockingIOError:
            return ""
        self.ended = not data
        return self._decoder.decode(data, final=self.ended)


class Output:
    """Forwards the pipes of one Julia process as stream messages."""

    def __init__(self, send: Callable[[str, str], None], pace: Pace) -> None:
        self._send = send
        self._pace = pace
        self._pipes: list[Pipe] = []
        self._held: list[list[str]] = []  # [stream name, text] in the order of arrival
        self._size = 0
        self._sent_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        self._emptied.set()

    def open(self, stdout: int, stderr: int) -> None:
        """Forward from these read ends, which from now on belong to this object."""
        self._pipes = [Pipe("stdout", stdout), Pipe("stderr", stderr)]
        self._watch(True)

    async def settle(self) -> None:
        """Send all that was written before this call."""
        for pipe in self._pipes:
            left = pipe.waiting()
            while left > 0:
                text = pipe.read(min(left, CHUNK))
                if not text and pipe.waiting() == 0:
                    break
                left -= CHUNK
                self._hold(pipe.name, text)
                if self._size >= HELD:
                    await self._emptied.wait()
        if self._size:
            self._flush()
            await self._emptied.wait()

    def close(self) -> None:
        """Forget the pipes."""
        self._watch(False)
        for pipe in self._pipes:
            os.close(pipe.descriptor)
        self._pipes = []

    def _watch(self, on: bool) -> None:
        loop = asyncio.get_running_loop()
        for pipe in self._pipes:
            wanted = on and not pipe.ended
            if wanted and not pipe.watched:
                loop.add_reader(pipe.descriptor, self._readable, pipe)
            elif pipe.watched and not wanted:
                loop.remove_reader(pipe.descriptor)
            pipe.watched = wanted

    def _readable(self, pipe: Pipe) -> None:
        self._hold(pipe.name, pipe.read(CHUNK))
        if pipe.ended or self._size >= HELD:
            self._watch(self._size < HELD)

    def _hold(self, name: str, text: str) -> None:
        if not text:
            return
        if self._held and self._held[-1][0] == name:
            self._held[-1][1] += text
        else:
            self._held.append([name, text])
        self._size += len(text)
        self._emptied.clear()
        self._schedule(self._sent_at + INTERVAL - time.monotonic())

    def _schedule(self, delay: float) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(delay, GATHER), self._flush)

    def _flush(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._held and self._pace.available() > 0:
            name, text = self._held.pop(0)
            self._size -= len(text)
            self._pace.spend(len(text))
            self._send(name, text)
        self._sent_at = time.monotonic()
        if self._held:
            wait = -self._pace.available() / self._pace.rate
            self._schedule(max(wait, INTERVAL))
        else:
            self._emptied.set()
        self._watch(self._size < HELD)
