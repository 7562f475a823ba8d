"""The portal's pages with made-up data, under the headers of the real one.

``python -m support.portal_preview`` (with ``tests`` on the path) serves them for a look.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import jinja2
import msgspec
import tornado.httpserver
import tornado.netutil
import tornado.web
from markupsafe import Markup

from juliabox_ext.ui import JBPluginUI, Widget
from juliabox_plugins.configuration import Configuration
from juliabox_plugins.session_head import SessionHead
from juliabox_services.portal import presentation
from juliabox_services.portal.base import POLICY
from juliabox_services.portal.models import PAGES, Me, Page, Section, SessionFrame, Settings
from support import api_preview, api_samples
from support import portal_samples as samples

PREFIX = samples.PORTAL
XSRF = "the-token-of-this-preview"

#: Admin pages that the visitor may open.
ADMIN_PAGES = [name for name, info in PAGES.items() if info.admin]

WIDGETS: dict[str, tuple[str, type[Widget]]] = {
    "session": (JBPluginUI.JBP_UI_SESSION_HEAD, SessionHead),
    "settings": (JBPluginUI.JBP_UI_CONFIG_SECTION, Configuration),
}

DATA: dict[str, Any] = {
    "packages": samples.packages,
    "tokens": samples.tokens,
    "files": samples.archive,
    "settings": Settings,
    "overview": samples.overview,
    "users": samples.users,
    "sessions": samples.sessions,
    "volumes": samples.volumes,
    "instances": samples.instances,
    "apis": api_samples.all_apis,
    "my-apis": api_samples.my_apis,
    "plugins": samples.plugins,
    "failures": samples.failures,
    "tasks": samples.tasks,
    "configuration": samples.configuration,
}


class State:
    """What the preview remembers, and what a test looks at."""

    def __init__(self) -> None:
        #: Whether who looks at the pages is an admin.
        self.admin = True
        self.home = samples.home()
        self.message = samples.message()
        self.defaults: dict[str, Any] = {"profile": "large", "open": "lab", "confirm": True}
        #: Method, path, body and XSRF header of every request that changes something.
        self.changes: list[tuple[str, str, Any, str]] = []
        #: Answer of every request below ``api/`` instead of data: status, code, message.
        self.fault: tuple[int, str, str] | None = None
        #: One API, what the check of a source finds, and the answer to every change of an API
        #: instead of data: status and body.
        self.api = api_samples.api_page()
        self.checked = api_samples.checked()
        self.refused: tuple[int, Any] | None = None
        #: Whether what is published is what is there already.
        self.unchanged = False
        #: How often data was fetched, by path.
        self.fetched: dict[str, int] = {}


def sections(page: str) -> list[Section]:
    """Return what the built-in UI plugin renders for a page."""
    if page not in WIDGETS:
        return []
    feature, kind = WIDGETS[page]
    name = {"session": "session-head", "settings": "configuration"}[page]
    path = kind.get_template(None, feature)  # type: ignore[arg-type]  # it needs no object
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    html = templates.get_template(path.name).render(
        plugin=name,
        user="ada",
        base_url="/",
        static_url=lambda file: f"{PREFIX}plugins/{name}/static/{file}",
        xsrf_form_html=Markup(f'<input type="hidden" name="_xsrf" value="{XSRF}">'),
    )
    return [Section(plugin=name, html=html)]


class Base(tornado.web.RequestHandler):
    """Headers of the real portal."""

    @property
    def state(self) -> State:
        """What the preview remembers."""
        state: State = self.settings["state"]
        return state

    def set_default_headers(self) -> None:
        """Set the real portal's policy."""
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")

    def check_xsrf_cookie(self) -> None:
        """Demand the header, as the portal does."""
        if self.request.headers.get("X-XSRFToken") != XSRF:
            raise tornado.web.HTTPError(403, "The XSRF token is missing")

    def data_of(self, name: str) -> Any:
        """Return a page's data."""
        if name == "home":
            return self.state.home
        if name == "message":
            return self.state.message
        if name == "api":
            return self.state.api
        if name == "session":
            return SessionFrame(session=self.state.home.sessions[0])
        if name == "usage":
            given = [self.get_argument(key, "") for key in ("by", "from", "to")]
            return samples.usage(*given)
        return DATA[name]()

    def answer(self, value: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(value))


class PageView(Base):
    """A page."""

    def initialize(self, name: str) -> None:
        """Show the page of a name."""
        self.page = name

    def get(self, _: str = "") -> None:
        """Render it."""
        page = Page(
            name=self.page,
            me=Me(
                name="ada",
                admin=self.state.admin,
                roles=["user", "admin"],
                admin_pages=ADMIN_PAGES,
            ),
            portal_url=PREFIX,
            hub_url=samples.HUB,
            xsrf_token=XSRF,
            message=self.state.message if self.state.message.text else None,
            features=samples.FEATURES,
            apis=True,
            version="0.1.0",
        )
        templates = self.settings["templates"]
        data = self.data_of(self.page)
        self.finish(presentation.render(templates, page, data, sections=sections(self.page)))


class Data(Base):
    """A page's data."""

    def initialize(self, name: str) -> None:
        """Answer the data of the page of a name."""
        self.page = name

    def get(self, _: str = "") -> None:
        """Answer it, or the fault that a test wants."""
        self.check_xsrf_cookie()  # the hub's log-in wants it of scripts that only read, too
        self.state.fetched[self.page] = self.state.fetched.get(self.page, 0) + 1
        if self.state.fault:
            status, code, message = self.state.fault
            self.answer({"code": code, "message": message}, status)
            return
        self.answer(self.data_of(self.page))


class Change(Base):
    """A request that changes something."""

    KINDS: ClassVar[dict[str, Any]] = {
        "api/tokens": {"token": "jbx-4f0c9d21ab77e0c1", "id": "a13", "expires": None}
    }

    def change(self) -> None:
        """Remember the request; answer what its page expects."""
        self.check_xsrf_cookie()
        path = self.request.path.removeprefix(PREFIX)
        body = json.loads(self.request.body or b"null")
        token = self.request.headers.get("X-XSRFToken", "")
        self.state.changes.append((self.request.method or "", path, body, token))
        if self.state.fault:
            status, code, message = self.state.fault
            self.answer({"code": code, "message": message}, status)
        elif path == "api/admin/message":
            written = {**body, "author": "ada", "written": samples.NOW} if body["text"] else body
            self.state.message = msgspec.convert(written, type=type(self.state.message))
            self.answer(self.state.message if body["text"] else None)
        elif path.startswith("plugins/"):
            self.state.defaults = body
            self.answer(body)
        else:
            self.answer(self.KINDS.get(path), 202)

    post = put = delete = change

    def get(self) -> None:
        """Answer a plugin's own data."""
        self.check_xsrf_cookie()
        path = self.request.path.removeprefix(PREFIX)
        if path != "plugins/configuration/defaults":
            raise tornado.web.HTTPError(404)
        self.answer(self.state.defaults)


class Elsewhere(Base):
    """What the portal's pages link to: a session, the hub."""

    def get(self) -> None:
        """Answer a page of next to nothing."""
        self.set_header("Content-Security-Policy", "frame-ancestors 'self'")
        self.finish("<!doctype html><html lang=en><title>Elsewhere</title><h1>JupyterLab</h1>")


class ErrorView(Base):
    """The page of an error."""

    def get(self) -> None:
        """Render it."""
        html = presentation.render_error(
            self.settings["templates"],
            portal_url=PREFIX,
            hub_url=samples.HUB,
            status=503,
            code="portal.hub",
            message="JuliaBox's hub does not answer; try again in a moment",
        )
        self.set_status(503)
        self.finish(html)


def application(state: State) -> tornado.web.Application:
    """Return the preview as an application."""
    routes: list[Any] = [
        (rf"{PREFIX}static/(.*)", tornado.web.StaticFileHandler, {"path": presentation.STATIC})
    ]
    for name, kind in (("session-head", SessionHead), ("configuration", Configuration)):
        path = kind.get_template(None, "").parent.parent / "static"  # type: ignore[arg-type]
        routes.append(
            (rf"{PREFIX}plugins/{name}/static/(.*)", tornado.web.StaticFileHandler, {"path": path})
        )
    routes.append((rf"{PREFIX}api/apis/(.+)", api_preview.engine_view(Change)))
    for name, info in PAGES.items():
        rest = info.rest
        api = f"{info.api}/" if rest else info.api
        routes.append((rf"{PREFIX}{info.route}{rest}", PageView, {"name": name}))
        if name not in ("tokens", "message"):
            routes.append((rf"{PREFIX}{api}{rest}", Data, {"name": name}))

    class Both(Data, Change):
        """An address with both."""

        post = put = delete = Change.change

    for name in ("tokens", "message"):
        routes.append((rf"{PREFIX}{PAGES[name].api}", Both, {"name": name}))
    routes += [
        (rf"{PREFIX}error", ErrorView),
        (rf"{PREFIX}(?:api|plugins)/.*", Change),
        (r"/(?:user|hub)/.*", Elsewhere),
    ]
    return tornado.web.Application(
        routes, state=state, templates=presentation.environment(), xsrf_cookies=False
    )


@contextmanager
def running(port: int = 0) -> Iterator[tuple[str, State]]:
    """Serve the preview in a thread; yield its address and its state."""
    state, ready, address = State(), threading.Event(), [""]
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        sockets = tornado.netutil.bind_sockets(port, "127.0.0.1")
        server = tornado.httpserver.HTTPServer(application(state))
        server.add_sockets(sockets)
        address[0] = f"http://127.0.0.1:{sockets[0].getsockname()[1]}{PREFIX}"
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(60)
    try:
        yield address[0], state
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


if __name__ == "__main__":
    with running(int(sys.argv[1]) if len(sys.argv) > 1 else 8088) as (url, _):
        print(url, flush=True)
        threading.Event().wait()
