"""What the hub says of people by name, asked with the engine's own token.

Somebody who was removed and somebody who was added later may have one name. What tells them apart
is their *account*: when the hub made it, in the hub's words.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import NoReturn
from urllib.parse import quote

import msgspec
from msgspec import Struct
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from juliabox_ext.errors import UnavailableError

#: Seconds until the hub is given up, and questions to it at one time.
PATIENCE = 10.0
PARALLEL = 32
#: What the engine's own token must be for, so that "not found" means just that.
SCOPE = "read:users:name"


#: Seconds within which nobody is added, publishes and is replaced by somebody else.
_SAME = 1.0


class _Own(Struct):
    """The part of the hub's model of the engine itself that matters here."""

    scopes: list[str]


class _Person(Struct):
    """The part of the hub's model of a person that matters here."""

    created: str | None = None


def differ(account: str, other: str) -> bool:
    """Tell whether two accounts are of two people; one that is not known is of anybody.

    They are of one if they were made at one time: another database of the hub may round it to
    seconds, and another release may write it in another way.
    """
    if not (account and other) or account == other:
        return False
    # two accounts that were never told have no distance
    return not abs(made(account) - made(other)) < _SAME


def made(account: str) -> float:
    """Return when an account was made, as Unix time; infinity if its words do not say."""
    try:
        found = datetime.fromisoformat(account)
    except ValueError:
        return math.inf
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class People:
    """Asks the hub at ``url`` with a token. Errors are ``UnavailableError`` (``api.hub``)."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._http = AsyncHTTPClient(force_instance=True, max_clients=PARALLEL)

    def close(self) -> None:
        """Give the client up."""
        self._http.close()

    async def demand(self) -> None:
        """Raise if the engine's token is not for seeing who is there."""
        status, body = await self._ask("user")
        try:
            own = msgspec.json.decode(body, type=_Own)
        except msgspec.DecodeError:
            _away(f"it answers {status}")
        if status != 200 or SCOPE not in own.scopes:
            _away(f"the engine's token lacks {SCOPE}")

    async def find(self, name: str) -> str | None:
        """Return the account of who has a name, empty if it is not told; ``None`` for nobody.

        Raise if the hub does not tell whether there is somebody.
        """
        status, body = await self._ask(f"users/{quote(name, safe='')}")
        if status not in {200, 404}:
            _away(f"it answers {status}")
        return _account(body) if status == 200 else None

    async def account(self, name: str) -> str:
        """Return the account of who has a name; empty if the engine is not told.

        Raise while the hub is away.
        """
        status, body = await self._ask(f"users/{quote(name, safe='')}")
        if status not in {200, 403, 404}:
            _away(f"it answers {status}")
        return _account(body) if status == 200 else ""

    async def _ask(self, path: str) -> tuple[int, bytes]:
        request = HTTPRequest(
            f"{self._url}/{path}",
            headers={"Authorization": f"token {self._token}", "Accept": "application/json"},
            request_timeout=PATIENCE,
            follow_redirects=False,
        )
        try:
            answer = await self._http.fetch(request, raise_error=False)
        except (OSError, HTTPClientError) as error:
            _away(str(error))
        return answer.code, answer.body


def _account(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Person).created or ""
    except msgspec.DecodeError as error:
        _away(f"what it says of a person is not understood: {error}")


def _away(reason: str) -> NoReturn:
    raise UnavailableError(f"The hub does not tell who its users are: {reason}", code="api.hub")
