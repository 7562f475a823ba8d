"""Publishers who were removed from the hub: their APIs are stopped, and admins' affair.

Whoever comes later and has the same name may be somebody else. Nothing is removed, since the hub
may have lost its people by an accident: an admin who starts an API hands it to who has the name.

The hub tells nobody whom it removed, so it is asked. Only its own word counts: that there is no
such user, twice in a row, or that who has the name now has another account. While it is away
everything stays as it is. An API that an admin published for somebody who was never there is the
admin's affair as well. One of which no account is known is of who has the name.
"""

from __future__ import annotations

import asyncio

import structlog

from juliabox_ext.errors import JuliaBoxError, NotFoundError, UnavailableError
from juliabox_services.api.models import Api, Version
from juliabox_services.api.people import People, differ
from juliabox_services.api.published import Published
from juliabox_services.api.saving import Saving

#: Seconds between two rounds, and between two questions of one.
ROUND, STEP = 60.0, 0.1
#: Questions in a row without an answer after which a round ends: it is not about one name.
UNANSWERED = 3
#: Who stops the APIs; no user has a name with capitals.
WHO = "JuliaBox"

log = structlog.get_logger("juliabox.api.departures")


class Departures:
    """Looks for publishers who are gone. Begin with :meth:`start`, end with :meth:`close`."""

    def __init__(self, people: People, published: Published, saving: Saving) -> None:
        self._people = people
        self._published = published
        self._saving = saving
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
        """Ask for each publisher, and stop the APIs of those who are gone.

        A name for which that fails costs the others nothing. Raise ``UnavailableError``
        (``api.hub``) if the hub does not tell of anybody, and what :meth:`Saving.stop` raises.
        """
        await self._people.demand()
        unanswered = 0
        for name in sorted({api.publisher for api, _ in self._published}):
            # as they are before the hub is asked: what is published meanwhile may be of somebody
            # who came meanwhile
            owned = [one for one in self._published.of(name) if one[0].stopped != "gone"]
            if not owned:
                continue
            try:
                account = await self._people.find(name)
            except UnavailableError as error:
                unanswered += 1
                if unanswered == UNANSWERED:
                    raise
                log.warning("not known of a publisher", publisher=name, reason=error.message)
            else:
                unanswered = 0
                await self._judge(name, account, owned)
            await asyncio.sleep(STEP)

    async def _judge(
        self, name: str, account: str | None, owned: list[tuple[Api, Version]]
    ) -> None:
        if account is None:
            was_there = any(api.account or one.saved_by == name for api, one in owned)
            if name in self._missing:
                await self._stop(name, owned, f"{name} is no user any more")
            elif name in self._seen or was_there:
                self._missing.add(name)
            return
        self._seen.add(name)
        self._missing.discard(name)
        others = [one for one in owned if differ(one[0].account, account)]
        if others:
            await self._stop(name, others, f"{name} is somebody else now")
        for api, _ in owned:
            if account and not api.account:
                await self._saving.note_account(api, account)

    async def _stop(self, name: str, owned: list[tuple[Api, Version]], detail: str) -> None:
        log.warning("a publisher was removed from the hub", publisher=name, reason=detail)
        for api, _ in owned:
            try:
                await self._saving.stop(name, api.api, WHO, "gone", detail=detail, seen=api)
            except NotFoundError:
                continue  # removed meanwhile
        self._seen.discard(name)
        self._missing.discard(name)
