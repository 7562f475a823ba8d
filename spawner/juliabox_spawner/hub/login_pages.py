"""The log-in page."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.handlers.login import LoginHandler
from tornado import web

#: Bytes of the largest form of a log-in or account page.
MAX_FORM = 16 * 1024


def refuse_large_form(handler: Any) -> None:
    """Raise 413 for a form that no person filled in."""
    if len(handler.request.body) > MAX_FORM:
        raise web.HTTPError(413, "The form is too large.")


class LoginPage(LoginHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """JupyterHub's log-in page, which neither works on nor gives back a huge form."""

    def render_template(self, name: str, **ns: Any) -> Any:
        """Render a page; the error of a huge form is not shown in the form again."""
        if name == "error.html" and len(self.request.body) > MAX_FORM:
            return BaseHandler.render_template(self, name, **ns)
        return super().render_template(name, **ns)

    def get_next_url(self, *args: Any, **kwargs: Any) -> str:
        """Return where to go after the log-in; raise 400 for an address with control characters."""
        if any(ord(character) < 32 for character in self.get_argument("next", "", strip=False)):
            raise web.HTTPError(400, "The address to go to is not valid.")
        url: str = super().get_next_url(*args, **kwargs)
        return url

    async def post(self) -> None:
        """Log in."""
        refuse_large_form(self)
        await super().post()
