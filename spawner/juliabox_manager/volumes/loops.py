"""Loop devices, by ioctl.

A device is bound with *autoclear*: the kernel frees it when the last descriptor is closed and the
last mount is gone. A manager that is killed between binding and mounting therefore leaks nothing.
Needs Linux 5.8 (``LOOP_CONFIGURE``).
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
import threading
import time
from pathlib import Path

LOOP_CLR_FD = 0x4C01
LOOP_GET_STATUS64 = 0x4C05
LOOP_CONFIGURE = 0x4C0A
LOOP_CTL_GET_FREE = 0x4C82
LO_FLAGS_AUTOCLEAR = 4

#: ``struct loop_info64`` and ``struct loop_config`` of the kernel.
_INFO = struct.Struct("=5Q4I64s64s32s2Q")
_CONFIG = struct.Struct(f"=2I{_INFO.size}s8Q")

#: Attempts at a free device; each is lost only if another program took the device in between.
_ATTEMPTS = 64

_CONTROL = "/dev/loop-control"
_DEVICES = Path("/sys/block")
_binding = threading.Lock()


def bind(image_fd: int) -> tuple[int, int]:
    """Bind a free loop device to an open image; return its number and an open descriptor.

    Close the descriptor once the device is mounted; closed before, it frees the device.
    """
    config = _CONFIG.pack(image_fd, 0, _info(LO_FLAGS_AUTOCLEAR), *([0] * 8))
    with _binding:
        for attempt in range(_ATTEMPTS):
            number = _free_number()
            device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
                time.sleep(0.001 * attempt)
                continue
            return number, device
    raise OSError(errno.EBUSY, "no free loop device")


def bound_to(image: int) -> list[int]:
    """Return the numbers of the loop devices that are bound to an open image file.

    Compares device and inode: the path that the kernel shows is seen from the mount namespace in
    which the device was bound, which may be that of a manager's container long gone.
    """
    if _open_here_alone(image):
        return []
    status = os.fstat(image)
    wanted = (status.st_dev, status.st_ino)
    return [number for number in bound_numbers() if backing(number) == wanted]


def _open_here_alone(file: int) -> bool:
    """Tell whether nobody else, so no loop device either, has a file open; False if in doubt.

    The kernel grants a lease for writing to the only one who has a file open, and knows that
    without a look at each of hundreds of devices.
    """
    try:
        # should somebody open it in this very moment: a signal that does nothing
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True


def bound_numbers() -> list[int]:
    """Return the numbers of all bound loop devices of the machine."""
    names = (entry.name for entry in _DEVICES.iterdir() if entry.name.startswith("loop"))
    return sorted(int(name[4:]) for name in names if is_bound(int(name[4:])))


def is_bound(number: int) -> bool:
    """Tell whether a loop device is bound to a file."""
    return (_DEVICES / f"loop{number}" / "loop" / "backing_file").exists()


def hold(number: int) -> int:
    """Open a loop device, so that it is not freed until the descriptor is closed."""
    return os.open(f"/dev/loop{number}", os.O_RDONLY | os.O_CLOEXEC)


def unbind(number: int, image: tuple[int, int]) -> None:
    """Free a loop device as soon as nothing uses it, even if it was bound without autoclear.

    Nothing is done if it is not bound to ``image`` any more: it may be another's by now.
    """
    try:
        device = hold(number)
    except OSError:
        return
    try:
        # held open, it cannot become another's between this look and the call
        if _backing(device) == image:
            fcntl.ioctl(device, LOOP_CLR_FD)
    finally:
        os.close(device)


def _free_number() -> int:
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(control, LOOP_CTL_GET_FREE)
    finally:
        os.close(control)


def backing(number: int) -> tuple[int, int] | None:
    """Return device and inode of the file that a loop device is bound to, if it is."""
    try:
        device = hold(number)
    except OSError:
        return None
    try:
        return _backing(device)
    finally:
        os.close(device)


def _backing(device: int) -> tuple[int, int] | None:
    status = bytearray(_INFO.size)
    try:
        fcntl.ioctl(device, LOOP_GET_STATUS64, status)
    except OSError:
        return None
    backing_device, inode = _INFO.unpack(status)[:2]
    return backing_device, inode


def _info(flags: int) -> bytes:
    return _INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, b"", b"", b"", 0, 0)
