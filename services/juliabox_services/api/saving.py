"""Changes of what is published: saving, choosing a version, stopping, starting, removing.

Each change is written to the database first, then to memory, then told to the back. Changes of one
API come one after another. What takes long, to look at a source and to make a version ready, comes
before a change's turn, so that nobody who stops an API waits for its publisher. A write that may
have happened, because the database fell silent, is looked up again until it is known.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import get_args

import msgspec
import structlog

from juliabox_ext.errors import (
    ConflictError,
    NotFoundError,
    UnavailableError,
)
from juliabox_services.api.audit import Audit
from juliabox_services.api.changes import (
    Change,
    demand_not_stopped,
    demand_same,
    drop_all,
    drop_old,
)
from juliabox_services.api.drafts import Draft, Drafts
from juliabox_services.api.engine_contract import Back, Checked
from juliabox_services.api.ledger import Ledger
from juliabox_services.api.models import Api, Outcome, SaveRequest, Stopped, Version
from juliabox_services.api.options_rules import (
    demand_name,
    demand_source,
)
from juliabox_services.api.published import Published
from juliabox_services.api.settings import Bounds
from juliabox_services.api.store import Store
from juliabox_services.api.tables import Tables, whole
from juliabox_services.api.turns import Turns

log = structlog.get_logger("juliabox.api.saving")

#: Sources of one publisher that are looked at or wait for it, one at a time; and versions of one
#: API that are made ready to answer.
CHECKS = 4
#: Seconds that a version has to be ready before it answers without.
PREPARE = 20.0
#: Numbers that are tried for a version whose number a write of unknown outcome may have taken.
_TRIES = 20


class Saving:
    """The one place that changes what is published."""

    def __init__(  # noqa: PLR0917 one argument for each part
        self,
        store: Store,
        published: Published,
        ledger: Ledger,
        audit: Audit,
        back: Back,
        bounds: Bounds,
    ) -> None:
        self._store = store
        self._published = published
        self._ledger = ledger
        self._audit = audit
        self._back = back
        self._bounds = bounds
        self._drafts = Drafts(published, back, bounds)
        self._changing = Turns()
        self._checking = Turns(CHECKS)
        self._preparing = Turns(CHECKS)
        #: APIs of which a write may have happened that is not in memory, and which.
        self.doubtful: dict[tuple[str, str], Change] = {}

    # -- changes

    async def save(
        self, publisher: str, api: str, request: SaveRequest, who: str, account: str = ""
    ) -> tuple[Version, Outcome]:
        """Check and write a new version; return it, and what came of it.

        What is there already (:meth:`_present`) is returned, and nothing is changed.
        ``account`` is the publisher's, if it is the publisher who saves and it is known.

        Raise ``PolicyError`` (``api.owner``) if the API is of somebody else who had the name,
        ``SourceError`` for a source that does not load, ``ConflictError`` (``api.changed``)
        for an author who has not seen the newest version, ``NoRoomError`` (``api.quota``,
        ``api.busy``), ``RequestError`` for all that is out of bounds, and what
        :meth:`Back.check` raises.
        """
        demand_name(api)
        async with self._checking.take(publisher):
            self._published.demand_ready()
            known = self._published.known(publisher, api)
            if known is not None:
                demand_same(known[0], account)
            else:
                self._drafts.demand_quota(publisher, account)
            self._drafts.demand_newest(known[0] if known else None, request.after)
            active = known and known[1]
            draft = self._drafts.read(request, active)
            present = known and await self._present(*known, draft, request.activate)
            if present is not None:
                return present, "unchanged"
            version = await self._drafts.checked(publisher, api, draft, active, who, request.note)
            saved = await self._write(version, known and known[0])
            if known and request.activate and not known[0].stopped:
                await self._back.prepare(saved, PREPARE)
            async with self._changes(publisher, api):
                await self._publish(saved, known is None, request.activate, who, account)
            return saved, "changed" if known else "new"

    async def activate(self, publisher: str, api: str, number: int, who: str) -> Api:
        """Let another version answer the calls; raise ``NotFoundError`` (``api.version``)."""
        async with self._preparing.take(whole(publisher, api)):
            version = await self.version(publisher, api, number)
            if not self._published.find(publisher, api)[0].stopped:
                await self._back.prepare(version, PREPARE)
            async with self._changes(publisher, api):
                old, _ = self._published.find(publisher, api)
                version = await self.version(publisher, api, number)  # it may be deleted meanwhile
                entry = msgspec.structs.replace(old, active=number)
                return await self._carry_out(Change(entry, "activate", who, number), version)

    async def stop(
        self,
        publisher: str,
        api: str,
        who: str,
        reason: Stopped,
        *,
        detail: str = "",
        seen: Api | None = None,
    ) -> Api:
        """Let an API answer no calls until it is started; by whom, the reason tells.

        ``seen``: nothing is changed if it is another person's meanwhile than when it was seen.
        """
        async with self._changes(publisher, api):
            old, version = self._published.find(publisher, api)
            if seen is not None and (old.created, old.account) != (seen.created, seen.account):
                return old
            # what an admin stopped stays so, though its owner stops it as well
            reason = max(old.stopped, reason, key=get_args(Stopped).index)
            entry = msgspec.structs.replace(old, stopped=reason)
            return await self._carry_out(Change(entry, "stop", who, old.active, detail), version)

    async def start(
        self, publisher: str, api: str, who: str, *, admin: bool, account: str = ""
    ) -> Api:
        """Let a stopped API answer calls again; what an admin stopped an admin must start.

        What somebody removed left is then of who has the name; ``account`` as in :meth:`save`.
        """
        async with self._changes(publisher, api):
            old, version = self._published.find(publisher, api)
            demand_not_stopped(old, admin, "start")
            kept = account if old.stopped == "gone" else old.account
            entry = msgspec.structs.replace(old, stopped="", account=kept)
            return await self._carry_out(Change(entry, "start", who, old.active), version)

    async def note_account(self, seen: Api, account: str) -> None:
        """Take note of whose an API is, if that was not known when it was seen nor since."""
        publisher, api = seen.publisher, seen.api
        async with self._changes(publisher, api):
            known = self._published.known(publisher, api)
            if known is None or (known[0].created, known[0].account) != (seen.created, ""):
                return
            entry = msgspec.structs.replace(known[0], account=account)
            # if nobody learns whether it was written, the next look writes it once more
            await self._store.run(partial(Tables.keep_api, api=entry))
            self._published.put(entry, known[1])

    async def remove(self, publisher: str, api: str, who: str, *, admin: bool = False) -> None:
        """Remove an API with all its versions; their numbers are not given again.

        What an admin stopped an admin must remove: its name would be free to answer again.
        """
        async with self._changes(publisher, api):
            old, version = self._published.find(publisher, api)
            demand_not_stopped(old, admin, "remove")
            change = Change(old, "remove", who, old.active, removed=True)
            await self._carry_out(change, version)
            with contextlib.suppress(UnavailableError):  # the next of this name deletes them, too
                await self._store.run(partial(drop_all, publisher=publisher, api=api))

    # -- checks

    async def check(self, publisher: str, api: str, source: str, functions: list[str]) -> Checked:
        """Look at a source without saving it; one of a publisher's at a time.

        Raise ``NoRoomError`` (``api.busy``) if too many of the publisher's wait already.
        """
        demand_source(source)
        async with self._checking.take(publisher):
            return await self._back.check(publisher, api, source, functions)

    async def version(self, publisher: str, api: str, number: int) -> Version:
        """Return a version; raise ``NotFoundError`` (``api.version``)."""
        api_known, active = self._published.find(publisher, api)
        if number == active.version:
            return active
        if 0 < number <= api_known.newest:
            try:
                return await self._store.run(
                    partial(Tables.version, publisher=publisher, api=api, number=number)
                )
            except NotFoundError:
                pass
        raise NotFoundError(
            f"{publisher}/{api} has no version {number}; old ones are deleted behind the newest "
            f"{self._bounds.versions}",
            code="api.version",
        )

    # -- loading

    async def load(self) -> None:
        """Read all that is published, and tell the back; raise what the database raises."""
        found = await self._store.run(Tables.apis)
        for api, removed in found:
            if removed:
                self._ledger.removed.add(whole(api.publisher, api.api))
                continue
            await self._read(api)
        self._published.ready = True
        self.doubtful.clear()

    async def settle(self) -> None:
        """Look up what became of writes that may have happened."""
        for publisher, api in sorted(self.doubtful):
            async with self._changes(publisher, api):
                found = await self._store.run(partial(Tables.api, publisher=publisher, api=api))
                known = self._published.known(publisher, api)
                change = self.doubtful[publisher, api]
                if found is None or found[1]:
                    self._drop(publisher, api)
                else:
                    await self._read(found[0])
                del self.doubtful[publisher, api]
                news = found != (known and (known[0], False))
                if news and found == (change.entry, change.removed):
                    await self._tell(change)

    async def _read(self, api: Api) -> None:
        one = partial(Tables.version, publisher=api.publisher, api=api.api, number=api.active)
        try:
            self._apply(api, await self._store.run(one))
        except NotFoundError as error:
            # deleted by hand, or written by another release: the other APIs are to answer
            name = whole(api.publisher, api.api)
            log.error("the version of an API cannot be read", api=name, reason=error.message)
            self._drop(api.publisher, api.api)

    # -- steps

    async def _carry_out(self, change: Change, version: Version) -> Api:
        """Write a change; take it into memory, tell the back, and write it into the audit."""
        entry, removed = change.entry, change.removed
        try:
            await self._store.run(partial(Tables.keep_api, api=entry, removed=removed))
        except (UnavailableError, asyncio.CancelledError):
            self.doubtful[entry.publisher, entry.api] = change
            raise
        if removed:
            self._drop(entry.publisher, entry.api)
        else:
            self._apply(entry, version)
        await self._tell(change)
        return entry

    async def _tell(self, change: Change) -> None:
        """Write a change that was made into the audit."""
        publisher, api = change.entry.publisher, change.entry.api
        if change.removed:
            self._ledger.forget(publisher, api)
        await self._audit.write(
            change.who,
            change.what,
            publisher,
            api,
            change.version,
            change.detail,
            change.entry.account,
        )

    async def _present(
        self, api: Api, active: Version, draft: Draft, activate: bool
    ) -> Version | None:
        """Return the version that a save would make once more: the active one, or the newest.

        To be activated a content must be that of the version that answers, since an older one may
        be on purpose; to be kept only, that of the newest. None where a change may have happened
        that is not known yet, or where the publisher is gone: an admin who saves takes the API
        over.
        """
        if api.stopped == "gone" or (api.publisher, api.api) in self.doubtful:
            return None
        found = active
        if not activate and api.newest != active.version:
            try:
                found = await self.version(api.publisher, api.api, api.newest)
            except NotFoundError:
                return None
        return found if draft.same(found) else None

    def _apply(self, api: Api, version: Version) -> None:
        """Take a change that is written into memory, and tell the back."""
        self._published.put(api, version)
        self._back.activate(None if api.stopped else version, api.publisher, api.api)

    def _drop(self, publisher: str, api: str) -> None:
        """Take note that there is no such API, and tell the back."""
        if self._published.known(publisher, api) is not None:
            self._published.drop(publisher, api)
            self._back.activate(None, publisher, api)

    async def _write(self, version: Version, old: Api | None) -> Version:
        """Write a new version, which nobody knows of yet; return it with its number."""
        publisher, api = version.publisher, version.api
        newest = old.newest if old else await self._last_number(publisher, api)
        if old:
            # what is older than its API is of a removed one; a clock may have been set back
            version = msgspec.structs.replace(version, saved=max(version.saved, old.created))
        for number in range(newest + 1, newest + 1 + _TRIES):
            saved = msgspec.structs.replace(version, version=number)
            try:
                await self._store.run(partial(Tables.add_version, version=saved))
            except ConflictError:
                continue  # of a save whose outcome nobody learnt
            return saved
        raise UnavailableError(
            f"No version of {publisher}/{api} could be written", code="api.database"
        )

    async def _publish(
        self, saved: Version, fresh: bool, activate: bool, who: str, account: str
    ) -> None:
        """Take a version that is written into its API, or begin one with it."""
        publisher, api, number = saved.key
        known = self._published.known(publisher, api)
        if known is not None:
            demand_same(known[0], account)  # an admin may have handed it over meanwhile
            active = saved if activate else known[1]
            entry = msgspec.structs.replace(
                known[0],
                active=active.version,
                newest=number,
                account=known[0].account or account,
            )
        elif fresh:
            active = saved
            entry = Api(
                publisher=publisher,
                api=api,
                active=number,
                newest=number,
                created=saved.saved,
                stopped="" if activate else "owner",
                account=account,
            )
        else:
            raise ConflictError("This API was removed meanwhile", code="api.changed")
        await self._carry_out(Change(entry, "save", who, number, saved.note), active)
        await self._prune(entry)

    async def _last_number(self, publisher: str, api: str) -> int:
        """Return the newest version of a removed API of this name; 0 if there never was one."""
        found = await self._store.run(partial(Tables.api, publisher=publisher, api=api))
        return found[0].newest if found else 0

    async def _prune(self, api: Api) -> None:
        """Delete the oldest versions that are too many; a failure waits for the next save."""
        keep = self._bounds.versions
        try:
            await self._store.run(partial(drop_old, api=api, keep=keep))
        except UnavailableError:
            return

    @contextlib.asynccontextmanager
    async def _changes(self, publisher: str, api: str) -> AsyncIterator[None]:
        """Let changes of one API come one after another."""
        self._published.demand_ready()
        async with self._changing.take(whole(publisher, api)):
            yield
