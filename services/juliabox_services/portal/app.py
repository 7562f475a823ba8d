"""The portal as a whole: its parts, its routes, and the application that serves them."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import jinja2
import structlog
import tornado.web

from juliabox_services.portal.base import PortalHandler, SafeErrors
from juliabox_services.portal.login import Callback, make_auth
from juliabox_services.portal.metrics import Metrics
from juliabox_services.portal.settings import PortalSettings, read_secret

HERE = Path(__file__).parent

log = structlog.get_logger("juliabox.portal")


class Health(SafeErrors):
    """Whether the portal answers, for ``juliabox status``."""

    def get(self) -> None:
        """Answer ``ok``."""
        self.finish("ok\n")


class Home(PortalHandler):
    """A person's page."""

    def get(self) -> None:
        """Show who is logged in."""
        token = self.xsrf_token.decode()
        self.finish(
            "<!doctype html><title>Portal</title>"
            f'<meta name="xsrf-token" content="{token}"><p>{escape(self.name)}</p>'
        )


class Absent(SafeErrors):
    """Every other address."""

    async def prepare(self) -> None:
        """Answer 404."""
        raise tornado.web.HTTPError(404, "There is no such page")


class Portal:
    """One portal and its parts."""

    def __init__(self, settings: PortalSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.auth = make_auth(settings)

    async def open(self) -> None:
        """Load plugins and start what runs in the background."""

    async def close(self) -> None:
        """End what runs in the background and close the plugins."""

    def refresh_metrics(self) -> None:
        """Set the figures that are measured when asked."""

    def application(self) -> tornado.web.Application:
        """Return the application that serves the pages."""
        prefix = self.settings.prefix
        return tornado.web.Application(
            [
                (rf"{prefix}health", Health),
                (rf"{prefix}oauth_callback", Callback),
                (rf"{prefix}", Home),
            ],
            default_handler_class=Absent,
            portal=self.settings,
            hub_auth=self.auth,
            metrics=self.metrics,
            handler_base=PortalHandler,
            plugin_prefix=f"{prefix}plugins/",
            templates=jinja2.Environment(
                loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True
            ),
            frame=self.frame,
            cookie_secret=read_secret(self.settings.secrets / "cookie_secret"),
            xsrf_cookie_kwargs={"samesite": "Lax", "httponly": True},
            log_function=lambda _: None,
        )

    def frame(self, handler: Any) -> dict[str, Any]:
        """Return what the frame around every page is rendered with."""
        return {"prefix": self.settings.prefix}
