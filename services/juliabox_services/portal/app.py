"""The portal as a whole: its parts, its routes, and the application that serves them."""

from __future__ import annotations

import asyncio
import importlib.metadata
from typing import Any

import tornado.web
from tornado.escape import json_encode

from juliabox_services.portal import (
    admin_pages,
    api_pages,
    archive,
    person_pages,
    presentation,
    task_pages,
    usage,
)
from juliabox_services.portal.base import PortalHandler, SafeErrors
from juliabox_services.portal.engine import Engine
from juliabox_services.portal.handlers import DataHandler, HeadHandler, PageHandler
from juliabox_services.portal.hub import Hub, Shared
from juliabox_services.portal.login import Callback, make_auth
from juliabox_services.portal.manager import Instance, make_client
from juliabox_services.portal.messages import Messages
from juliabox_services.portal.metrics import Metrics
from juliabox_services.portal.models import PAGES
from juliabox_services.portal.parts import Parts
from juliabox_services.portal.plugins import PluginFiles, Plugins
from juliabox_services.portal.recorder import Recorder
from juliabox_services.portal.records import Keeper, Records
from juliabox_services.portal.servers import Servers
from juliabox_services.portal.sessions_http import SessionClient
from juliabox_services.portal.settings import PortalSettings, read_secret
from juliabox_spawner.hub.compressed import CompressedFiles

#: Seconds that figures which are the same for all admins are good for.
FIGURES = 10.0

#: Page -> coroutine function that makes its data of a handler and the rest of the address.
DATA: dict[str, Any] = {
    "home": person_pages.home,
    "packages": archive.packages,
    "tokens": person_pages.tokens,
    "files": archive.files,
    "settings": person_pages.settings,
    "session": person_pages.session,
    "my-apis": api_pages.my_apis,
    "api": api_pages.api,
    "overview": admin_pages.overview,
    "users": admin_pages.users,
    "sessions": admin_pages.sessions,
    "volumes": admin_pages.volumes,
    "instances": admin_pages.instances,
    "apis": api_pages.all_apis,
    "plugins": admin_pages.plugins,
    "usage": usage.usage,
    "failures": admin_pages.failures,
    "tasks": task_pages.tasks,
    "configuration": admin_pages.configuration,
    "message": admin_pages.message,
}

#: A publisher and an API in an address.
_ONE = "([^/]+)/([^/]+)"

#: Route below the portal's address -> its handler, pages and their data aside.
ROUTES: dict[str, type[PortalHandler]] = {
    "api/me": person_pages.MeHandler,
    "api/features": person_pages.FeaturesHandler,
    "api/tokens": person_pages.TokenList,
    "api/tokens/([A-Za-z0-9]{1,64})": person_pages.TokenItem,
    "api/servers/start": person_pages.StartHandler,
    "api/servers/stop": person_pages.StopHandler,
    "api/servers/remove": person_pages.RemoveHandler,
    "api/apis/check": api_pages.ApiCheck,
    f"api/apis/{_ONE}": api_pages.ApiItem,
    f"api/apis/{_ONE}/activate": api_pages.ApiActivate,
    f"api/apis/{_ONE}/stop": api_pages.ApiStop,
    f"api/apis/{_ONE}/start": api_pages.ApiStart,
    f"api/apis/{_ONE}/versions/([^/]+)": api_pages.ApiVersion,
    f"api/apis/{_ONE}/log": api_pages.ApiLog,
    f"api/apis/{_ONE}/stats": api_pages.ApiStats,
    f"api/apis/{_ONE}/openapi.json": api_pages.ApiDocument,
    f"api/apis/{_ONE}/tokens": api_pages.ApiTokens,
    f"api/apis/{_ONE}/try/([^/]+)": api_pages.ApiTry,
    "api/packages/([a-z0-9-]{0,64})": archive.PackagesHandler,
    "api/archive": archive.AccountJson,
    "api/archive/account.zip": archive.AccountZip,
    "api/admin/sessions/stop": admin_pages.AdminStop,
    "api/admin/message": admin_pages.MessageHandler,
    "api/admin/usage.csv": usage.UsageCsv,
}


class Health(SafeErrors):
    """Whether the portal answers, for ``juliabox status``."""

    def get(self) -> None:
        """Answer ``ok``."""
        self.finish("ok\n")


class PublicMessage(SafeErrors):
    """The message of the day, for the hub's pages and people who are not logged in."""

    api = True

    async def get(self) -> None:
        """Answer text, level and end; nothing while there is none."""
        message = await self.settings["parts"].messages.current()
        shown = None
        if message is not None:
            shown = {"text": message.text, "level": message.level, "until": message.until}
        self.set_header("Content-Type", "application/json")
        if self.portal.hub_host:
            # with subdomains the hub's pages, which show it, are of another origin
            self.set_header("Access-Control-Allow-Origin", self.portal.hub_host)
        self.finish(json_encode(shown))


class Absent(SafeErrors):
    """Every other address."""

    async def prepare(self) -> None:
        """Answer 404."""
        raise tornado.web.HTTPError(404, "There is no such page")


class AbsentApi(Absent):
    """Every other address of the interface."""

    api = True


class Static(CompressedFiles):
    """The portal's own scripts, styles and pictures."""

    def set_default_headers(self) -> None:
        """Let nothing be read as something else."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")

    def set_extra_headers(self, path: str) -> None:
        """Let a browser ask each time for what carries no digest: modules that others import."""
        if not self.get_query_argument("v", ""):
            self.set_header("Cache-Control", "no-cache")

    def write_error(self, status_code: int, **_: Any) -> None:
        """Answer with the status alone."""
        self.finish(f"{status_code}\n")


class Portal:
    """One portal and its parts."""

    def __init__(self, settings: PortalSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.auth = make_auth(settings)
        client, hub = make_client(settings), Hub(settings.hub_api)
        plugins = Plugins(settings)
        keeper = Keeper(Records(plugins.registry))
        self.parts = Parts(
            settings=settings,
            hub=hub,
            engine=Engine(settings.api_url),
            instance=Instance(client),
            servers=Servers(settings, hub),
            session_client=SessionClient(settings),
            plugins=plugins,
            keeper=keeper,
            recorder=Recorder(client, keeper, settings.installation, settings.retention_days),
            messages=Messages(keeper),
            figures=Shared(FIGURES),
        )

    async def open(self) -> None:
        """Load plugins and start what runs in the background."""
        await asyncio.get_running_loop().run_in_executor(None, self.parts.plugins.load)
        self.parts.recorder.start()

    async def close(self) -> None:
        """End what runs in the background and close the plugins."""
        await self.parts.recorder.close()
        self.parts.keeper.close()
        self.parts.instance.client.close()
        self.parts.hub.close()
        self.parts.engine.close()
        self.parts.session_client.close()
        await asyncio.get_running_loop().run_in_executor(None, self.parts.plugins.close)

    def refresh_metrics(self) -> None:
        """Set the figures that are measured when asked."""
        self.metrics.lag.set(self.parts.recorder.lag)
        self.metrics.waiting.set(self.parts.recorder.waiting)

    def application(self) -> tornado.web.Application:
        """Return the application that serves the pages."""
        prefix = self.settings.prefix
        files = {"path": str(presentation.STATIC)}
        application = tornado.web.Application(
            [
                (rf"{prefix}health", Health),
                (rf"{prefix}oauth_callback", Callback),
                (rf"{prefix}api/message", PublicMessage),
                (rf"{prefix}static/(.*)", Static, files),
                (
                    rf"{prefix}plugins/([^/]+)/static/(.*)",
                    PluginFiles,
                    {"plugins": self.parts.plugins},
                ),
                *((prefix + route, handler) for route, handler in ROUTES.items()),
                *self._pages(),
                (rf"{prefix}api/.*", AbsentApi),
            ],
            default_handler_class=Absent,
            portal=self.settings,
            parts=self.parts,
            hub_auth=self.auth,
            metrics=self.metrics,
            version=importlib.metadata.version("juliabox"),
            handler_base=PortalHandler,
            plugin_prefix=f"{prefix}plugins/",
            templates=presentation.environment(),
            cookie_secret=read_secret(self.settings.secrets / "cookie_secret"),
            xsrf_cookie_kwargs={
                "samesite": "Lax",
                "httponly": True,
                "secure": self.settings.public_url.startswith("https:"),
            },
            log_function=lambda _: None,
        )
        self.parts.plugins.register(application)
        return application

    def _pages(self) -> list[tuple[str, Any, dict[str, Any]]]:
        """Return the routes of the pages and of their data."""
        found: list[tuple[str, Any, dict[str, Any]]] = []
        for name, info in PAGES.items():
            given, rest = {"info": info, "data": DATA[name]}, info.rest
            api = f"{info.api}/" if rest else info.api
            found.append((f"{self.settings.prefix}{info.route}{rest}", PageHandler, given))
            found.append((f"{self.settings.prefix}{api}{rest}", DataHandler, given))
            if name == "session":
                found.append((f"{self.settings.prefix}head/{rest}", HeadHandler, given))
        return found
