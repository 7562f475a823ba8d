"""The engine's application: which handler answers at which address."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import tornado.web
from tornado.web import RequestHandler

from juliabox_services.api.access import token_of
from juliabox_services.api.base import Front, Health, address_of, log_request
from juliabox_services.api.bodies import BODY_SECONDS, Absent
from juliabox_services.api.calls_http import CallHandler
from juliabox_services.api.documents_http import (
    DescriptionHandler,
    DocumentHandler,
    ResultHandler,
    RootHandler,
)
from juliabox_services.api.management import ACCESS
from juliabox_services.api.settings import INTERFACE

#: Bytes of a body that are kept where nobody reads it: whoever calls need not say who it is there.
PLAIN_BYTES = 64 * 1024

#: Requests of one caller to the interface in a minute: a page of the portal takes several, whatever
#: an operator thinks of calls.
INTERFACE_RATE = 600

_NAMES = rf"(?!{INTERFACE}/)[^/]+/[^/]+"

#: Pattern below ``/services/api/`` -> its handler; the first that fits counts.
ROUTES: dict[str, type[RequestHandler]] = {
    rf"{_NAMES}/(?!openapi\.json\Z)[^/]+(?:/.*)?": CallHandler,
    rf"{_NAMES}/openapi\.json": DocumentHandler,
    rf"{_NAMES}/?": DescriptionHandler,
    rf"{INTERFACE}/results/([0-9a-f]{{32}})": ResultHandler,
    rf"{INTERFACE}/health": Health,
    "": RootHandler,
}


def application(
    front: Front,
    interface: list[Any],
    *,
    proxied: bool,
    body_seconds: float = BODY_SECONDS,
) -> tornado.web.Application:
    """Return the application.

    ``interface`` are the routes of management. ``proxied``: whether all that comes in comes by
    JuliaBox's proxy, whose word about addresses counts.
    """
    prefix = re.escape(front.settings.prefix)
    return tornado.web.Application(
        [*((prefix + route, handler) for route, handler in ROUTES.items()), *interface],
        default_handler_class=Absent,
        front=front,
        proxied=proxied,
        body_seconds=body_seconds,
        log_function=log_request,
    )


def identify(front: Front) -> Callable[[RequestHandler], Awaitable[Mapping[str, Any] | None]]:
    """Return how the interface finds out who calls it: the hub's model; ``None`` for nobody."""

    async def ask(handler: RequestHandler) -> Mapping[str, Any] | None:
        said = handler.request.headers.get("Authorization")
        if said is None:
            return None
        found = await front.callers.identify(token_of(said), address_of(handler), account=True)
        # tokens that are not for the interface, as those that a publisher gives out, and which are
        # refused, spend nothing of what their owner has there
        admitted = not found.scopes.isdisjoint(ACCESS)
        front.rates.spend((INTERFACE, found.user, found.name, admitted), INTERFACE_RATE)
        return {
            "name": found.name,
            "kind": "user" if found.user else "service",
            "groups": sorted(found.groups),
            "scopes": sorted(found.scopes),
            "account": found.account or "",
        }

    return ask
