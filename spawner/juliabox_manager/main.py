"""The manager's program: build the parts, serve until SIGTERM, close them in order."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import structlog

from juliabox_ext.errors import (
    ConfigurationError,
    ConflictError,
    JuliaBoxError,
    PluginError,
    UnavailableError,
)
from juliabox_manager import logs
from juliabox_manager.engine import Engine
from juliabox_manager.engine_socket import await_replaced
from juliabox_manager.metrics import METRICS, MetricsEndpoint
from juliabox_manager.netpolicy import NetworkPolicy
from juliabox_manager.server import Server
from juliabox_manager.service import Manager
from juliabox_manager.settings import ManagerSettings, load
from juliabox_manager.slots import Slots
from juliabox_manager.store import Store
from juliabox_manager.volume_plugins import load_homes, plugins

#: Exit code for what the operator must change (``EX_CONFIG``).
EXIT_CONFIGURATION = 78
#: Exit code when a part died; the engine starts the manager again.
EXIT_FAULT = 1

log = structlog.get_logger("juliabox.manager")


@contextlib.contextmanager
def state_lock(folder: Path) -> Iterator[None]:
    """Hold the state folder's lock; raise ``ConflictError`` if another manager has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / "lock", flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"another manager uses {folder}: stop it first, or give this installation a state "
                "folder of its own"
            ) from None
        yield
    finally:
        os.close(descriptor)


class Program:
    """One manager and its parts."""

    def __init__(self, settings: ManagerSettings) -> None:
        self._settings = settings
        store = Store(settings.state / "manager" / "manager.sqlite")
        self._plugins = plugins(settings)
        self._plugins.load()
        self._volumes = load_homes(self._plugins, settings)
        self._manager = Manager(
            settings,
            store,
            Engine(settings.engine, settings.installation, settings.network.name),
            Slots(settings.state / "slots"),
            self._volumes,
            NetworkPolicy(settings.network, settings.engine, settings.api),
        )
        self._server = Server(settings, self._manager.handle, store)
        self._endpoint = MetricsEndpoint(METRICS, self._health)

    def _health(self) -> dict[str, bool]:
        return {"admitting": self._server.admitting, "ready": self._manager.ready}

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set; raise what ends a part before that."""
        async with contextlib.AsyncExitStack() as closing:
            closing.callback(self._plugins.close)
            closing.push_async_callback(self._volumes.close)
            closing.push_async_callback(self._manager.close)
            await self._manager.start()
            closing.push_async_callback(self._manager.tasks.close)
            await self._manager.tasks.start()
            self._endpoint.listen(self._settings.metrics_address, self._settings.metrics_port)
            closing.push_async_callback(self._endpoint.close)
            serving = asyncio.create_task(self._server.run(), name="server")
            closing.push_async_callback(self._server.close)
            closing.callback(self._manager.ending)
            stopped = asyncio.create_task(stop.wait(), name="stop")
            replaced = asyncio.create_task(await_replaced(self._settings.engine), name="engine")
            await asyncio.wait((serving, stopped, replaced), return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if serving.done():
                await serving
            if replaced.done():
                raise UnavailableError("the Docker engine made its socket anew: starting again")
            replaced.cancel()
            log.info("stopping")


async def serve(settings: ManagerSettings) -> None:
    """Run one manager until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Program(settings).run(stop)


@click.command()
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="JSON file that `juliabox up` renders.",
)
def main(settings_file: Path) -> None:
    """Run the container manager of one JuliaBox installation."""
    logs.configure("manager", logs.level(os.environ))
    try:
        settings = load(settings_file)
        with state_lock(settings.state / "manager"):
            asyncio.run(serve(settings))
    except (ConfigurationError, ConflictError, PluginError) as error:
        log.error("the manager cannot run", reason=error.code, detail=error.message)
        sys.exit(EXIT_CONFIGURATION)
    except (JuliaBoxError, OSError):
        log.exception("the manager ended by a fault")
        sys.exit(EXIT_FAULT)
