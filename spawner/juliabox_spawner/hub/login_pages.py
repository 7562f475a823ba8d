"""The log-in page, and the pages of log-ins at a provider, which end there when they fail."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.handlers.login import LoginHandler
from tornado import web

from juliabox_ext.errors import JuliaBoxError, UnavailableError
from juliabox_spawner.hub.login_buttons import render_buttons

#: Bytes of the largest form of a log-in or account page.
MAX_FORM = 16 * 1024

#: Characters of what a provider's fault is logged with.
LONGEST_REASON = 300


def refuse_large_form(handler: Any) -> None:
    """Raise 413 for a form that no person filled in."""
    if len(handler.request.body) > MAX_FORM:
        raise web.HTTPError(413, "The form is too large.")


class LoginError(web.HTTPError):
    """A log-in that failed, as a page: the reason for the person, and its stable code."""

    def __init__(self, cause: JuliaBoxError) -> None:
        super().__init__(cause.status, "%s (%s)", cause.message, cause.code)
        self.jupyterhub_message = cause.message
        self.code = cause.code


class PageWithButtons(BaseHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """Base of pages that may end in the log-in page."""

    def render_template(self, name: str, sync: bool = False, **ns: Any) -> Any:
        """Render a page; the log-in page with the pieces of the plugins."""
        if name == "login.html":
            # `authenticator` of a page may be one of several; the application's has them all
            everybody = self.settings["authenticator"]
            username = ns.get("username") or ""
            ns["juliabox_buttons"] = render_buttons(self, everybody.logins, username)
            ns["login_code"] = getattr(ns.get("exception"), "code", "")
        return super().render_template(name, sync=sync, **ns)

    def _handle_request_exception(self, e: BaseException) -> None:
        """Tell an error of ours with its own status, text and code."""
        if isinstance(e, JuliaBoxError):
            try:
                raise LoginError(e) from e
            except LoginError as told:
                super()._handle_request_exception(told)
        else:
            super()._handle_request_exception(e)

    def local_next(self) -> str:
        """Return the local address to go to after the log-in; raise 400 for control characters."""
        given = self.get_argument("next", "", strip=False)
        if any(ord(character) < 32 for character in given):
            raise web.HTTPError(400, "The address to go to is not valid.")
        local: str = self._validate_next_url(given) if given else ""
        return local


class LoginPage(PageWithButtons, LoginHandler):  # type: ignore[misc]
    """JupyterHub's log-in page, which neither works on nor gives back a huge form."""

    def render_template(self, name: str, sync: bool = False, **ns: Any) -> Any:
        """Render a page; the error of a huge form is not shown in the form again."""
        if name == "error.html" and len(self.request.body) > MAX_FORM:
            return BaseHandler.render_template(self, name, sync=sync, **ns)
        return super().render_template(name, sync=sync, **ns)

    def get_next_url(self, *args: Any, **kwargs: Any) -> str:
        """Return where to go after the log-in; raise 400 for an address with control characters."""
        self.local_next()
        url: str = super().get_next_url(*args, **kwargs)
        return url

    async def post(self) -> None:
        """Log in."""
        refuse_large_form(self)
        await super().post()


class ProviderPage(PageWithButtons):
    """Mixed into each page of a log-in at a provider: a failure is told on the log-in page.

    Whatever goes wrong at the provider is logged and told as such, without what it said.
    """

    def render_template(self, name: str, sync: bool = False, **ns: Any) -> Any:
        """Render the log-in page in place of the error's."""
        if name == "error.html":
            name = "login.html"
            ns["login_error"] = ns.get("message") or ns.get("status_message")
            ns["xsrf"] = self.xsrf_token.decode("ascii")
        return super().render_template(name, sync=sync, **ns)

    def _handle_request_exception(self, e: BaseException) -> None:
        told = isinstance(e, JuliaBoxError | web.Finish) or (
            isinstance(e, web.HTTPError) and e.status_code < 500
        )
        if told:
            super()._handle_request_exception(e)
            return
        service = self.authenticator.service
        reason = repr(str(e))[:LONGEST_REASON]
        self.log.error("The log-in with %s failed: %s: %s", service, type(e).__name__, reason)
        # not "from e": the library's error is logged above, in one line
        failure = UnavailableError(
            f"{service} could not confirm who you are. Try again; if it fails again, tell the "
            "administrator.",
            code="login.provider",
        )
        super()._handle_request_exception(failure)

    def redirect(self, url: str, *args: Any, **kwargs: Any) -> None:
        """Go on, to the provider or into the service."""
        self.set_header("Cache-Control", "no-store")
        if urlsplit(url).scheme not in ("", "http", "https"):
            raise web.HTTPError(500, "The address of the provider is not valid.")
        super().redirect(url, *args, **kwargs)
