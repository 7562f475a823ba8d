"""Publishers who were removed from the hub: their APIs are stopped.

The hub tells nobody whom it removed, so it is asked. Only its own word that there is no such user
counts, and only twice in a row: while it is away everything stays as it is. An API that an admin
published for somebody who was never there is the admin's affair.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn
from urllib.parse import quote

import msgspec
import structlog
from msgspec import Struct
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from juliabox_ext.errors import JuliaBoxError, NotFoundError, UnavailableError
from juliabox_services.api.published import Published
from juliabox_services.api.saving import Saving

#: Seconds between two rounds, and between two questions of one.
ROUND, STEP = 60.0, 0.1
#: Seconds until the hub is given up.
PATIENCE = 10.0
#: What the engine's own token must be for, so that "not found" means just that.
SCOPE = "read:users:name"
#: Who stops the APIs; no user has a name with capitals.
WHO = "JuliaBox"

log = structlog.get_logger("juliabox.api.departures")


class _Own(Struct):
    """The part of the hub's model of the engine itself that matters here."""

    scopes: list[str]


class Departures:
    """Looks for publishers who are gone. Begin with :meth:`start`, end with :meth:`close`."""

    def __init__(self, url: str, token: str, published: Published, saving: Saving) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._published = published
        self._saving = saving
        self._http = AsyncHTTPClient(force_instance=True)
        #: Publishers whom the hub knew, and those whom it did not know the last time.
        self._seen: set[str] = set()
        self._missing: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, in the background."""
        self._task = asyncio.create_task(self._follow(), name="departures")

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._http.close()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(ROUND)
            try:
                await self.look()
            except JuliaBoxError as error:
                log.info("whether publishers are gone is not known now", reason=error.message)
            except Exception:
                log.exception("the look for publishers who are gone stumbled")

    async def look(self) -> None:
        """Ask for each publisher, and stop the APIs of who was missing the last time as well.

        Raise ``UnavailableError`` (``api.hub``) if the hub does not tell, and what
        :meth:`Saving.stop` raises.
        """
        await self._demand_scope()
        answering = [entry for entry in self._published if entry[0].stopped != "admin"]
        by_themselves = {api.publisher for api, one in answering if one.saved_by == api.publisher}
        for name in sorted({api.publisher for api, _ in answering}):
            if await self._is_there(name):
                self._seen.add(name)
                self._missing.discard(name)
            elif name in self._missing:
                await self._stop(name)
            elif name in self._seen | by_themselves:
                self._missing.add(name)
            await asyncio.sleep(STEP)

    async def _stop(self, name: str) -> None:
        log.warning("a publisher was removed from the hub", publisher=name)
        for api, _ in self._published.of(name):
            try:
                await self._saving.stop(
                    name, api.api, WHO, admin=True, detail=f"{name} is no user any more"
                )
            except NotFoundError:
                continue  # removed meanwhile
        self._seen.discard(name)
        self._missing.discard(name)

    async def _demand_scope(self) -> None:
        status, body = await self._ask("user")
        try:
            own = msgspec.json.decode(body, type=_Own)
        except msgspec.DecodeError:
            _away(f"it answers {status}")
        if status != 200 or SCOPE not in own.scopes:
            _away(f"the engine's token lacks {SCOPE}")

    async def _is_there(self, name: str) -> bool:
        status, _ = await self._ask(f"users/{quote(name, safe='')}")
        if status not in {200, 404}:
            _away(f"it answers {status}")
        return status == 200

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


def _away(reason: str) -> NoReturn:
    raise UnavailableError(f"The hub does not tell who its users are: {reason}", code="api.hub")
