"""The Julia process: start, talk, interrupt, end."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from juliabox_kernel.frames import Ask, Frame, Told, pack, read_frame
from juliabox_kernel.launch import LIKELY_VICTIM, Launched, environment, expose
from juliabox_kernel.memory import MemoryWatch
from juliabox_kernel.output import Output

GOODBYE = 2.0  # seconds for Julia's own atexit hooks


class JuliaProcess:
    """One Julia process with its socket and its output pipes. Used from the kernel's loop.

    `on_frame` gets each frame in order, after the output that was printed before it.
    `ended` is set, with `reason`, when the process is gone and its output is forwarded.
    """

    def __init__(self, output: Output, on_frame: Callable[[Frame], Awaitable[None]]) -> None:
        self.ended = asyncio.Event()
        self.ready = asyncio.Event()
        self.reason = ""
        self.version = ""
        self._output = output
        self._on_frame = on_frame
        self._closing = threading.Event()
        self._memory = MemoryWatch()
        self._process: subprocess.Popen[bytes] | None = None
        self._launched: Launched | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id; also the id of the process group that Julia's children are in."""
        return self._process.pid if self._process else 0

    async def start(self, launched: Launched) -> None:
        """Serve a process that was launched, with the environment and folder of this one."""
        self._launched = launched
        self._process = launched.process
        self._socket = launched.socket
        self._output.open(launched.stdout, launched.stderr)
        reader, self._writer = await asyncio.open_connection(sock=launched.socket)
        if launched.waiting:
            expose(launched.process.pid, LIKELY_VICTIM)
            variables = (text for item in environment().items() for text in item)
            self.version = launched.version
            self.ready.set()
            self.send(Ask.ADOPT, str(Path.cwd()), *variables)
        self._task = asyncio.create_task(self._receive(reader, launched.process))

    def send(self, kind: Ask, *fields: str) -> None:
        """Send one frame; dropped when Julia has gone."""
        if self._writer and not self._writer.is_closing():
            self._writer.write(pack(kind, *fields))

    def signal(self, times: int = 1) -> None:
        """Send SIGINT to Julia alone. Several at once make Julia throw at any place."""
        for _ in range(times):
            if self._process and self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)

    def signal_children(self) -> None:
        """Send SIGINT to the programs that Julia runs, as a terminal would."""
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError):
                group = int(entry.read_text().rpartition(")")[2].split()[2])
                if group == self.pid and int(entry.parent.name) != self.pid:
                    os.kill(int(entry.parent.name), signal.SIGINT)

    def close(self, patience: float = GOODBYE) -> None:
        """End Julia and its children; may be called from any thread, and blocks.

        Julia sees its socket close and runs its atexit hooks; after `patience` seconds it is
        killed.
        """
        self._closing.set()
        if self._process is None or self._socket is None:
            return
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._kill_group()
        self._process.wait()

    async def _receive(
        self, reader: asyncio.StreamReader, process: subprocess.Popen[bytes]
    ) -> None:
        while frame := await read_frame(reader):
            if frame.kind is Told.HELLO:
                self.version = frame.text(0)
                self.ready.set()
                continue
            await self._output.settle()
            await self._on_frame(frame)
        await self._finish(process)

    async def _finish(self, process: subprocess.Popen[bytes]) -> None:
        try:
            code = await asyncio.wait_for(asyncio.to_thread(process.wait), GOODBYE)
        except TimeoutError:
            process.kill()
            code = await asyncio.to_thread(process.wait)
        self._kill_group()
        if not self._closing.is_set():
            self.reason = self._memory.describe_end(code)
            await self._output.settle()
        self._output.close()
        if self._writer:
            self._writer.close()
        self.ended.set()
        self.ready.set()

    def _kill_group(self) -> None:
        if self._launched:
            self._launched.kill()
