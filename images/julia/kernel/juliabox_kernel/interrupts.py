"""What happens when a person interrupts a cell."""

import asyncio
from collections.abc import Callable

from juliabox_kernel.frames import Ask
from juliabox_kernel.process import JuliaProcess

BY_READER = 0.25  # seconds for Julia's own tasks to pass the interrupt on
PATIENCE = 3.0  # seconds before the person is told that it takes longer
FORCE = 8  # SIGINT in quick succession: Julia then throws wherever it is

STUCK = (
    "Julia is in a computation that has no place to stop. Interrupt again to force it; "
    "variables stay, but a forced stop may leave the value being computed in a bad state.\n"
)
FORCED = "Forcing the interrupt.\n"
HOPELESS = "Julia does not stop. Restart the kernel to end it; variables are then lost.\n"


class Interrupter:
    """Stops the request that runs: first gently, by force when asked a second time.

    A task that waits is stopped by Julia's reader task; one that computes, by SIGINT.
    Nothing is sent while no request runs.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._process: JuliaProcess | None = None
        self._times = 0
        self._seen = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether a request runs that could be interrupted."""
        return self._process is not None

    def begin(self, process: JuliaProcess) -> None:
        """Note that a request was sent to `process`."""
        self._process = process
        self._times = 0

    def end(self) -> None:
        """Note that the request has ended."""
        self._process = None
        if self._task:
            self._task.cancel()
            self._task = None

    def seen(self) -> None:
        """Note that Julia's reader has seen the interrupt."""
        self._seen.set()

    def interrupt(self) -> None:
        """Stop what runs; called once for each time that the person asks."""
        if self._process is None:
            return
        self._times += 1
        if self._task:
            self._task.cancel()
        work = self._ask(self._process) if self._times == 1 else self._force(self._process)
        self._task = asyncio.create_task(work)

    async def _ask(self, process: JuliaProcess) -> None:
        self._seen.clear()
        process.send(Ask.INTERRUPT)
        try:
            await asyncio.wait_for(self._seen.wait(), BY_READER)
        except TimeoutError:
            process.signal()
        process.signal_children()
        await asyncio.sleep(PATIENCE)
        self._tell(STUCK)

    async def _force(self, process: JuliaProcess) -> None:
        self._tell(FORCED)
        process.send(Ask.INTERRUPT)
        for _ in range(FORCE):
            process.signal()
            await asyncio.sleep(0.03)
        process.signal_children()
        await asyncio.sleep(PATIENCE)
        self._tell(HOPELESS)
