"""Checks before anything is changed: each refuses with what is wrong and what to do."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

from juliabox_cli.config import Config
from juliabox_cli.docker_engine import Engine
from juliabox_cli.state import State
from juliabox_cli.units import show_size
from juliabox_ext.errors import ConfigurationError, ConflictError, NoRoomError, UnavailableError

#: Free bytes for images that must still be built, and for running with them present.
DISK_TO_BUILD = 6 * 1024**3
DISK_TO_RUN = 1024**3
MEMORY_TO_RUN = 768 * 1024**2


def require_root() -> None:
    """Refuse to go on as somebody who may not make mounts and other people's files."""
    if os.geteuid() == 0:
        return
    raise UnavailableError(
        "this needs root: the state folder's mounts and the control parts' files belong to other "
        "users. Repeat with sudo (`sudo make up`)",
        code="not_root",
    )


def check_port(config: Config, engine: Engine) -> None:
    """Refuse a port on which somebody else listens."""
    own = engine.container(f"{config.name}-proxy")
    if own is not None and _publishes(own, config):
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.bind, config.port))
        except OSError as error:
            raise ConflictError(
                f"cannot listen on {config.bind}:{config.port}: {error.strerror}. Choose another "
                "with `juliabox config set port NUMBER` (and bind), or stop what listens there "
                f"(`ss -ltnp sport = :{config.port}` shows it)",
                code="port.taken",
            ) from None


def _publishes(container: dict[str, Any], config: Config) -> bool:
    """Tell whether our own running proxy is what holds the port."""
    ports = (container.get("NetworkSettings") or {}).get("Ports") or {}
    wanted = {"HostIp": config.bind, "HostPort": str(config.port)}
    return any(wanted in (bindings or []) for bindings in ports.values())


def check_same_name(config: Config, state: State) -> None:
    """Refuse a name other than the one that the installation was made with."""
    install = state.read_install()
    if install is not None and install.name != config.name:
        raise ConfigurationError(
            f"name is {config.name}, but this installation was made as {install.name}; its "
            f"containers and networks carry that. Run `juliabox config set name {install.name}`",
            code="name.changed",
        )


def check_name(config: Config, state: State, engine: Engine) -> None:
    """Refuse a changed name, and one that another installation on this engine uses."""
    check_same_name(config, state)
    for container in engine.containers(config.name):
        sources = {str(mount.get("Source", "")) for mount in container.get("Mounts") or []}
        if not any(
            source == str(state.root) or source.startswith(f"{state.root}/") for source in sources
        ):
            raise ConflictError(
                f"the name {config.name} is used on this engine by another installation "
                f"(container {container['Name'].lstrip('/')}). Choose a name with "
                "`juliabox config set name NAME`",
                code="name.taken",
            )


def check_disk(state: State, building: bool) -> None:
    """Refuse to start on a disk that is nearly full."""
    needed = DISK_TO_BUILD if building else DISK_TO_RUN
    free = shutil.disk_usage(state.root).free
    if free < needed:
        raise NoRoomError(
            f"only {show_size(free)} free on the disk of {state.root}; {show_size(needed)} are "
            f"needed to {'build the images' if building else 'run'}. Free some, or set "
            "JULIABOX_STATE to a folder on a larger disk",
            code="disk.full",
        )


def check_memory() -> None:
    """Refuse a machine on which not even the control parts and one session fit."""
    available = available_memory(Path("/proc/meminfo").read_text())
    if available < MEMORY_TO_RUN:
        raise NoRoomError(
            f"only {show_size(available)} of memory available; {show_size(MEMORY_TO_RUN)} are "
            "needed. Stop something, or take a larger machine",
            code="memory.short",
        )


def available_memory(meminfo: str) -> int:
    """Return the bytes that the kernel deems available, from the text of ``/proc/meminfo``."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
