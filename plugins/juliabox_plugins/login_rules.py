"""What JuliaBox adds to each of oauthenticator's classes.

One cookie for each log-in, so that an answer of one provider is never taken for another's; local
addresses to go to; bounds of time and size for what the provider says; who may come in.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from oauthenticator.oauth2 import (
    OAuthCallbackHandler,
    OAuthenticator,
    OAuthLoginHandler,
)
from tornado import web
from tornado.httpclient import AsyncHTTPClient
from traitlets import Bool, Set, Unicode, default

from juliabox_ext.errors import PolicyError, RequestError, UnavailableError
from juliabox_spawner import usernames

#: Seconds that a person has at the provider.
STATE_LIFE = 1800

#: Seconds until a provider must answer, and bytes that it may answer.
TIME_OUT = 10.0
MAX_ANSWER = 2**20


class _StateCookie:
    """The state of a log-in under way, in a cookie of this log-in alone."""

    authenticator: Any
    hub: Any

    @property
    def _cookie(self) -> str:
        secure = self.settings.get("cookie_host_prefix_enabled")  # type: ignore[attr-defined]
        return f"{'__Host-' if secure else ''}juliabox-login-{self.authenticator.login_name}"

    def set_state_cookie(self, state_cookie_value: str) -> None:
        """Keep the state; the browser sends it back with the provider's redirect."""
        self._set_cookie(  # type: ignore[attr-defined]
            self._cookie,
            state_cookie_value,
            expires_days=None,
            max_age=STATE_LIFE,
            httponly=True,
            samesite="Lax",
            path=self.hub.base_url,
        )

    def get_state_cookie(self) -> str:
        """Return the state and forget it: an answer counts once."""
        if self._state_cookie is None:
            kept = self.get_secure_cookie(  # type: ignore[attr-defined]
                self._cookie, max_age_days=STATE_LIFE / 86400
            )
            self._state_cookie: str | None = (kept or b"").decode("utf-8", "replace")
            path = "/" if self._cookie.startswith("__Host-") else self.hub.base_url
            self.clear_cookie(  # type: ignore[attr-defined]
                self._cookie, path=path, **self._secured()
            )
        return self._state_cookie

    def _secured(self) -> dict[str, bool]:
        return {"secure": True} if self._cookie.startswith("__Host-") else {}


class StartPage(_StateCookie, OAuthLoginHandler):  # type: ignore[misc]  # oauthenticator is untyped
    """``/hub/<plugin>/oauth_login``: on to the provider."""

    async def get(self) -> None:
        """Send the browser to the provider."""
        await self.authenticator.prepare()
        super().get()

    def _get_next_url(self) -> str:
        local: str = self.local_next()
        return local


class ReturnPage(_StateCookie, OAuthCallbackHandler):  # type: ignore[misc]
    """``/hub/<plugin>/oauth_callback``: back from the provider."""

    async def get(self) -> None:
        """Log in, and go where the person wanted to."""
        await self.authenticator.prepare()
        await super().get()

    def check_error(self) -> None:
        """Raise ``PolicyError`` if the provider, or the person there, refused.

        Some providers say so without the state, and nobody is let in by it.
        """
        error = self.get_argument("error", "")
        if error:
            self.get_state_cookie()
            self.log.warning("%s refused: %s", self.authenticator.service, usernames.shown(error))
            raise PolicyError(
                f"{self.authenticator.service} did not let you in, or you went back. Try again.",
                code="login.refused",
            )

    def check_code(self) -> None:
        """Raise ``RequestError`` if there is no code."""
        if not self.get_argument("code", ""):
            raise self._wrong("there is no code in it")

    def check_state(self) -> None:
        """Raise ``RequestError`` unless this browser began this log-in."""
        try:
            super().check_state()
        except web.HTTPError as error:
            raise self._wrong(str(error.log_message)) from None

    def _wrong(self, reason: str) -> RequestError:
        self.log.warning("Callback of %s refused: %s", self.authenticator.service, reason)
        return RequestError(
            "This log-in is not under way in this browser: it was begun elsewhere, took too long, "
            "or was finished already. Begin again.",
            code="login.callback",
        )


class ProviderRules(OAuthenticator):  # type: ignore[misc]  # oauthenticator is untyped
    """Put before one of oauthenticator's classes."""

    login_handler = StartPage
    callback_handler = ReturnPage
    service: str = ""

    button = Unicode(config=True, help="""Text of the button after "Sign in with".""")
    allow = Set(
        config=True,
        help="""Names at the provider that may come in, in normal form.

        Together with `mail_domains`: either suffices.
        """,
    )
    mail_domains = Set(
        config=True,
        help="""Domains whose people may come in.

        Only a mail address that the provider says is confirmed counts. Subdomains do not.
        """,
    )
    everybody = Bool(
        False,
        config=True,
        help="""Whether everybody may come in whom the provider knows.

        False, as that is all the world at most providers.
        """,
    )

    @default("http_client")
    def _bounded_client(self) -> Any:
        return AsyncHTTPClient(
            force_instance=True,
            max_clients=50,
            max_body_size=MAX_ANSWER,
            defaults={
                "connect_timeout": TIME_OUT / 2,
                "request_timeout": TIME_OUT,
                "follow_redirects": False,
            },
        )

    async def prepare(self) -> None:
        """Find out what is needed of the provider before a log-in; nothing, usually."""

    async def fetch(
        self, req: Any, label: str = "fetching", parse_json: bool = True, **kwargs: Any
    ) -> Any:
        """Return what the provider answers; its text is not logged, however long it is."""
        answer = await self.http_client.fetch(req, **kwargs)
        return json.loads(answer.body) if parse_json else answer

    async def get_token_info(self, handler: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Return what the provider gives for the code."""
        try:
            found = await super().get_token_info(handler, params)
        except web.HTTPError as error:
            # the provider's own reason is for the operator; an answer of another shape may have
            # secrets in it
            refused = error.status_code == HTTPStatus.FORBIDDEN
            reason = error.log_message if refused else "there is none in the answer"
            raise ValueError(f"no token: {reason}") from None
        if not isinstance(found.get("access_token"), str):
            raise TypeError("the access token is no text")
        return {"token_type": "Bearer", **found}

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Return what the provider tells of the person."""
        found = await super().token_to_user(token_info)
        if not isinstance(found, dict):
            raise TypeError("what the provider tells of the person is no JSON object")
        return dict(found)

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """Return the name; raise ``PolicyError`` if the provider tells none that can be relied on.

        A mail address that is not confirmed is anybody's.
        """
        claim = self.username_claim
        name = user_info.get(claim)
        if not isinstance(name, str) or not name.strip():
            raise PolicyError(f"{self.service} told no name for you ({claim}).", code="login.name")
        if claim == "email" and not self.details(user_info)["email_verified"]:
            raise PolicyError(
                f"Your mail address is not confirmed at {self.service}.", code="login.mail"
            )
        return name

    def details(self, user_info: dict[str, Any]) -> dict[str, Any]:
        """Return what is told of a person to whoever decides who may come in."""
        subject, email = user_info.get("sub"), user_info.get("email")
        return {
            "subject": str(subject) if subject else "",
            "email": email if isinstance(email, str) else "",
            # a text "true" of some providers counts; nothing else does
            "email_verified": user_info.get("email_verified") in (True, "true"),
        }

    async def update_auth_model(self, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Add the details."""
        model: dict[str, Any] = await super().update_auth_model(auth_model)
        user_info = model["auth_state"][self.user_auth_state_key]
        return {**model, "details": self.details(user_info)}

    async def check_allowed(self, username: str, auth_model: dict[str, Any] | None) -> bool:
        """Return True for those who may come in; raise ``PolicyError`` for others.

        ``username`` is the bare name.
        """
        if auth_model is None:  # asked by somebody who has not logged in
            return False
        full = auth_model["name"]
        if self.everybody or username in self.allow or full in self.admin_users:
            return True
        details = auth_model["details"]
        domain = details["email"].rpartition("@")[2].casefold()
        listed = bool(domain) and domain in self.mail_domains
        if listed and details["email_verified"]:
            return True
        self.log.warning("%s is not among those who may log in", usernames.shown(full))
        unconfirmed = f" Your mail address is not confirmed at {self.service}." if listed else ""
        raise PolicyError(
            f"{username} of {self.service} may not log in here.{unconfirmed} Ask the administrator "
            "to be let in.",
            code="login.refused",
        )

    async def _json(self, url: str, what: str) -> dict[str, Any]:
        """Return a document of the provider; raise ``UnavailableError`` if there is none."""
        try:
            found = await self.httpfetch(url, label=what, validate_cert=self.validate_server_cert)
        except Exception as error:
            self.log.error("%s: %s: %s", what, type(error).__name__, error)
            raise self._away() from error
        if not isinstance(found, dict):
            self.log.error("%s: no JSON object", what)
            raise self._away()
        return found

    def _away(self) -> UnavailableError:
        return UnavailableError(
            f"{self.service} does not answer as it should. Try again later.",
            code="login.provider",
        )
