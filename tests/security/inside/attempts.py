"""What a session's code sees of its confinement, and what it is refused; printed as JSON.

It runs in a session through a kernel, and in containers that lack one of a session's controls.
Each attempt has a process of its own, so that one that works changes nothing for the next.
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import socket
import sys
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> None:
    """Make a system call by its number (x86-64); raise ``OSError`` if it fails."""
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def read(path: str) -> None:
    """Read a byte."""
    os.read(os.open(path, os.O_RDONLY), 1)


def write(path: str) -> None:
    """Write a byte into a new or truncated file."""
    Path(path).write_text("x")


def connect(path: str) -> None:
    """Connect to a socket of the file system."""
    socket.socket(socket.AF_UNIX).connect(path)


def rules() -> None:
    """Delete the network policy, as its owner could."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as link:
        link.bind((0, 0))
        # NFT_MSG_DELTABLE within a batch would need CAP_NET_ADMIN; so does the batch itself
        link.send(b"\x14\0\0\0\x10\0\x05\0\1\0\0\0\0\0\0\0\0\0\0\x0a")
        link.settimeout(1)
        (code,) = __import__("struct").unpack_from("i", link.recv(4096), 16)
        if code:
            raise OSError(-code, os.strerror(-code))


zero = ctypes.create_string_buffer(256)
CGROUP = next(iter(Path("/sys/fs/cgroup").glob("memory/memory.limit_in_bytes")), None) or Path(
    "/sys/fs/cgroup/memory.max"
)
ATTEMPTS = {
    "mount": lambda: call(165, b"t", b"/tmp", b"tmpfs", 0, None),
    "new mount api": lambda: call(430, b"tmpfs", 0),
    "user namespace": lambda: call(272, 0x10000000),
    "clone3 namespace": lambda: call(435, None, 0),
    "join namespace": lambda: call(308, os.open("/proc/1/ns/net", os.O_RDONLY), 0),
    "chroot": lambda: os.chroot("/tmp"),
    "device node": lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(7, 0)),
    "become root": lambda: os.setuid(0),
    "core pattern": lambda: write("/proc/sys/kernel/core_pattern"),
    "sysrq": lambda: write("/proc/sysrq-trigger"),
    "own cgroup": lambda: write(str(CGROUP)),
    "new cgroup": lambda: Path(CGROUP.parent / "below").mkdir(),
    "uevent helper": lambda: write("/sys/kernel/uevent_helper"),
    "kernel memory": lambda: read("/proc/kcore"),
    "kernel log": lambda: call(103, 3, zero, 200),
    "bpf": lambda: call(321, 0, zero, 48),
    "keyctl": lambda: call(250, 0, -3, 0),
    "add_key": lambda: call(248, b"user", b"name", b"data", 4, -3),
    "io_uring": lambda: call(425, 1, ctypes.create_string_buffer(120)),
    "userfaultfd": lambda: call(323, 0),
    "perf events": lambda: call(
        298, ctypes.create_string_buffer(b"\0" * 4 + b"\x70", 128), 0, -1, -1, 0
    ),
    "file handles": lambda: call(304, -100, zero, 0),
    "kernel module": lambda: call(175, zero, 8, b""),
    "clock": lambda: call(227, 0, ctypes.create_string_buffer(16)),
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "netlink rules": rules,
    "ipv6": lambda: socket.socket(socket.AF_INET6).bind(("::1", 0)),
    "image": lambda: write("/var/tmp/file"),
    "slot": lambda: write("/home/file"),
    "entry socket": lambda: connect("/home/entry.sock"),
    "engine socket": lambda: connect("/var/run/docker.sock"),
    "shadow file": lambda: read("/etc/shadow"),
    "disk": lambda: read("/dev/loop0"),
}


def attempt(name: str) -> str:
    """Return the name of the error that an attempt met, or ``done``."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        told = "done"
        try:
            ATTEMPTS[name]()
        except OSError as error:
            told = errno.errorcode.get(error.errno or 0, repr(error))
        except BaseException as error:
            told = repr(error)
        os.write(writer, told.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        told = file.read()
    os.waitpid(child, 0)
    return told


def status() -> dict[str, str]:
    """Return the fields of this process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def mounts() -> dict[str, list[str]]:
    """Return each mount point's options, its own and its file system's."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, rest = line.split(" - ")
        found[fields.split()[4]] = fields.split()[5].split(",") + rest.split()[2].split(",")
    return found


def cgroup(*names: str) -> str:
    """Return the first of some files of the control group, as versions 1 and 2 have them."""
    for name in names:
        path = Path("/sys/fs/cgroup") / name
        if path.exists():
            return path.read_text().strip()
    return ""


def processes() -> list[list[int]]:
    """Return the uid and number of each process that can be seen."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        # a process may have ended meanwhile
        with contextlib.suppress(FileNotFoundError):
            found.append([path.stat().st_uid, int(path.name)])
    return found


def sizes(path: str) -> list[int]:
    """Return bytes and inodes of a file system."""
    found = os.statvfs(path)
    return [found.f_blocks * found.f_frsize, found.f_files]


def main() -> None:
    """Look, try, print."""
    seen = {
        "status": status(),
        "mounts": mounts(),
        "sizes": {path: sizes(path) for path in ("/tmp", "/dev/shm", "/run/juliabox")},
        "memory": cgroup("memory/memory.limit_in_bytes", "memory.max"),
        "swap": cgroup("memory/memory.memsw.limit_in_bytes", "memory.swap.max"),
        "pids": cgroup("pids/pids.max", "pids.max"),
        "cpu": cgroup("cpu/cpu.cfs_quota_us", "cpu.max"),
        "core": list(resource.getrlimit(resource.RLIMIT_CORE)),
        "files": list(resource.getrlimit(resource.RLIMIT_NOFILE)),
        "namespaces": {path.name: str(path.readlink()) for path in Path("/proc/self/ns").iterdir()},
        "processes": processes(),
        "inet6": Path("/proc/net/if_inet6").read_text(),
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
        "attempts": {name: attempt(name) for name in ATTEMPTS},
    }
    json.dump(seen, sys.stdout)


main()
