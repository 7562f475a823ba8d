"""The kernel that is started ahead of the first notebook, and its hand-over.

Used in the server's process only, by its entry program and by the provisioner.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from juliabox_kernel.idle import await_idle

SWITCH = "JULIABOX_WARM_KERNEL"
KERNELS = Path(sys.prefix) / "share/jupyter/kernels"
LARGEST = 100_000  # bytes of a hand-over; what is larger could block the server

_lock = threading.Lock()
_prepared: WarmKernel | None = None


class WarmKernel:
    """A kernel's process that waits for somebody."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "juliabox_kernel.waiting", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                start_new_session=True,
            )
        self._socket = ours
        self._socket.setblocking(False)

    def hand_over(self, connection_file: str, folder: str, environment: dict[str, str]) -> bool:
        """Make it the kernel of a person; False, and it ends, when that is not possible."""
        message = {
            "connection_file": connection_file,
            "folder": folder,
            "environment": environment,
        }
        line = json.dumps(message).encode() + b"\n"
        sent = 0
        if len(line) <= LARGEST and self.process.poll() is None:
            with contextlib.suppress(OSError):
                sent = self._socket.send(line)
        self._socket.close()
        if sent == len(line):
            return True
        self.process.kill()
        self.process.wait()
        return False


def is_default() -> bool:
    """Whether notebooks use JuliaBox's kernel: an image with IJulia has another beside it."""
    return [folder.name for folder in KERNELS.glob("julia*")] == ["julia"]


def prepare() -> None:
    """Start a kernel ahead, once; nothing where it is switched off or is not the image's."""
    global _prepared  # noqa: PLW0603 - one for this process
    if os.environ.get(SWITCH) == "0" or not is_default():
        return
    with _lock:
        if _prepared is None:
            _prepared = WarmKernel()


def prepare_when_idle() -> None:
    """Start a kernel ahead as soon as nobody else waits for the processors.

    Where many servers start at once, each would keep the next waiting for a kernel that its first
    notebook starts anyhow.
    """
    await_idle()
    prepare()


def take() -> WarmKernel | None:
    """Return the kernel that was started ahead, for the only time."""
    global _prepared
    with _lock:
        taken, _prepared = _prepared, None
    return taken
