"""What every handler of the portal shares: who calls, XSRF, limits, headers and errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog
from jupyterhub.services.auth import HubOAuthenticated
from tornado.web import HTTPError, RequestHandler

from juliabox_ext.errors import InternalError, JuliaBoxError, PolicyError, UnavailableError
from juliabox_services.portal import presentation
from juliabox_services.portal.settings import PortalSettings

log = structlog.get_logger("juliabox.portal")

#: Largest body of a request, in bytes, unless its handler says otherwise.
BODY_BYTES = 64 * 1024
_READS = {"GET", "HEAD", "OPTIONS"}

POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "object-src 'none'",
    ]
)


def policy(settings: PortalSettings) -> str:
    """Return the policy of pages; with subdomains a session's frame has its person's own host.

    The hub's host is on the way there: the session's log-in goes by it.
    """
    if not settings.hub_host:
        return POLICY
    parts = urlsplit(settings.hub_host)
    hosts = f"{parts.scheme}://{parts.netloc} {parts.scheme}://*.{parts.netloc}"
    return f"{POLICY}; frame-src 'self' {hosts}"


def hub_is_down(error: HTTPError) -> bool:
    """Tell whether an error of JupyterHub's own client means that the hub did not answer."""
    return error.status_code >= 500


class SafeErrors(RequestHandler):
    """Headers of every answer, and errors that show a code and no traceback."""

    #: Whether errors are JSON.
    api = False

    def set_default_headers(self) -> None:
        """Set the security headers; nothing of a person is kept by a cache."""
        self.set_header("Content-Security-Policy", policy(self.portal))
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Server", "JuliaBox")

    @property
    def portal(self) -> PortalSettings:
        """The portal's settings."""
        settings: PortalSettings = self.settings["portal"]
        return settings

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        """Log a fault of ours with its traceback, everything else in one line."""
        where = {"method": self.request.method, "path": self.request.path}
        if isinstance(value, HTTPError):
            log.info("request refused", status=value.status_code, reason=value.log_message, **where)
        elif isinstance(value, JuliaBoxError) and not isinstance(value, InternalError):
            log.warning("request failed", code=value.code, reason=value.message, **where)
        else:
            log.error("request broke", exc_info=(kind, value, trace), **where)

    def write_error(self, status_code: int, **details: Any) -> None:
        """Write an error as JSON or as a page: code and message, and when to try again."""
        error = details.get("exc_info", (None, None, None))[1]
        status, code, message = describe(error, status_code)
        self.set_status(status)
        if getattr(error, "retryable", False):
            self.set_header("Retry-After", "5")
        if self.api:
            self.set_header("Content-Type", "application/json")
            self.finish(msgspec.json.encode({"code": code, "message": message}))
            return
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.finish(self._error_page(status, code, message))

    def _error_page(self, status: int, code: str, message: str) -> str:
        try:
            return presentation.render_error(
                self.settings["templates"],
                portal_url=self.portal.prefix,
                hub_url=f"{self.portal.hub_host}{self.portal.base_url}hub/",
                status=status,
                code=code,
                message=message,
            )
        except Exception:
            log.exception("the page of errors cannot be rendered")
            return f"<!doctype html><title>{status}</title><h1>{status}</h1><p>{code}</p>"

    def on_finish(self) -> None:
        """Count the request."""
        self.settings["metrics"].answered(
            type(self).__name__, self.get_status(), self.request.request_time()
        )


def describe(error: BaseException | None, status: int) -> tuple[int, str, str]:
    """Return status, code and message that a caller sees of an error."""
    if isinstance(error, JuliaBoxError):
        return error.status, error.code, error.message
    if isinstance(error, HTTPError) and error.status_code < 500:
        reason = error.log_message or error.reason or HTTPStatus(error.status_code).phrase
        return error.status_code, f"http.{error.status_code}", str(reason).partition("%")[0]
    if error is None and status < 500:
        return status, f"http.{status}", HTTPStatus(status).phrase
    return 500, "internal", "Something is wrong with this page; the portal's log has the cause."


class PortalHandler(HubOAuthenticated, SafeErrors):  # type: ignore[misc]  # JupyterHub is untyped
    """A page or route for somebody who is logged in.

    Plugins derive from it (``app.settings["handler_base"]``). ``self.current_user`` is the hub's
    model of the caller. A request that changes something must carry the XSRF token, in the header
    ``X-XSRFToken`` or the form's field ``_xsrf``, unless it has a token of the hub's API.
    """

    #: Scope of the hub that a caller needs besides access to the portal.
    needs = ""
    #: Largest body in bytes.
    body_bytes = BODY_BYTES

    @property
    def hub_auth(self) -> Any:
        """The application's end of the hub's OAuth."""
        return self.settings["hub_auth"]

    def get_current_user(self) -> dict[str, Any] | None:
        """Return whom :meth:`prepare` found."""
        return getattr(self, "_caller", None)

    def get_login_url(self) -> str:
        """Return the hub's page for log-ins, with a state that is kept here."""
        url: str = super().get_login_url()
        return url

    async def prepare(self) -> None:
        """Find out who calls; refuse what lacks log-in, scope or XSRF token, or is too large."""
        if len(self.request.body) > self.body_bytes:
            raise HTTPError(413, f"The request is over {self.body_bytes} bytes")
        user = await self._identify()
        if user is None:
            self._send_to_login()
            return
        if self.request.method not in _READS:
            self.check_xsrf_cookie()
        self._caller = user
        if self.needs and not self.may(self.needs):
            raise PolicyError(
                f"This page is for people with the scope {self.needs}", code="portal.scope"
            )

    async def _identify(self) -> dict[str, Any] | None:
        try:
            user = await self.hub_auth.get_user(self, sync=False)
        except HTTPError as error:
            if hub_is_down(error):
                raise UnavailableError(
                    "JuliaBox's hub does not answer; try again in a moment", code="portal.hub"
                ) from error
            raise
        if user is None:
            return None
        if not self.hub_auth.check_scopes(self.hub_auth.access_scopes, user):
            raise PolicyError(f"{user['name']} may not use the portal", code="portal.access")
        checked: dict[str, Any] = user
        return checked

    def _send_to_login(self) -> None:
        """Send a browser to the log-in; tell everybody else."""
        mode = self.request.headers.get("Sec-Fetch-Mode", "navigate")
        if self.api or self.request.method not in {"GET", "HEAD"} or mode != "navigate":
            if self.hub_auth.get_token(self):
                raise HTTPError(403, "The XSRF token is missing or belongs to another log-in")
            raise PolicyError("Log in first", code="portal.login")
        self.redirect(self.get_login_url())

    def may(self, scope: str) -> bool:
        """Return whether the caller's token has a scope, wholly or in part."""
        return bool(self.current_user and self.hub_auth.check_scopes({scope}, self.current_user))

    @property
    def admin(self) -> bool:
        """Whether the caller is an admin."""
        return self.may("admin-ui")

    @property
    def name(self) -> str:
        """The caller's name."""
        return str(self.current_user["name"])

    @property
    def token(self) -> str:
        """The caller's own token, with which the portal acts for them."""
        return str(self.hub_auth.get_token(self))

    def answer(self, value: Any, status: int = 200) -> None:
        """Answer with a value as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(value))
