"""What the routes of the interface of management share: who asks, and what they may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn, TypeVar

import msgspec
from tornado.web import RequestHandler

from juliabox_ext.errors import PolicyError, RequestError
from juliabox_services.api.access import Identity, LoginNeeded, check
from juliabox_services.api.base import MethodRefused
from juliabox_services.api.bodies import BodyHandler
from juliabox_services.api.changes import of_somebody_removed
from juliabox_services.api.models import Api, Version
from juliabox_services.api.people import differ
from juliabox_services.api.publishing import Publishing
from juliabox_services.api.rates import Room
from juliabox_services.api.settings import SERVICE

T = TypeVar("T")

#: A coroutine function from a request to the hub's model of who sent it: ``name``, ``kind``,
#: ``scopes``, ``groups`` and, if it is known, ``account``; None for nobody. It raises
#: ``UnavailableError`` while the hub is away.
Identify = Callable[[RequestHandler], Awaitable[Mapping[str, Any] | None]]

#: Largest body in bytes: a source whose every character is escaped.
BODY_BYTES = 1_500_000
#: Scopes of tokens for this service.
ACCESS = frozenset({"access:services", f"access:services!service={SERVICE}"})


class Management(BodyHandler):
    """What the routes share: the parts, who may change what, bodies and arguments."""

    limit = BODY_BYTES

    def initialize(self, publishing: Publishing, identify: Identify, room: Room) -> None:
        """Take the parts."""
        super().initialize()
        self._room = room
        self.publishing = publishing
        self._model = identify

    @property
    def room(self) -> Room:
        """Where the bytes of its bodies are counted."""
        return self._room

    async def admit(self) -> None:
        """Refuse a wrong method, and who has no token for this service."""
        if self.request.method not in self.methods():
            raise MethodRefused(str(self.request.method), self.methods())
        model = await self._model(self)
        if model is None:
            raise LoginNeeded("Send `Authorization: Bearer TOKEN`, with a token of the hub")
        user = model["name"] if model["kind"] == "user" else ""
        groups, scopes = frozenset(model["groups"]), frozenset(model["scopes"])
        self.identity = Identity(
            name=model["name"],
            user=user,
            groups=groups,
            scopes=scopes,
            account=model.get("account"),
        )
        self.holder = user
        if not user:
            raise PolicyError("This is for people, not for services", code="api.access")
        if scopes.isdisjoint(ACCESS):
            raise PolicyError(
                "This token is not for the API engine: it lacks access:services!service=api",
                code="api.access",
            )

    def judge_kind(self, kind: str) -> None:
        """Admit every ``Content-Type``: no page of another site can send a token."""

    @classmethod
    def methods(cls) -> list[str]:
        """Return the methods that the route knows."""
        return [
            name
            for name in ("GET", "PUT", "POST", "DELETE")
            if getattr(cls, name.lower()) is not getattr(RequestHandler, name.lower())
        ]

    @property
    def person(self) -> Identity:
        """Who calls."""
        assert self.identity is not None  # noqa: S101  # prepare() refuses everybody else
        return self.identity

    def calls(self, api: Api, version: Version) -> bool:
        """Return whether the caller may call an API, and so see what it is."""
        try:
            check(version, self.person, api.account)
        except PolicyError:
            return False
        return True

    def owns(self, publisher: str, api: str) -> bool:
        """Tell whether the caller may look after an API of this name, if only to stop it."""
        return self.person.owns(publisher) and not self.left_behind(publisher, api)

    def changes(self, publisher: str, api: str) -> bool:
        """Tell whether the caller may change an API of this name, or make one."""
        return self.person.changes(publisher) and not self.left_behind(publisher, api)

    def left_behind(self, publisher: str, api: str) -> bool:
        """Tell whether an API is of somebody who was removed, and so nobody's but admins'.

        Who has the name now may be somebody else, until an admin starts it.
        """
        known = self.publishing.published.known(publisher, api)
        if known is None or self.person.admin:
            return False
        return known[0].stopped == "gone" or differ(known[0].account, self.own_account(publisher))

    def own_account(self, publisher: str) -> str:
        """Return the caller's account; nothing of who has another name than the publisher."""
        return self.person.account or "" if self.person.user == publisher else ""

    def demand_owner(self, publisher: str, api: str) -> None:
        """Raise ``PolicyError`` for who may not look after an API."""
        if not self.owns(publisher, api):
            self._refuse(publisher, api)

    def demand_publisher(self, publisher: str, api: str = "") -> None:
        """Raise ``PolicyError`` for who may not change an API; without one, for no publisher."""
        if not self.changes(publisher, api):
            self._refuse(publisher, api)

    def _refuse(self, publisher: str, api: str) -> NoReturn:
        if self.person.user == publisher and self.left_behind(publisher, api):
            raise of_somebody_removed(publisher, api)
        if self.person.user == publisher:
            raise PolicyError(
                "You are no publisher: an admin gives the role api-publisher, and the token needs "
                "the scope custom:juliabox:publish. Who has lost the role can still stop what is "
                "theirs, on its page in the portal",
                code="api.publish",
            )
        raise PolicyError(f"The APIs of {publisher} are not yours", code="api.owner")

    def decoded(self, kind: type[T]) -> T:
        """Return the body; raise ``RequestError`` (``api.body``) that names the field."""
        try:
            return msgspec.json.decode(self.body(), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RequestError(f"The body is refused: {error}", code="api.body") from None

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return an argument of the address; raise ``RequestError`` (``api.query``)."""
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdecimal() and len(text) < 18):
            raise RequestError(f"{name} must be a whole number", code="api.query")
        if not least <= int(text) <= most:
            raise RequestError(f"{name} must be from {least} to {most}", code="api.query")
        return int(text)
