"""The audit: who saved, activated, stopped, started or removed which API."""

from __future__ import annotations

import secrets
import time

import structlog

from juliabox_ext.errors import JuliaBoxError
from juliabox_services.api.ledger import Ledger
from juliabox_services.api.models import AuditRow
from juliabox_services.api.store import Store
from juliabox_services.api.tables import storable

log = structlog.get_logger("juliabox.api.audit")


class Audit:
    """Writes what was done, behind the change; reads it for who may."""

    def __init__(self, store: Store, ledger: Ledger, keep_days: int = 30) -> None:
        self._store = store
        self._ledger = ledger
        self._keep_days = keep_days

    async def write(  # noqa: PLR0917 one for each column
        self,
        who: str,
        what: str,
        publisher: str,
        api: str,
        version: int = 0,
        detail: str = "",
        account: str = "",
    ) -> None:
        """Keep what was done: at once, or as soon as the database can be written.

        ``account`` is the publisher's (:mod:`.people`), if it is known.
        """
        row = AuditRow(
            time=time.time(),
            who=who,
            what=what,
            publisher=publisher,
            api=api,
            version=version,
            detail=storable(detail),
        )
        log.info(
            "changed", audit=True, who=who, what=what, api=f"{publisher}/{api}", version=version
        )
        key = f"{row.time:020.6f}-{secrets.token_hex(4)}"
        try:
            await self._store.run(lambda tables: tables.add_audit(row, key, account))
        except JuliaBoxError as error:
            log.warning("a row of the audit waits for the database", reason=error.message)
            self._ledger.audited(row, key, account)
        told = f"{who}: {what}" + (f", {detail}" if detail else "")
        if what != "remove":
            self._ledger.news(publisher, api, version, "audit", told)

    async def rows(self, publisher: str | None, limit: int, account: str = "") -> list[AuditRow]:
        """Return the newest rows, newest first: one publisher's, or all.

        With an account those of others who had the publisher's name are left out.
        """
        await self._ledger.flush()
        if publisher is None:
            return await self._store.run(lambda tables: tables.audit_of_all(self._keep_days, limit))
        return await self._store.run(lambda tables: tables.audit_of(publisher, account, limit))
