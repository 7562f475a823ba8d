"""The process between the manager and a task: when the task is over, nothing of it is left.

It is the parent of the task's process, and by the kernel's rule of subreapers the parent of
whatever the task leaves behind, also of daemons in sessions of their own. It waits for one of
these: the task's process ends, the manager lets go of the channel, by will or by dying, or there
are too many processes, for which manager and tasks have one limit together. Then it kills all its
descendants and ends. It imports nothing heavy and is forked from before anything else is loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36

#: Processes that one task may have, and seconds between two looks at their number.
MAX_PROCESSES: Final = 256
_LOOK: Final = 1.0

#: Seconds between two rounds of killing: what forks meanwhile is met again.
_ROUND: Final = 0.01

_libc = ctypes.CDLL(None, use_errno=True)


def guard(channel: int, work: Callable[[], NoReturn]) -> int:
    """Run ``work`` in a child until it ends or ``channel`` breaks off; return its exit code.

    A signal counts as 128 and its number. Descendants have ended when this returns, but for what
    hangs in the kernel.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    guardian = os.getpid()
    child = os.fork()
    if child == 0:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:
            os._exit(128 + signal.SIGKILL)
        # a group of its own, so that one call kills it without the guardian
        os.setpgid(0, 0)
        work()
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    _await_end(channel, child)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return _reap_all(child)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _await_end(channel: int, child: int) -> None:
    """Return when the child has ended, the channel is closed, or there are too many processes."""
    poll = select.poll()
    poll.register(channel, select.POLLRDHUP)
    poll.register(os.pidfd_open(child), select.POLLIN)
    while not poll.poll(_LOOK * 1000):
        number = len(_descendants())
        if number > MAX_PROCESSES:
            print(f"killed: {number} processes are more than {MAX_PROCESSES}", file=sys.stderr)
            return


def _descendants() -> list[int]:
    """Return the processes below this one."""
    found = _children(os.getpid())
    for pid in found:  # grows meanwhile
        found += _children(pid)
    return found


def _children(pid: int) -> list[int]:
    lines: list[str] = []
    # a process that ends meanwhile has none
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            lines += (thread / "children").read_text().split()
    return [int(line) for line in lines]


def _reap_all(child: int) -> int:
    """Kill and reap descendants, generation by generation; return the exit code of ``child``."""
    code = 0
    while True:
        for pid in _children(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while (found := os.waitpid(-1, os.WNOHANG))[0] != 0:
                if found[0] == child:
                    code = _exit_code(found[1])
        except ChildProcessError:
            return code
        time.sleep(_ROUND)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
