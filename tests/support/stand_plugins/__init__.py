"""Plugins of a stranger, for the portal's tests: one of each kind, and ones that fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from juliabox_ext.cloud import JBPluginCloud
from juliabox_ext.handler import Handler, JBPluginHandler, TopScript
from juliabox_ext.ui import JBPluginUI, Widget

HERE = Path(__file__).parent


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
