"""Bombs of one session, each bounded in time. Usage: bombs.py SECONDS NAME…

``cpu``: as many busy processes as may be. ``fork``: processes until there are no more. ``files``:
fill the home, its inodes, ``/tmp`` and ``/dev/shm``. ``log``: print into the container's log.
``memory``: take memory until killed. ``write``: write to the home's disk without an end.
"""

import os
import sys
import time
from pathlib import Path

SECONDS = float(sys.argv[1])
END = time.monotonic() + SECONDS


def cpu() -> None:
    """Compute in eight processes."""
    for _ in range(7):
        if os.fork() == 0:
            break
    while time.monotonic() < END:
        sum(range(10_000))


def fork() -> None:
    """Fork until refused, keep all children, and go on trying."""
    parent = os.getpid()
    while time.monotonic() < END:
        try:
            if os.fork() == 0:
                time.sleep(max(0.0, END - time.monotonic()))
                os._exit(0)
        except OSError:
            time.sleep(0.01)
        if os.getpid() != parent:
            os._exit(0)


def files() -> None:
    """Fill whatever can be written."""
    for folder in ("/home/juser", "/tmp", "/dev/shm"):
        try:
            with Path(folder, "bomb").open("wb") as file:
                size = 2**44
                while size > 4096:
                    try:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
                    except OSError:
                        size //= 2
        except OSError:
            continue
    for folder in ("/tmp", "/home/juser"):
        Path(folder, "many").mkdir(exist_ok=True)
        try:
            for number in range(2_000_000):
                if time.monotonic() > END:
                    break
                os.mknod(f"{folder}/many/{number}")
        except OSError as error:
            print(folder, number, error)


def log() -> None:
    """Print where the container's log comes from: as near to the engine as can be reached."""
    for number in sorted(int(path.name) for path in Path("/proc").glob("[0-9]*")):
        try:
            pipe = os.open(f"/proc/{number}/fd/1", os.O_WRONLY)
        except OSError:
            # tini and what stands before the server let nobody in
            continue
        while time.monotonic() < END:
            os.write(pipe, (b"x" * 500 + b"\n") * 8)


def write() -> None:
    """Write the same megabytes again and again, and have them reach the disk."""
    with Path("/home/juser/dirty").open("wb") as file:
        while time.monotonic() < END:
            file.seek(0)
            for _ in range(64):
                file.write(os.urandom(2**20))
            os.fdatasync(file.fileno())


def memory() -> None:
    """Hoard what cannot be compressed."""
    hoard = []
    while time.monotonic() < END:
        hoard.append(os.urandom(2**22))


for chosen in sys.argv[2:]:
    if os.fork() == 0:
        try:
            globals()[chosen]()
        finally:
            os._exit(0)
time.sleep(SECONDS)
