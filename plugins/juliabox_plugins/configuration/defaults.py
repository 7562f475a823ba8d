"""A person's defaults: kept in the database, read and saved below the portal's address."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from juliabox_ext.db import Column, JBPluginDB, Table
from juliabox_ext.errors import ConflictError, NotFoundError, PluginError, RequestError
from juliabox_ext.handler import Handler, JBPluginHandler


class Defaults(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person chose."""

    #: Slug of the profile that is chosen beforehand; empty: the service's own.
    profile: Annotated[str, Meta(max_length=63, pattern=r"^[a-z0-9_-]*\Z")] = ""
    #: What the first button of a running session opens: JupyterLab, or the portal's frame.
    open: Literal["lab", "frame"] = "lab"
    #: Whether stopping a session asks first.
    confirm: bool = True


class DefaultsTable(Table):
    """One row for each person who changed anything."""

    NAME = "person_defaults"
    KEYS = (Column("owner"),)
    ATTRIBUTES = (Column("choice", "json"),)


class DefaultsPages(Handler):
    """``plugins/configuration/defaults``: GET answers the caller's defaults, PUT saves them."""

    provides = (JBPluginHandler.JBP_HANDLER,)
    requires = (JBPluginDB.JBP_DB,)

    def register(self, app: Any) -> None:
        """Add the one route."""
        path = f"{app.settings['plugin_prefix']}{self.name}/defaults"
        app.add_handlers(r".*", [(path, handler_class(app.settings["handler_base"], self))])

    def _table(self) -> DefaultsTable:
        if self.context.feature is None:
            raise PluginError(f"{self.name} was made without a registry", code="plugin.absent")
        table = DefaultsTable(self.context)
        table.open(self.context.feature(JBPluginDB.JBP_DB))
        return table

    def read(self, owner: str) -> Defaults:
        """Return a person's defaults; blocks. What another version kept is left out."""
        table = self._table()
        try:
            kept = table.DB.record_fetch(table.TABLE, owner=owner)["choice"] or {}
        except NotFoundError:
            return Defaults()
        known = {name: kept[name] for name in Defaults.__struct_fields__ if name in kept}
        try:
            return msgspec.convert(known, type=Defaults)
        except msgspec.ValidationError:
            return Defaults()

    def save(self, owner: str, chosen: Defaults) -> None:
        """Keep a person's defaults; blocks."""
        table = self._table()
        row = {"owner": owner, "choice": msgspec.to_builtins(chosen)}
        try:
            table.DB.record_save(table.TABLE, row)
        except NotFoundError:
            try:
                table.DB.record_create(table.TABLE, row)
            except ConflictError:  # a second window was faster
                table.DB.record_save(table.TABLE, row)


def handler_class(base: type[Any], pages: DefaultsPages) -> type[Any]:
    """Return the handler, on top of what the portal's handlers share."""

    class DefaultsHandler(base):  # type: ignore[misc]  # the portal's class, known when it starts
        """The caller's defaults."""

        api = True

        async def get(self) -> None:
            """Answer them."""
            self.answer(await asyncio.to_thread(pages.read, self.name))

        async def put(self) -> None:
            """Save them; 400 names a field that is wrong."""
            try:
                chosen = msgspec.json.decode(self.request.body, type=Defaults)
            except (msgspec.DecodeError, RecursionError) as error:
                raise RequestError(f"this cannot be saved: {error}", code="portal.body") from None
            await asyncio.to_thread(pages.save, self.name, chosen)
            self.answer(chosen)

    return DefaultsHandler
