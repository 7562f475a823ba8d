"""A page of the portal, and a script on all of its pages."""

from pathlib import Path
from typing import Any, ClassVar

from juliabox_ext.handler import Handler, JBPluginHandler, TopScript
from juliabox_greeting.settings import GreetingSettings


class GreetingPage(Handler, TopScript):
    """Greets the person who is logged in."""

    provides: ClassVar = [JBPluginHandler.JBP_HANDLER, JBPluginHandler.JBP_JS_TOP]
    Settings: ClassVar = GreetingSettings

    def register(self, app: Any) -> None:
        """Add ``/services/portal/plugins/greeting/hello``."""
        word = self.context.settings.word

        class Hello(app.settings["handler_base"]):
            def get(self) -> None:
                self.set_header("Content-Type", "text/plain")
                self.finish(f"{word}, {self.current_user['name']}!")

        prefix = app.settings["plugin_prefix"] + self.name
        app.add_handlers(".*", [(f"{prefix}/hello", Hello)])

    def script(self) -> Path:
        """Return the script; pictures beside it are served, too."""
        return Path(__file__).parent / "static" / "greeting.js"
