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

from juliabox_ext.errors import ConfigurationError, ConflictError, JuliaBoxError
from juliabox_manager import logs
from juliabox_manager.engine import Engine
from juliabox_manager.metrics import METRICS, MetricsEndpoint
from juliabox_manager.netpolicy import NetworkPolicy
from juliabox_manager.server import Server
from juliabox_manager.service import Manager
from juliabox_manager.settings import ManagerSettings, load
from juliabox_manager.slots import Slots
from juliabox_manager.store import Store
from juliabox_manager.volumes import HomeVolumes

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
    """One manager: its parts, in the order in which they are closed last to first."""

    def __init__(self, settings: ManagerSettings) -> None:
        self._settings = settings
        self._store = Store(settings.state / "manager" / "manager.sqlite")
        self._engine = Engine(settings.engine, settings.installation, settings.network.name)
        self._volumes = HomeVolumes(settings)
        self._manager = Manager(
            settings,
            self._store,
            self._engine,
            Slots(settings.state / "slots"),
            self._volumes,
            NetworkPolicy(settings.network, settings.engine),
        )
        self._server = Server(settings, self._manager.handle, self._store)
        self._endpoint = MetricsEndpoint(METRICS, self._health)

    def _health(self) -> dict[str, bool]:
        return {"admitting": self._server.admitting, "ready": self._manager.ready}

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set; raise what ends a part before that."""
        async with contextlib.AsyncExitStack() as closing:
            await self._store.open()
            closing.push_async_callback(self._store.close)
            closing.push_async_callback(self._engine.close)
            closing.push_async_callback(self._manager.close)
            self._endpoint.listen(self._settings.metrics_address, self._settings.metrics_port)
            closing.push_async_callback(self._endpoint.close)
            serving = asyncio.create_task(self._server.run(), name="server")
            closing.push_async_callback(self._server.close)
            starting = asyncio.create_task(self._manager.start(), name="start")
            stopped = asyncio.create_task(stop.wait(), name="stop")
            await _first_end(serving, stopped, starting)
            log.info("stopping")

    @property
    def endpoint(self) -> str:
        """The address that clients connect to."""
        return self._server.endpoint


async def _first_end(
    serving: asyncio.Task[None], stopped: asyncio.Task[bool], starting: asyncio.Task[None]
) -> None:
    """Wait until the server ends or a stop is asked for; the end of the start only if it failed."""
    waiting: set[asyncio.Task[None] | asyncio.Task[bool]] = {serving, stopped, starting}
    try:
        while not stopped.done() and not serving.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        stopped.cancel()
        if not starting.done():
            starting.cancel()
        await asyncio.gather(stopped, starting, return_exceptions=True)


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
    logs.configure("manager")
    try:
        settings = load(settings_file)
        with state_lock(settings.state / "manager"):
            asyncio.run(serve(settings))
    except (ConfigurationError, ConflictError) as error:
        log.error("the manager cannot run", reason=error.code, detail=error.message)
        sys.exit(EXIT_CONFIGURATION)
    except (JuliaBoxError, OSError):
        log.exception("the manager ended by a fault")
        sys.exit(EXIT_FAULT)
