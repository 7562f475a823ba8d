"""Plugins of a stranger, for the portal's tests: one of each kind, and ones that fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from juliabox_ext.cloud import JBPluginCloud
from juliabox_ext.db import (
    Column,
    JBPluginDB,
    SessionUse,
    Table,
    UsageAccounting,
    UsagePeriod,
    UsageStats,
)
from juliabox_ext.handler import Handler, JBPluginHandler, TopScript
from juliabox_ext.ui import JBPluginUI, Widget

HERE = Path(__file__).parent


class _Runs(Table):
    NAME = "stand_runs"
    KEYS = (Column("session"),)
    ATTRIBUTES = (
        Column("image"),
        Column("owner"),
        Column("began", "time"),
        Column("ended", "time"),
    )


class Usage(UsageAccounting):
    """The accounting contract in its plainest form: every answer reads all rows."""

    provides = (JBPluginDB.JBP_USAGE_ACCOUNTING,)

    def _table(self) -> _Runs:
        table = _Runs(self.context)
        assert self.context.feature is not None
        table.open(self.context.feature(JBPluginDB.JBP_DB))
        return table

    def record_session_time(
        self, session: str, image: str, start_time: datetime, end_time: datetime, *, owner: str = ""
    ) -> None:
        table = self._table()
        table.DB.record_delete(table.TABLE, {"session": session})
        row = {"session": session, "image": image, "owner": owner}
        table.DB.record_create(table.TABLE, {**row, "began": start_time, "ended": end_time})

    def get_stats(self, dates: Sequence[date]) -> list[UsageStats]:
        return []

    def get_periods(
        self, start: datetime, end: datetime, step: Literal["hour", "day", "week"] = "day"
    ) -> list[UsagePeriod]:
        found, length = [], timedelta(days=7 if step == "week" else 1)
        if step == "week":
            start -= timedelta(days=start.weekday())
        while start < end:
            uses = list(self.get_sessions(start, start + length))
            owners = {one.owner for one in uses}
            hours = sum(one.hours for one in uses)
            found.append(UsagePeriod(start, start + length, len(uses), len(owners), hours))
            start += length
        return found

    def get_sessions(
        self, start: datetime, end: datetime, *, owner: str | None = None
    ) -> Iterator[SessionUse]:
        table = self._table()
        for row in table.DB.record_scan(table.TABLE):
            if row["began"] < end and row["ended"] >= start and owner in (None, row["owner"]):
                yield SessionUse(
                    row["session"], row["owner"], row["image"], row["began"], row["ended"]
                )


class Pages(Handler):
    """A page of its own, one that fails, and a script on all pages."""

    provides = (JBPluginHandler.JBP_HANDLER, JBPluginHandler.JBP_JS_TOP)

    def register(self, app: Any) -> None:
        base = app.settings["handler_base"]

        class Hello(base):  # type: ignore[misc, valid-type]
            def get(self) -> None:
                self.finish(f"hello {self.current_user['name']}")

            def post(self) -> None:
                self.finish("changed")

        class Broken(base):  # type: ignore[misc, valid-type]
            def get(self) -> None:
                raise ValueError("secret of the plugin")

        prefix = f"{app.settings['plugin_prefix']}{self.name}/"
        app.add_handlers(".*", [(f"{prefix}hello", Hello), (f"{prefix}broken", Broken)])

    def script(self) -> Path:
        return HERE / "static" / "top.js"


class Piece(Widget):
    """A head and a section."""

    provides = (JBPluginUI.JBP_UI_SESSION_HEAD, JBPluginUI.JBP_UI_CONFIG_SECTION)

    def get_template(self, plugin_type: str) -> Path:
        name = "head" if plugin_type == JBPluginUI.JBP_UI_SESSION_HEAD else "section"
        return HERE / "templates" / f"{name}.html"


class BrokenPiece(Piece):
    """A section whose template is missing, and one that fails."""

    def get_template(self, plugin_type: str) -> Path:
        name = "missing" if plugin_type == JBPluginUI.JBP_UI_SESSION_HEAD else "failing"
        return HERE / "templates" / f"{name}.html"


class BrokenPages(Handler):
    """Fails when it should add its pages."""

    provides = (JBPluginHandler.JBP_HANDLER,)

    def register(self, app: Any) -> None:
        raise RuntimeError("no pages today")


class Outside(TopScript):
    """Names a script outside its static folder."""

    provides = (JBPluginHandler.JBP_JS_TOP,)

    def script(self) -> Path:
        return HERE / "templates" / "head.html"


class NoCompute(JBPluginCloud):
    """Lacks every method that its feature demands."""

    provides = (JBPluginCloud.JBP_COMPUTE,)
