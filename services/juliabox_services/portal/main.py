"""``juliabox-portal``: build the parts, serve until SIGTERM, close them in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import structlog
from tornado.httpserver import HTTPServer

from juliabox_ext.errors import ConfigurationError, JuliaBoxError
from juliabox_manager import logs
from juliabox_services.portal.app import Portal
from juliabox_services.portal.metrics import control_application
from juliabox_services.portal.settings import PortalSettings, load
from juliabox_spawner.hub.logs import Scrub

SETTINGS = "/etc/juliabox/portal.json"

#: Exit code for what the operator must change (``EX_CONFIG``).
EXIT_CONFIGURATION = 78

#: Largest body, in bytes, that is read at all; each handler refuses less with 413.
MOST_BYTES = 2 * 1024 * 1024

log = structlog.get_logger("juliabox.portal")


def main() -> None:
    """Serve the portal of the settings that ``JULIABOX_PORTAL_SETTINGS`` names."""
    os.umask(0o077)
    logs.configure("portal", logs.level(os.environ))
    for handler in logging.getLogger().handlers:
        handler.addFilter(Scrub())
    try:
        settings = load(Path(os.environ.get("JULIABOX_PORTAL_SETTINGS", SETTINGS)))
        asyncio.run(serve(settings))
    except ConfigurationError as error:
        _leave(error)
    except JuliaBoxError as error:
        log.error("the portal cannot start", code=error.code, reason=error.message)
        _leave(error)


async def serve(settings: PortalSettings) -> None:
    """Serve until a signal says that it is over."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    portal = Portal(settings)
    await portal.open()
    pages = HTTPServer(
        portal.application(),
        xheaders=True,
        max_body_size=MOST_BYTES,
        max_buffer_size=2 * MOST_BYTES,
        idle_connection_timeout=120,
        body_timeout=30,
    )
    figures = HTTPServer(control_application(portal.metrics, portal.refresh_metrics))
    try:
        pages.listen(settings.port, settings.address)
        figures.listen(settings.metrics_port, settings.metrics_address)
        log.info("the portal listens", address=settings.address, port=settings.port)
        await ended.wait()
    finally:
        for server in (pages, figures):
            server.stop()
        await portal.close()
        await pages.close_all_connections()


def _leave(error: JuliaBoxError) -> None:
    print(f"juliabox-portal: {error.message}", file=sys.stderr, flush=True)
    raise SystemExit(EXIT_CONFIGURATION)


if __name__ == "__main__":
    main()
