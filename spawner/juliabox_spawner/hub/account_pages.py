"""Pages of accounts: sign-up, authorisation and passwords. Every change is a POST with a token."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.scopes import needs_scope
from tornado import web

from juliabox_spawner.hub.login_pages import refuse_large_form
from juliabox_spawner.hub.password_api import PasswordResource, WaitingResource, refuse_lesser


class AccountPage(BaseHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """Base of the pages: one template, one message."""

    async def show(self, template: str, *, error: str = "", done: str = "", **ns: Any) -> None:
        """Render a page with a message of failure or success."""
        html = await self.render_template(template, error=error, done=done, **ns)
        self.finish(html)

    def field(self, name: str) -> str:
        """Return a field of the form, as it was typed; raise 413 for a huge form."""
        refuse_large_form(self)
        value: str = self.get_body_argument(name, "", strip=False)
        return value

    def new_password(self) -> str:
        """Return the new password of a form that asks for it twice."""
        password = self.field("new_password")
        if password != self.field("new_password_confirmation"):
            raise web.HTTPError(400, "The two passwords differ.")
        return password


class SignUpPage(AccountPage):
    """``/hub/signup``: ask for an account."""

    def _open(self) -> None:
        if not self.authenticator.enable_signup:
            raise web.HTTPError(404)
        if not self.authenticator.signup_open:
            raise web.HTTPError(403, "Registration is closed at the moment.")

    async def get(self) -> None:
        """Show the form."""
        self._open()
        await self._form()

    async def _form(self, **ns: Any) -> None:
        await self.show("signup.html", ask_email=self.authenticator.outbox is not None, **ns)

    async def post(self) -> None:
        """Make the account."""
        self._open()
        name, email = self.field("username"), self.field("email").strip()
        try:
            name = self.authenticator.checked_name({"username": name})
            await self.authenticator.sign_up(name, self.new_password(), email)
        except web.HTTPError as error:
            self.set_status(error.status_code)
            await self._form(error=str(error.log_message), username=name[:100], email=email[:254])
            return
        record = self.authenticator.record(name)
        if record.is_authorized:
            done = "Your account is ready. You can sign in."
        elif name in self.authenticator.registration.waiting:
            done = "Your account was made. Many people are signing up, so you can sign in later."
        else:
            done = "Your account was made. You can sign in once an administrator has authorised it."
        self.log.info("Sign-up of %s", name)
        await self._form(done=done)


class AuthorizationPage(AccountPage):
    """``/hub/authorize``: the accounts, for admins."""

    @needs_scope("admin:users")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """List the accounts."""
        await self.show(
            "authorization-area.html",
            accounts=self.authenticator.records(),
            turns=self.authenticator.registration.waiting,
            can_close=self.authenticator.enable_signup,
            closed=self.authenticator.registration.closed,
        )

    @needs_scope("admin:users")  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Authorise, lock out or discard one account, or turn the switch of registration."""
        name, action = self.field("username"), self.field("action")
        if action in {"close-registration", "open-registration"}:
            self.authenticator.registration.switch(action == "close-registration")
        elif action == "authorize":
            self.authenticator.authorize(name, True)
        elif action == "lock-out":
            if name == self.current_user.name:
                raise web.HTTPError(400, "You cannot lock yourself out.")
            self.authenticator.authorize(name, False)
        elif action == "discard":
            self.authenticator.discard(name)
        else:
            raise web.HTTPError(
                400,
                "The action is authorize, lock-out, discard, close-registration or "
                "open-registration.",
            )
        self.log.info("%s: %s by %s", name, action, self.current_user.name)
        self.redirect(f"{self.hub.base_url}authorize#{quote(name)}")


class ChangePasswordPage(AccountPage):
    """``/hub/change-password``: one's own password."""

    @web.authenticated
    async def get(self) -> None:
        """Show the form."""
        await self.show("change-password.html", own=True, user_name=self.current_user.name)

    @web.authenticated
    async def post(self) -> None:
        """Set the password, given the old one; other log-ins of this person end."""
        user = self.current_user
        try:
            if not await self.authenticator.check(self, user.name, self.field("old_password")):
                raise web.HTTPError(403, "The current password is not right.")
            await self.authenticator.set_password(user.name, self.new_password())
        except web.HTTPError as error:
            self.set_status(error.status_code)
            await self.show(
                "change-password.html", error=str(error.log_message), own=True, user_name=user.name
            )
            return
        self.set_login_cookie(user)
        await self.show(
            "change-password.html",
            done="Your password was changed. Other browsers were signed out.",
            own=True,
            user_name=user.name,
        )


class ChangeOtherPasswordPage(AccountPage):
    """``/hub/change-password/NAME``: another person's password, for admins."""

    def _check(self, user_name: str) -> None:
        if self.authenticator.record(user_name) is None and self.find_user(user_name) is None:
            raise web.HTTPError(404, "There is no such user.")
        refuse_lesser(self, user_name)

    @needs_scope("admin:users")  # type: ignore[untyped-decorator]
    async def get(self, user_name: str) -> None:
        """Show the form."""
        self._check(user_name)
        await self.show("change-password.html", own=False, user_name=user_name)

    @needs_scope("admin:users")  # type: ignore[untyped-decorator]
    async def post(self, user_name: str) -> None:
        """Set the password; log-ins of that person end."""
        self._check(user_name)
        try:
            await self.authenticator.set_password(user_name, self.new_password())
        except web.HTTPError as error:
            self.set_status(error.status_code)
            await self.show(
                "change-password.html", error=str(error.log_message), own=False, user_name=user_name
            )
            return
        await self.show(
            "change-password.html",
            done=f"The password of {user_name} was changed.",
            own=False,
            user_name=user_name,
        )


#: NativeAuthenticator's paths, ours behind them.
HANDLERS: list[tuple[str, Any]] = [
    (r"/signup", SignUpPage),
    (r"/authorize", AuthorizationPage),
    (r"/change-password", ChangePasswordPage),
    (r"/change-password/([^/]+)", ChangeOtherPasswordPage),
    (r"/api/users/([^/]+)/password", PasswordResource),
    (r"/api/sign-ups", WaitingResource),
]
