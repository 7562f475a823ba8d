"""Handlers of the portal's own pages and routes, on top of what all handlers share."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
from jupyterhub.utils import subdomain_hook_idna
from markupsafe import Markup
from tornado.escape import xhtml_escape
from tornado.web import HTTPError

from juliabox_ext.errors import PolicyError, RequestError
from juliabox_ext.ui import JBPluginUI
from juliabox_services.portal import presentation
from juliabox_services.portal.base import POLICY, PortalHandler
from juliabox_services.portal.models import PAGES, Me, Page, PageInfo, Section
from juliabox_services.portal.parts import Parts
from juliabox_spawner.people_roles import PEOPLE_ROLES

T = TypeVar("T")

#: Digits of a whole number in an address, unless there may be larger ones.
DIGITS = 9

#: Scope of an admin, and those of the roles that see a part.
ADMIN = "admin-ui"
STATISTICS = "custom:juliabox:statistics"
CONTAINERS = "custom:juliabox:containers"

#: Admin page -> scopes of which one is enough; all others are for admins.
NEEDS: dict[str, tuple[str, ...]] = {
    "usage": (ADMIN, STATISTICS),
    "sessions": (ADMIN, CONTAINERS),
    "instances": (ADMIN, CONTAINERS),
    "volumes": (ADMIN, CONTAINERS),
}
#: Pages on which plugins have pieces, and the feature of these.
SECTIONS = {
    "settings": JBPluginUI.JBP_UI_CONFIG_SECTION,
    "session": JBPluginUI.JBP_UI_SESSION_HEAD,
}


class Handler(PortalHandler):
    """A page or route of the portal itself."""

    @property
    def parts(self) -> Parts:
        """The portal's parts."""
        parts: Parts = self.settings["parts"]
        return parts

    def may_open(self, page: str) -> bool:
        """Return whether the caller may open a page."""
        if not PAGES[page].admin:
            return True
        return any(self.may(scope) for scope in NEEDS.get(page, (ADMIN,)))

    def demand(self, page: str) -> None:
        """Raise ``PolicyError`` unless the caller may open a page."""
        if not self.may_open(page):
            needed = " or ".join(NEEDS.get(page, (ADMIN,)))
            raise PolicyError(
                f"this page is for people with the scope {needed}", code="portal.scope"
            )

    def me(self) -> Me:
        """Return the caller."""
        groups = set(self.current_user.get("groups") or []) if self.current_user else set()
        roles = ["user", *(role for role in PEOPLE_ROLES if role in groups)]
        return Me(
            name=self.name,
            admin=self.admin,
            roles=[*roles, "admin"] if self.admin else roles,
            admin_pages=[
                name for name, info in PAGES.items() if info.admin and self.may_open(name)
            ],
        )

    async def page(self, name: str) -> Page:
        """Return what every page carries."""
        message, scripts = await asyncio.gather(
            self.parts.messages.current(), self.parts.plugins.scripts()
        )
        return Page(
            name=name,
            me=self.me(),
            portal_url=self.portal.prefix,
            hub_url=f"{self.portal.hub_host}{self.portal.base_url}hub/",
            xsrf_token=self.xsrf_token.decode(),
            message=message,
            features=self.parts.plugins.features(),
            scripts=scripts,
            apis=self.parts.engine.available,
            version=self.settings["version"],
        )

    def body(self, kind: type[T]) -> T:
        """Return the request's JSON body; raise ``RequestError`` that names the field."""
        try:
            return msgspec.json.decode(self.request.body or b"{}", type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise RequestError(f"the request is refused: {error}", code="portal.body") from None

    def number(self, name: str, default: int, most: int) -> int:
        """Return a whole number of the query, from 0 to ``most``."""
        given = self.get_query_argument(name, str(default))
        if not (given.isascii() and given.isdigit() and len(given) <= max(DIGITS, len(str(most)))):
            raise RequestError(f"{name} must be a whole number", code="portal.query")
        return min(int(given), most)

    def word(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        """Return a word of the query, out of those that are allowed."""
        given = self.get_query_argument(name, default) or default
        if given not in allowed:
            raise RequestError(f"{name} must be one of {', '.join(allowed)}", code="portal.query")
        return given


class PageHandler(Handler):
    """A page with its data."""

    #: Template instead of the page's own.
    template = ""

    def initialize(self, info: PageInfo, data: Any) -> None:
        """Show the page ``info``, whose data the coroutine function ``data`` makes."""
        self.info = info
        self.data = data

    async def get(self, server: str = "") -> None:
        """Render the page."""
        self.demand(self.info.name)
        data, page, sections = await asyncio.gather(
            self.data(self, unquote(server)), self.page(self.info.name), self._sections()
        )
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.finish(
            presentation.render(
                self.settings["templates"], page, data, sections=sections, template=self.template
            )
        )

    async def _sections(self) -> list[Section]:
        feature = SECTIONS.get(self.info.name)
        if feature is None:
            return []
        token = xhtml_escape(self.xsrf_token)
        form = Markup(f'<input type="hidden" name="_xsrf" value="{token}">')  # noqa: S704  # escaped
        return await self.parts.plugins.sections(feature, self.name, form)


class HeadHandler(PageHandler):
    """The head of a session, which the session's own pages show in a frame; no others may."""

    template = "head.html"

    async def get(self, server: str = "") -> None:
        """Render the head, for a frame within the caller's own session."""
        await super().get(server)

    def finish(self, chunk: Any = None) -> Any:
        """Let the caller's own sessions have an answer that is no error in a frame."""
        if self.get_status() == 200 and self.current_user:
            framers = "frame-ancestors " + (self._own_origin() or "'self'")
            policy = POLICY.replace("frame-ancestors 'none'", framers)
            self.set_header("Content-Security-Policy", policy)
            self.clear_header("X-Frame-Options")
        return super().finish(chunk)

    def _own_origin(self) -> str:
        """Return the origin of the caller's subdomain; empty without subdomains."""
        host = urlsplit(self.portal.hub_host)
        if not host.hostname:
            return ""
        domain = subdomain_hook_idna(self.name, host.hostname, "user")
        return f"{host.scheme}://{domain}{f':{host.port}' if host.port else ''}"


class DataHandler(PageHandler):
    """The data of a page, as JSON."""

    api = True

    async def get(self, server: str = "") -> None:
        """Answer the data."""
        self.demand(self.info.name)
        self.answer(await self.data(self, unquote(server)))


class ApiHandler(Handler):
    """A route whose errors are JSON."""

    api = True

    def refuse_method(self) -> None:
        """Answer that the method is not one of this route."""
        raise HTTPError(405)
