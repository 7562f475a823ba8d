"""Which control of a session is in force, judged by what code inside it saw and was refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from juliabox_manager.protocol import Limits

Seen = dict[str, Any]
MIB = 1024**2

#: What an attempt to reach the kernel or the host may meet. Each other answer is a hole.
REFUSED = {"EPERM", "EACCES", "ENOSYS", "EROFS", "ENOENT", "EADDRNOTAVAIL", "EAFNOSUPPORT"}

#: Places of the kernel that a session finds empty, and those that it cannot change.
HIDDEN = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware")
FROZEN = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/sys")


def missing(seen: Seen, limits: Limits) -> set[str]:
    """Return the names of the controls that are not in force."""
    return {name for name, in_force in CONTROLS.items() if not in_force(seen, limits)}


def _status(seen: Seen, limits: Limits) -> bool:
    status = seen["status"]
    return {status["Uid"], status["Gid"]} == {"\t".join(["1000"] * 4)} and not (
        {"0", "root"} & set(status["Groups"].split())
    )


def _capabilities(seen: Seen, limits: Limits) -> bool:
    fields = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    return not any(int(seen["status"][field], 16) for field in fields)


def _refused(*names: str) -> Callable[[Seen, Limits], bool]:
    return lambda seen, limits: all(seen["attempts"][name] in REFUSED for name in names)


def _error(name: str, *errors: str) -> Callable[[Seen, Limits], bool]:
    return lambda seen, limits: seen["attempts"][name] in errors


def _cpu(seen: Seen, limits: Limits) -> bool:
    return bool(re.match(rf"{round(limits.cpu * 100_000)}\b", seen["cpu"]))


def _mount(path: str, *options: str) -> Callable[[Seen, Limits], bool]:
    return lambda seen, limits: set(options) <= set(seen["mounts"].get(path, []))


def _sized(path: str) -> Callable[[Seen, Limits], bool]:
    def judge(seen: Seen, limits: Limits) -> bool:
        size, inodes = seen["sizes"][path]
        flags = {"nosuid", "nodev"} <= set(seen["mounts"].get(path, []))
        return flags and 0 < size <= 256 * MIB and 0 < inodes <= 65_536

    return judge


def _masked(seen: Seen, limits: Limits) -> bool:
    # kernels differ in what they have of these
    hidden = {path for path in HIDDEN if Path(path).exists()}
    frozen = {path for path in FROZEN if Path(path).exists()}
    mounts = seen["mounts"]
    return hidden <= set(mounts) and all("ro" in mounts.get(path, ["rw"]) for path in frozen)


def _own_processes(seen: Seen, limits: Limits) -> bool:
    # the first process is the session's, and nothing of anybody else's is to be seen
    numbers = {number for _, number in seen["processes"]}
    return 1 in numbers and {uid for uid, _ in seen["processes"]} <= {1000}


def _namespace(kind: str) -> Callable[[Seen, Limits], bool]:
    return lambda seen, limits: (
        seen["namespaces"][kind] != str(Path(f"/proc/self/ns/{kind}").readlink())
    )


CONTROLS: dict[str, Callable[[Seen, Limits], bool]] = {
    "user": _status,
    "capabilities": _capabilities,
    "no new privileges": lambda seen, limits: seen["status"]["NoNewPrivs"] == "1",
    "seccomp": lambda seen, limits: (
        seen["status"]["Seccomp"] == "2"
        # these are refused by nothing else: the kernel gives them to everybody
        and all(
            seen["attempts"][name] == "EPERM" for name in ("user namespace", "keyctl", "add_key")
        )
    ),
    "seccomp without io_uring": _error("io_uring", "EPERM"),
    "read-only root": lambda seen, limits: (
        seen["attempts"]["image"] == "EROFS" and "ro" in seen["mounts"]["/"]
    ),
    "read-only slot": lambda seen, limits: (
        "ro" in seen["mounts"]["/home"] and seen["attempts"]["slot"] in {"EROFS", "EACCES"}
    ),
    "masked paths": _masked,
    "memory": lambda seen, limits: seen["memory"] == str(limits.memory),
    "swap": lambda seen, limits: seen["swap"] in {"", "0", str(limits.memory)},
    "pids": lambda seen, limits: seen["pids"] == str(limits.pids),
    "cpu": _cpu,
    "core files": lambda seen, limits: seen["core"] == [0, 0],
    "open files": lambda seen, limits: seen["files"][1] <= 16_384,
    "out-of-memory order": lambda seen, limits: seen["oom"] == "500",
    "/tmp": _sized("/tmp"),
    "/run/juliabox": _sized("/run/juliabox"),
    "/dev/shm": lambda seen, limits: seen["sizes"]["/dev/shm"][0] <= 64 * MIB,
    "own processes": _own_processes,
    **{
        f"{kind} namespace": _namespace(kind)
        for kind in ("pid", "ipc", "net", "uts", "mnt", "cgroup")
    },
    "no ipv6": lambda seen, limits: seen["inet6"] == "" and _refused("ipv6")(seen, limits),
    "no host socket": _error("engine socket", "ENOENT"),
    "kernel": lambda seen, limits: all(error in REFUSED for error in seen["attempts"].values()),
}

#: Controls of the home's disk, which a container outside an installation lacks.
HOME: dict[str, Callable[[Seen, Limits], bool]] = {
    "home flags": _mount("/home/juser", "rw", "nosuid", "nodev"),
    "slot propagation": _mount("/home", "ro"),
}
