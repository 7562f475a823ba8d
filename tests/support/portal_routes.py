"""The routes of a portal as it serves them: a new one is tried by the tests without being named."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tornado.web import RequestHandler

from juliabox_services.portal.app import Portal
from juliabox_services.portal.models import PageInfo
from juliabox_services.portal.settings import load
from support.portal_stand import PREFIX, PortalStand
from support.strangers import site

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: Page of one thing of several -> how its addresses end in tests.
ENDS = {"session": "", "api": "ada/sums"}


def address(info: PageInfo) -> str:
    """Return the address of a page below the portal's, for one thing if it shows one."""
    return info.route + ENDS[info.name] if info.rest else info.route


def data_address(info: PageInfo) -> str:
    """Return the address of a page's data."""
    return f"{info.api}/{ENDS[info.name]}" if info.rest else info.api


@dataclass(frozen=True)
class Route:
    """One route: an address that it serves, and what it does."""

    path: str
    handler: type[RequestHandler]
    page: str = ""

    def takes(self, method: str) -> bool:
        """Whether the handler implements a method."""
        name = method.lower()
        return getattr(self.handler, name) is not getattr(RequestHandler, name)


@contextlib.contextmanager
def twin(stand: PortalStand, **changes: Any) -> Iterator[Portal]:
    """Make another portal with a stand's settings and secrets; nothing of it runs."""
    settings = replace(load(stand.folder / "portal.json"), **changes)
    portal = Portal(settings)
    try:
        yield portal
    finally:
        portal.parts.keeper.close()
        portal.parts.instance.client.close()
        portal.parts.hub.close()
        portal.parts.session_client.close()
        portal.parts.plugins.close()


def live_routes(stand: PortalStand, folder: Path) -> list[Route]:
    """Return all routes below the portal's address, those of plugins among them."""
    folder.mkdir(exist_ok=True)
    with site(stand.folder / "stranger"), twin(stand, folder=folder) as portal:
        portal.parts.plugins.load()
        application = portal.application()
        rules = list(application.wildcard_router.rules)
        for rule in application.default_router.rules:
            inner = getattr(rule.target, "rules", None)
            rules += inner or []
        return [_route(rule) for rule in rules if rule is not None]


def _route(rule: Any) -> Route:
    pattern = rule.matcher.regex.pattern.removesuffix("$")
    pattern = pattern.removeprefix(PREFIX).replace("([^/]+/[^/]+)", "a1/a1")
    path = re.sub(r"\([^()]*\)", "a1", pattern).replace(".*", "nothing")
    info = (rule.target_kwargs or {}).get("info")
    return Route(path.replace("\\", ""), rule.target, info.name if info and info.admin else "")
