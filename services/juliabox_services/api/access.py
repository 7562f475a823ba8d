"""Who calls, and what they may: the hub knows tokens, the version of an API whom it is for.

Only tokens of the hub are admitted, as ``Authorization`` header. The hub's word about one is kept
for 30 seconds, so that is how long a token that was revoked still counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from typing import Any

import msgspec
from msgspec import Struct, field
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError

from juliabox_ext.errors import PolicyError, UnavailableError
from juliabox_services.api.models import Version
from juliabox_services.api.people import People, differ
from juliabox_services.api.rates import Rates
from juliabox_spawner.people_roles import PUBLISHERS

#: Scope for calls; filtered by ``!server=<publisher>/<api>`` for those of one API.
CALL_SCOPE = "custom:juliabox:call"
#: Scope of publishers, and the one that tells admins.
PUBLISH_SCOPE = "custom:juliabox:publish"
ADMIN_SCOPE = "admin-ui"

#: ``Authorization`` as clients of JupyterHub send it.
_TOKEN = re.compile(r"(?:token|bearer) +([\x21-\x7e]{1,500}) *\Z", re.IGNORECASE)

#: Seconds that the hub's word about a token is good for, tokens that are remembered, seconds until
#: the hub is given up, and questions to it at one time.
TRUST_SECONDS = 30.0
MOST = 5000
PATIENCE = 10.0
PARALLEL = 32
#: Tokens that nobody knows, which one address may send in a minute; and tokens of one address that
#: the hub is asked for at one time: all who come by the portal have one, and may come together.
UNKNOWN_TOKENS = 300


class LoginNeeded(PolicyError):
    """The caller sent no token that the hub knows."""

    code = "api.login"
    status = 401


def token_of(authorization: str) -> str:
    """Return the token of a header; raise :class:`LoginNeeded` for another kind of it."""
    found = _TOKEN.match(authorization)
    if found is None:
        raise LoginNeeded("Send `Authorization: Bearer TOKEN`, with a token of the hub")
    return found[1]


class Identity(Struct, frozen=True, kw_only=True):
    """What the hub says of a token."""

    #: Of a user or of a service of the hub; ``user`` is empty for a service, so that one which is
    #: called like a person is not taken for that person.
    name: str
    user: str = ""
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    #: Names the token without telling it.
    token: str = ""
    #: The user's account (:mod:`.people`); empty if the hub does not tell, None if nobody asked.
    account: str | None = None

    @property
    def admin(self) -> bool:
        """Whether the token has an admin's rights."""
        return ADMIN_SCOPE in self.scopes

    @property
    def publisher(self) -> bool:
        """Whether the token may publish, for its own user."""
        return PUBLISH_SCOPE in self.scopes

    def owns(self, publisher: str) -> bool:
        """Tell whether the token may look after what a publisher has, if only to stop it.

        That is not lost with the role: no token of somebody without it can have its scope. A token
        that somebody with the role made without the scope is meant for less.
        """
        whole = self.publisher or PUBLISHERS not in self.groups
        return self.admin or (self.user == publisher and whole)

    def changes(self, publisher: str) -> bool:
        """Tell whether the token may change what a publisher has."""
        return self.admin or (self.user == publisher and self.publisher)

    def of_this_api(self, publisher: str, api: str) -> bool:
        """Tell whether it is a token of this API alone, which who has its publisher's name made."""
        return f"{CALL_SCOPE}!server={publisher}/{api}" in self.scopes and self.user == publisher

    def counted(self, publisher: str) -> str:
        """Return whom calls of a publisher's APIs are counted for: the user or service.

        Each token that the publisher gave out is a caller of its own: whoever has one does not use
        up what the others may, and does not see their results.
        """
        own = bool(publisher) and self.user == publisher
        if self.token and own and CALL_SCOPE not in self.scopes:
            return f"user {self.user}, token {self.token}"
        return f"{'user' if self.user else 'service'} {self.name}"

    def may_call(self, publisher: str, api: str) -> bool:
        """Tell whether the token's scopes admit calls of this API at all."""
        return not self.scopes.isdisjoint(
            {
                CALL_SCOPE,
                f"{CALL_SCOPE}!server={publisher}/{api}",
                f"{CALL_SCOPE}!user={publisher}",
            }
        )


class _Model(Struct):
    """The part of the hub's model of a token's owner that matters here."""

    name: str
    kind: str
    scopes: list[str]
    groups: list[str] = field(default_factory=list)
    #: Told to tokens that may read their owner's record.
    created: str | None = None


def check(version: Version, caller: Identity | None, account: str = "") -> None:
    """Refuse who may not call this version; ``account`` is its publisher's.

    Raise :class:`LoginNeeded` for somebody unknown, ``PolicyError`` (``api.scope``, ``api.access``)
    for others.

    Every user may make tokens that are filtered to any API: one opens an API with access ``token``
    only if it is the publisher's own, so that nobody but the publisher gives it out.
    """
    options, publisher, api = version.options, version.publisher, version.api
    if options.access == "public":
        return
    if caller is None:
        raise LoginNeeded(f"{publisher}/{api} is not public: send `Authorization: Bearer TOKEN`")
    if not caller.may_call(publisher, api):
        raise PolicyError(
            f"This token lacks the scope {CALL_SCOPE}!server={publisher}/{api}", code="api.scope"
        )
    # who has the name now may be somebody else
    own = caller.user == publisher and not differ(account, caller.account or "")
    if options.access == "users" or (own and caller.of_this_api(publisher, api)):
        return
    listed = options.access == "listed" and bool(
        caller.user
        and (own or caller.user in options.users or not caller.groups.isdisjoint(options.groups))
    )
    if not listed:
        wanted = "is not for this token"
        if options.access == "token":
            wanted = "is called with a token of this API alone, which its publisher makes"
        raise PolicyError(f"{publisher}/{api} {wanted}", code="api.access")


class Callers:
    """Tokens and who has them, by the hub's API at ``url``; ``people`` tells accounts."""

    def __init__(
        self, url: str, people: People | None = None, trust: float = TRUST_SECONDS
    ) -> None:
        self._url = url.rstrip("/") + "/user"
        self._people = people
        self._trust = trust
        self._http = AsyncHTTPClient(force_instance=True, max_clients=PARALLEL)
        self._known: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()
        self._asked: dict[tuple[bytes, bool], asyncio.Task[Identity | None]] = {}
        self._unknown = Rates()

    def known(self, authorization: str) -> Identity | None:
        """Return whose token a header has, if the hub was asked a moment ago; never ask it."""
        found = _TOKEN.match(authorization)
        if found is None:
            return None
        at, known = self._known.get(_digest(found[1]), (0.0, None))
        return known if time.monotonic() - at <= self._trust else None

    async def identify(self, token: str, address: str, *, account: bool = False) -> Identity:
        """Return whose token it is; ``address`` is where it comes from.

        ``account``: whether it matters which of the people who had the name it is.

        Raise :class:`LoginNeeded` if the hub does not know it, ``TooMany`` for an address that
        sends many such, ``UnavailableError`` (``api.hub``) while the hub does not answer.
        """
        key = _digest(token)
        at, known = self._known.get(key, (0.0, None))
        enough = known is not None and (known.account is not None or not (account and known.user))
        if known is not None and enough and time.monotonic() - at <= self._trust:
            return known
        # a token that was good is asked for whatever others at its address send; one that nobody
        # has seen counts as wrong until it is known, so that many at one time are no way around
        counts = known is None and not {(key, False), (key, True)} & self._asked.keys()
        if counts:
            self._unknown.spend(address, UNKNOWN_TOKENS)
        wrong = False
        try:
            known = await self._ask(key, token, account)
            wrong = known is None
        finally:
            if counts and not wrong:
                self._unknown.give(address, UNKNOWN_TOKENS)
        if known is None:
            raise LoginNeeded("The hub does not know this token: it is wrong, revoked or expired")
        return known

    async def _ask(self, key: bytes, token: str, account: bool) -> Identity | None:
        """Ask the hub, once for all who come with the same token meanwhile."""
        asked = (key, account)
        task = self._asked.get(asked)
        if task is None:
            task = self._asked[asked] = asyncio.create_task(self._question(key, token, account))
            task.add_done_callback(lambda _: self._asked.pop(asked, None))
        return await asyncio.shield(task)

    async def _question(self, key: bytes, token: str, account: bool) -> Identity | None:
        request = HTTPRequest(
            self._url,
            headers={"Authorization": f"token {token}", "Accept": "application/json"},
            request_timeout=PATIENCE,
            connect_timeout=5.0,
            follow_redirects=False,
        )
        asked = time.monotonic()
        try:
            answer = await self._http.fetch(request, raise_error=False)
        except (OSError, HTTPClientError, HTTPStreamClosedError, HTTPTimeoutError) as error:
            raise _away() from error
        if answer.code in {401, 403}:
            self._known.pop(key, None)
            return None
        if answer.code != 200:
            raise _away()
        found = await self._with_account(_identity(answer.body, key.hex()[:16]), key, account)
        self._known[key] = (asked, found)
        self._known.move_to_end(key)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return found

    async def _with_account(self, found: Identity, key: bytes, wanted: bool) -> Identity:
        """Return an identity with its account, if that is known or wanted."""
        # a token ends with its owner's account, so it has the same one as long as it is good
        known = found.account or (self._known[key][1].account if key in self._known else None)
        if not known and wanted and found.user and self._people is not None:
            known = await self._people.account(found.user)
        return msgspec.structs.replace(found, account=known)

    def close(self) -> None:
        """Give the client up."""
        for task in list(self._asked.values()):
            task.cancel()
        self._http.close()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _identity(content: Any, token: str) -> Identity:
    try:
        model = msgspec.json.decode(content, type=_Model)
    except msgspec.DecodeError as error:
        raise _away() from error
    return Identity(
        name=model.name,
        user=model.name if model.kind == "user" else "",
        groups=frozenset(model.groups) if model.kind == "user" else frozenset(),
        scopes=frozenset(model.scopes),
        token=token,
        account=model.created if model.kind == "user" else None,
    )


def _away() -> UnavailableError:
    return UnavailableError("JuliaBox's hub does not answer; try again in a moment", code="api.hub")
