"""Ports for servers that cannot be told to pick one themselves."""

from __future__ import annotations

import fcntl
import random
import socket
import tempfile
from pathlib import Path

#: Below the ports that the kernel hands out by itself: what binds port 0 or connects takes none.
_RANGE = range(15_000, 32_000)
#: Byte number N of it is locked by the process that port N was given to.
_TAKEN = (Path(tempfile.gettempdir()) / "juliabox-test-ports").open("ab")
_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port that nothing listens on and that no other process of the tests is given.

    It is free at all addresses of the machine. Some time passes before a server listens on it, and
    processes of tests run side by side: it is theirs until this process ends, and is not given
    twice within it.
    """
    while True:
        port = random.choice(_RANGE)
        if port not in _given and _ours(port) and _free(port):
            _given.add(port)
            return port


def _ours(port: int) -> bool:
    try:
        fcntl.lockf(_TAKEN, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # as servers do: connections that ended a moment ago are no hindrance
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
