"""Changes of what is published: saving, choosing a version, stopping, starting, removing.

Each change is written to the database first, then to memory, then told to the back. Changes of one
API come one after another. What takes long, to look at a source and to make a version ready, comes
before a change's turn, so that nobody who stops an API waits for its publisher. A write that may
have happened, because the database fell silent, is looked up again until it is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial

import msgspec
import structlog

from juliabox_ext.errors import (
    ConflictError,
    NoRoomError,
    NotFoundError,
    PolicyError,
    RequestError,
    UnavailableError,
)
from juliabox_services.api.audit import Audit
from juliabox_services.api.engine_contract import Back, CallError, Checked
from juliabox_services.api.ledger import Ledger
from juliabox_services.api.models import Api, Function, Options, SaveRequest, Version
from juliabox_services.api.options_rules import (
    demand_name,
    demand_options,
    demand_size,
    demand_source,
)
from juliabox_services.api.published import Published
from juliabox_services.api.settings import Bounds
from juliabox_services.api.store import Store
from juliabox_services.api.tables import Tables, storable, whole
from juliabox_services.api.turns import Turns

log = structlog.get_logger("juliabox.api.saving")

#: Characters of one docstring that are kept.
DOC_LENGTH = 4000
#: Sources of one publisher that are looked at or wait for it, one at a time; and versions of one
#: API that are made ready to answer.
CHECKS = 4
#: Seconds that a version has to be ready before it answers without.
PREPARE = 20.0
#: Numbers that are tried for a version whose number a write of unknown outcome may have taken.
_TRIES = 20


class SourceError(CallError):
    """A source that cannot be published; ``code`` is the check's, such as ``source.syntax``."""

    def __init__(self, checked: Checked) -> None:
        super().__init__(
            checked.message,
            code=checked.code,
            status=400,
            frames=checked.frames,
        )
        self.output = checked.printed or None


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
        self._changing = Turns()
        self._checking = Turns(CHECKS)
        self._preparing = Turns(CHECKS)
        #: APIs of which a write may have happened that is not in memory.
        self.doubtful: set[tuple[str, str]] = set()

    # -- changes

    async def save(
        self, publisher: str, api: str, request: SaveRequest, who: str
    ) -> tuple[Version, bool]:
        """Check and write a new version; return it, and whether the API is new.

        Raise ``SourceError`` for a source that does not load, ``ConflictError`` (``api.changed``)
        for an author who has not seen the newest version, ``NoRoomError`` (``api.quota``,
        ``api.busy``), ``RequestError`` for all that is out of bounds, and what
        :meth:`Back.check` raises.
        """
        demand_name(api)
        async with self._checking.take(publisher):
            self._published.demand_ready()
            known = self._published.known(publisher, api)
            self._demand_newest(known[0] if known else None, request.after)
            if known is None:
                self._demand_quota(publisher)
            version = await self._checked(publisher, api, request, known and known[1], who)
            saved = await self._write(version, known and known[0])
            if known and request.activate and not known[0].stopped:
                await self._back.prepare(saved, PREPARE)
            async with self._changes(publisher, api):
                await self._publish(saved, known is None, request.activate)
                await self._audit.write(who, "save", publisher, api, saved.version, request.note)
            return saved, known is None

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
                await self._store.run(partial(Tables.keep_api, api=entry))
                self._apply(entry, version)
                await self._audit.write(who, "activate", publisher, api, number)
                return entry

    async def stop(
        self, publisher: str, api: str, who: str, *, admin: bool, detail: str = ""
    ) -> Api:
        """Let an API answer no calls until it is started; ``admin``: by an admin alone."""
        async with self._changes(publisher, api):
            old, version = self._published.find(publisher, api)
            # what an admin stopped stays so, though its owner stops it as well
            reason = "admin" if admin or old.stopped == "admin" else "owner"
            entry = msgspec.structs.replace(old, stopped=reason)
            await self._store.run(partial(Tables.keep_api, api=entry))
            self._apply(entry, version)
            await self._audit.write(who, "stop", publisher, api, entry.active, detail)
            return entry

    async def start(self, publisher: str, api: str, who: str, *, admin: bool) -> Api:
        """Let a stopped API answer calls again; what an admin stopped an admin must start."""
        async with self._changes(publisher, api):
            old, version = self._published.find(publisher, api)
            if old.stopped == "admin" and not admin:
                raise PolicyError(
                    f"An admin stopped {publisher}/{api}, so an admin must start it",
                    code="api.stopped_by_admin",
                )
            entry = msgspec.structs.replace(old, stopped="")
            await self._store.run(partial(Tables.keep_api, api=entry))
            self._apply(entry, version)
            await self._audit.write(who, "start", publisher, api, entry.active)
            return entry

    async def remove(self, publisher: str, api: str, who: str) -> None:
        """Remove an API with all its versions; their numbers are not given again."""
        async with self._changes(publisher, api):
            old, _ = self._published.find(publisher, api)
            await self._store.run(partial(Tables.keep_api, api=old, removed=True))
            self._published.drop(publisher, api)
            self._back.activate(None, publisher, api)
            self._ledger.forget(publisher, api)
            await self._audit.write(who, "remove", publisher, api, old.active)
            with contextlib.suppress(UnavailableError):  # the next of this name deletes them, too
                await self._store.run(partial(_drop_all, publisher=publisher, api=api))

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
                if found is None or found[1]:
                    self._drop(publisher, api)
                else:
                    await self._read(found[0])
                self.doubtful.discard((publisher, api))

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

    def _apply(self, api: Api, version: Version) -> None:
        """Take a change that is written into memory, and tell the back."""
        self._published.put(api, version)
        self._back.activate(None if api.stopped else version, api.publisher, api.api)

    def _drop(self, publisher: str, api: str) -> None:
        """Take note that there is no such API, and tell the back."""
        if self._published.known(publisher, api) is not None:
            self._published.drop(publisher, api)
            self._back.activate(None, publisher, api)

    def _demand_newest(self, known: Api | None, after: int | None) -> None:
        newest = known.newest if known else 0
        if after is not None and after != newest:
            raise ConflictError(
                f"There is version {newest} meanwhile, and you saw version {after} last"
                if newest
                else "This API was removed meanwhile",
                code="api.changed",
            )

    def _demand_quota(self, publisher: str) -> None:
        most = self._bounds.apis_per_publisher
        if len(self._published.of(publisher)) >= most:
            raise NoRoomError(
                f"{publisher} has {most} APIs, which is what one may have here; remove one",
                code="api.quota",
            )

    async def _checked(
        self,
        publisher: str,
        api: str,
        request: SaveRequest,
        active: Version | None,
        who: str,
    ) -> Version:
        """Return the new version, numbered 0, after its source was loaded."""
        known = [one.name for one in active.functions] if active else None
        source = active.source if request.source is None and active else request.source
        names = known if request.functions is None else list(dict.fromkeys(request.functions))
        if source is None or names is None:
            raise RequestError(
                "A new API needs a source and the names of its functions", code="api.body"
            )
        options = request.options or (active.options if active else Options())
        demand_source(source)
        demand_options(options, names, self._bounds)
        if active is not None and source == active.source and names == known:
            functions = active.functions
        else:
            functions = await self._load(publisher, api, source, names)
        version = Version(
            publisher=publisher,
            api=api,
            version=0,
            source=source,
            functions=functions,
            options=options,
            saved=time.time(),
            saved_by=who,
            note=storable(request.note),
        )
        demand_size(version)
        return version

    async def _load(
        self, publisher: str, api: str, source: str, names: list[str]
    ) -> list[Function]:
        checked = await self._back.check(publisher, api, source, names)
        if checked.code:
            raise SourceError(checked)
        return [
            msgspec.structs.replace(one, doc=storable(one.doc)[:DOC_LENGTH])
            for one in checked.functions
        ]

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

    async def _publish(self, saved: Version, fresh: bool, activate: bool) -> None:
        """Take a version that is written into its API, or begin one with it."""
        publisher, api, number = saved.key
        known = self._published.known(publisher, api)
        if known is not None:
            active = saved if activate else known[1]
            entry = msgspec.structs.replace(known[0], active=active.version, newest=number)
        elif fresh:
            active = saved
            entry = Api(
                publisher=publisher,
                api=api,
                active=number,
                newest=number,
                created=saved.saved,
                stopped="" if activate else "owner",
            )
        else:
            raise ConflictError("This API was removed meanwhile", code="api.changed")
        await self._store.run(partial(Tables.keep_api, api=entry))
        self._apply(entry, active)
        await self._prune(entry)

    async def _last_number(self, publisher: str, api: str) -> int:
        """Return the newest version of a removed API of this name; 0 if there never was one."""
        found = await self._store.run(partial(Tables.api, publisher=publisher, api=api))
        return found[0].newest if found else 0

    async def _prune(self, api: Api) -> None:
        """Delete the oldest versions that are too many; a failure waits for the next save."""
        keep = self._bounds.versions
        try:
            await self._store.run(partial(_drop_old, api=api, keep=keep))
        except UnavailableError:
            return

    @contextlib.asynccontextmanager
    async def _changes(self, publisher: str, api: str) -> AsyncIterator[None]:
        """Let changes of one API come one after another; note a write of unknown outcome."""
        self._published.demand_ready()
        async with self._changing.take(whole(publisher, api)):
            try:
                yield
            except (UnavailableError, asyncio.CancelledError):
                self.doubtful.add((publisher, api))
                raise


def _drop_all(tables: Tables, publisher: str, api: str) -> None:
    tables.drop_versions(publisher, api, [one.version for one in tables.versions(publisher, api)])


def _drop_old(tables: Tables, api: Api, keep: int) -> None:
    found = tables.versions(api.publisher, api.api)
    # older than the API: of a removed one of this name
    old = [*found[keep:], *(one for one in found[:keep] if one.saved < api.created)]
    numbers = [one.version for one in old if one.version != api.active]
    tables.drop_versions(api.publisher, api.api, numbers)
