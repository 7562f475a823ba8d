"""Providers of ``juliabox.handler`` that need nothing else, for tests of what uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from jupyterhub.auth import Authenticator
from jupyterhub.handlers.login import LoginHandler
from traitlets import Dict

from juliabox_ext.handler import Handler, JBPluginHandler, Login, PostLogin, TopScript


class FakeAuthenticator(Authenticator):  # type: ignore[misc]  # JupyterHub is untyped
    """Lets in who is listed, with the word that stands beside the name."""

    words = Dict(config=True, help="""Name -> word.""")

    async def authenticate(self, handler: Any, data: dict[str, Any]) -> dict[str, Any] | None:
        """Return the name and what is known of the person."""
        name = data.get("username", "")
        if not name or self.words.get(name) != data.get("password"):
            return None
        details = {
            "subject": f"subject of {name}",
            "email": f"{name}@example.org",
            "email_verified": True,
        }
        return {"name": name, "details": details}

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return a page with a form."""
        return [(r"/login", LoginHandler)]


class FakeLogin(Login):
    """A log-in of its own, with people that live in memory."""

    provides = (JBPluginHandler.JBP_HANDLER_AUTH,)
    WORDS: ClassVar = {"ada": "lovelace", "emmy": "noether"}

    def authenticator(self) -> type[Any]:
        """Return the class."""
        return FakeAuthenticator

    def traits(self) -> dict[str, Any]:
        """Return the people; Emmy is an admin."""
        return {"words": self.WORDS, "allow_all": True, "admin_users": {"emmy"}}


class FakeRule(PostLogin):
    """Keeps out those whose address is elsewhere."""

    provides = (JBPluginHandler.JBP_HANDLER_POST_AUTH,)
    DOMAIN = "example.org"

    def admit(self, name: str, details: dict[str, Any]) -> str:
        """Return why not; people without an address may come in."""
        address = str(details.get("email", ""))
        if not address or address.endswith(f"@{self.DOMAIN}"):
            return ""
        return f"Only people of {self.DOMAIN} may come in."


class FakeHandler(Handler):
    """A page that says hello."""

    provides = (JBPluginHandler.JBP_HANDLER,)

    def register(self, app: Any) -> None:
        """Add the page."""
        base = app.settings["handler_base"]

        def get(self: Any) -> None:
            self.write("hello")

        page = type("Hello", (base,), {"get": get})
        app.add_handlers(".*", [(app.settings["plugin_prefix"] + self.name + "/hello", page)])


class FakeTopScript(TopScript):
    """A script beside this module."""

    provides = (JBPluginHandler.JBP_JS_TOP,)
    FILE: ClassVar[Path] = Path(__file__).parent / "fake_static" / "fake.js"

    def script(self) -> Path:
        """Return the file."""
        return self.FILE
