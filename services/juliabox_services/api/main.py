"""``juliabox-api``: build the engine's parts, serve until SIGTERM, let calls end, close."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path

import structlog
from structlog.typing import FilteringBoundLogger
from tornado.httpserver import HTTPServer

from juliabox_ext.errors import ConfigurationError, JuliaBoxError
from juliabox_manager import logs
from juliabox_manager.log_batches import BatchHandler
from juliabox_services.api import interface
from juliabox_services.api.access import Callers
from juliabox_services.api.app import PLAIN_BYTES, application, identify
from juliabox_services.api.async_results import Results
from juliabox_services.api.back import Engine
from juliabox_services.api.base import Front
from juliabox_services.api.control import control_application
from juliabox_services.api.departures import Departures
from juliabox_services.api.metrics import Metrics
from juliabox_services.api.models import Version
from juliabox_services.api.people import People
from juliabox_services.api.publishing import Publishing
from juliabox_services.api.rates import Rates, Room
from juliabox_services.api.settings import ApiSettings, Bounds, load
from juliabox_spawner.client import ManagerClient
from juliabox_spawner.hub.logs import Scrub
from juliabox_spawner.hub.secret_files import read_secret

SETTINGS = "/etc/juliabox/api.json"

#: Exit code for what the operator must change (``EX_CONFIG``).
EXIT_CONFIGURATION = 78

#: Bytes of bodies of all requests, and of large answers, that may be on their way at one time, at
#: least.
ROOM_BYTES = 256 * 1024**2
#: Bytes of headers of a request, and of what came from a connection and is not read yet.
HEADER_BYTES = 32 * 1024
BUFFER_BYTES = 1024**2
#: Seconds for headers to come, also between two requests of one connection. The proxy keeps its
#: connections for ever, gathers headers itself, and a call that it sends into one that is being
#: closed is lost.
IDLE_SECONDS = 75.0
PROXY_IDLE_SECONDS = 86_400.0
#: Seconds for a body that nobody reads, and for the last answers to be taken at the end.
BODY_SECONDS = 30.0
LAST_SECONDS = 2.0

#: Objects after which garbage is collected, by generation; Python's own are 700, 10 and 10.
COLLECTED = (20_000, 20, 10)

log = structlog.get_logger("juliabox.api")


class Service:
    """One engine and its parts. To be made and used within the event loop."""

    def __init__(self, settings: ApiSettings, lines: FilteringBoundLogger) -> None:
        self.settings, bounds = settings, settings.bounds
        self.metrics = Metrics()
        self._client = _client(settings)
        self.engine = Engine(bounds, self._client, self.metrics.registry, self._news)
        self.publishing = Publishing(settings, self.engine)
        self._people = People(settings.hub_api, read_secret(settings.secrets / "api_token"))
        self.front = Front(
            settings=settings,
            published=self.publishing.published,
            ledger=self.publishing.ledger,
            back=self.engine,
            callers=Callers(settings.hub_api, self._people),
            rates=Rates(),
            results=Results(),
            metrics=self.metrics,
            room=room_of(bounds),
            lines=lines,
        )
        self._departures = Departures(
            self._people, self.publishing.published, self.publishing.saving
        )
        self._servers: list[HTTPServer] = []

    async def open(self) -> None:
        """Open the parts, then listen: first where the proxy comes, then where sessions do."""
        await self.engine.open()
        await self.publishing.open()
        self._departures.start()
        figures = HTTPServer(control_application(self.metrics.registry, self._lacking))
        figures.listen(self.settings.metrics_port, self.settings.metrics_address)
        self._servers.append(figures)
        for place, address in enumerate(self.settings.addresses):
            server = self._server(proxied=place == 0)
            server.listen(self.settings.port, address)
            self._servers.append(server)

    def _server(self, *, proxied: bool) -> HTTPServer:
        routes = interface.routes(self.publishing, identify(self.front))
        # addresses in headers are judged by ourselves: tornado would believe any caller's X-Real-Ip
        return HTTPServer(
            application(self.front, routes, proxied=proxied),
            xheaders=False,
            max_body_size=PLAIN_BYTES,
            max_buffer_size=BUFFER_BYTES,
            max_header_size=HEADER_BYTES,
            idle_connection_timeout=PROXY_IDLE_SECONDS if proxied else IDLE_SECONDS,
            body_timeout=BODY_SECONDS,
        )

    def _lacking(self) -> str:
        """Return what is lacking to answer calls; nothing if there is nothing."""
        return "" if self.publishing.published.ready else "the database was not read yet"

    def _news(self, version: Version, kind: str, text: str) -> None:
        ledger = self.publishing.ledger
        ledger.news(version.publisher, version.api, version.version, kind, text)

    async def close(self) -> None:
        """Let calls under way end while new ones are told to come again, then close the parts."""
        await self.engine.drain(self.settings.drain)
        for server in self._servers:
            server.stop()
        for server in self._servers:
            try:
                async with asyncio.timeout(LAST_SECONDS):
                    await server.close_all_connections()
            except TimeoutError:
                log.warning("a connection does not close")
        await self.front.results.close()
        self.front.callers.close()
        await self._departures.close()
        self._people.close()
        await self.publishing.close()
        await self.engine.close()
        self._client.close()


def room_of(bounds: Bounds) -> Room:
    """Return the room of bodies and large answers: one publisher has a half of it, and the largest
    that the operator admits fits in that.
    """
    return Room(max(ROOM_BYTES, 2 * bounds.body, 2 * bounds.result))


def _client(settings: ApiSettings) -> ManagerClient:
    try:
        key = settings.manager.secret_key.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{settings.manager.secret_key}: {error}") from None
    return ManagerClient(settings.manager.endpoint, settings.manager.server_key, key)


def main() -> None:
    """Serve the APIs of the settings that ``JULIABOX_API_SETTINGS`` names."""
    os.umask(0o077)
    level, handler = logs.level(os.environ), BatchHandler(sys.stdout)
    handler.addFilter(Scrub())
    logs.configure("api", level, handler=handler)
    lines = logs.line_logger("api", "juliabox.api", level, handler)
    try:
        settings = load(Path(os.environ.get("JULIABOX_API_SETTINGS", SETTINGS)))
        asyncio.run(serve(settings, lines))
    except ConfigurationError as error:
        _leave(error)
    except JuliaBoxError as error:
        log.error("the API engine cannot start", code=error.code, reason=error.message)
        _leave(error)


async def serve(settings: ApiSettings, lines: FilteringBoundLogger) -> None:
    """Serve until a signal says that it is over."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    service = Service(settings, lines)
    try:
        await service.open()
        # what is here by now stays: each request would have the collector look at it again
        gc.freeze()
        gc.set_threshold(*COLLECTED)
        log.info("the API engine listens", addresses=settings.addresses, port=settings.port)
        await ended.wait()
    finally:
        await service.close()


def _leave(error: JuliaBoxError) -> None:
    print(f"juliabox-api: {error.message}", file=sys.stderr, flush=True)
    raise SystemExit(EXIT_CONFIGURATION)


if __name__ == "__main__":
    main()
