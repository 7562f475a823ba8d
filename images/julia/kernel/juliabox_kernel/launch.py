"""Start a Julia process with the driver. Imports little, since it runs before all else."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "julia"
OPTIONS = ("-i", "--startup-file=no", "--color=yes", "--project=@.")
DRIVER = Path(__file__).parent / "driver" / "main.jl"
WIDTH = "100"  # columns that Julia assumes for text
LIKELY_VICTIM = "500"  # oom_score_adj: the kernel of the machine ends Julia, not the server
FIRST_VICTIM = "1000"  # of a Julia that nobody uses yet
GUARD = 'read -r _; kill -KILL "-$0"'  # waits for the kernel's end, then ends the process group


def program() -> str:
    """Return the Julia that the environment names."""
    return os.environ.get("JULIABOX_JULIA", PROGRAM)


def environment() -> dict[str, str]:
    """Return this process's environment as Julia shall see it."""
    return {**os.environ, "COLUMNS": WIDTH, "LINES": "30"}


def expose(pid: int, score: str) -> None:
    """Say how likely the machine's kernel picks this process when memory runs out."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(score)


def _guard(group: int) -> subprocess.Popen[bytes]:
    """Start a process that ends the process group when this process ends, however that be."""
    return subprocess.Popen(
        ["/bin/sh", "-c", GUARD, str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )


@dataclass
class Launched:
    """A Julia process, its socket, and the read ends of its output pipes."""

    program: str
    process: subprocess.Popen[bytes]
    guard: subprocess.Popen[bytes]
    socket: socket.socket
    stdout: int
    stderr: int
    waiting: bool  # it waits for ADOPT, and has run no code of a person's
    version: str = ""  # of Julia, once it has said HELLO to somebody else than the kernel

    def kill(self) -> None:
        """End the process group and its guard."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.guard.poll() is None:
            self.guard.kill()
            self.guard.wait()

    def discard(self) -> None:
        """End a process that no kernel took."""
        self.kill()
        self.process.wait()
        self.socket.close()
        os.close(self.stdout)
        os.close(self.stderr)


def launch(julia: str, *, waiting: bool = False) -> Launched:
    """Start Julia in this process's folder and environment. OSError: it cannot be started."""
    ours, theirs = socket.socketpair()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    manner = "wait" if waiting else "serve"
    arguments = [str(DRIVER), str(theirs.fileno()), str(os.getpid()), manner]
    try:
        process = subprocess.Popen(
            [julia, *OPTIONS, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out_write,
            stderr=err_write,
            pass_fds=[theirs.fileno()],
            env=environment(),
            process_group=0,
        )
    except OSError:
        for descriptor in (out_read, err_read):
            os.close(descriptor)
        ours.close()
        raise
    finally:
        theirs.close()
        os.close(out_write)
        os.close(err_write)
    expose(process.pid, FIRST_VICTIM if waiting else LIKELY_VICTIM)
    return Launched(julia, process, _guard(process.pid), ours, out_read, err_read, waiting)
