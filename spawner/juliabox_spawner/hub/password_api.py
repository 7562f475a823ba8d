"""``POST /hub/api/users/NAME/password``: set a person's password, for operators and admins."""

from __future__ import annotations

import json
import secrets
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from tornado import web

from juliabox_spawner.hub.roles import is_operator

#: Letters and digits that are not mistaken for each other when typed from a screen.
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class PasswordResource(APIHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """A person's password; it can be set and never read."""

    @needs_scope("admin:users")  # type: ignore[untyped-decorator]
    async def post(self, user_name: str) -> None:
        """Set ``{"password": "…"}``, or make one up and answer it as ``{"password": "…"}``.

        The account is authorised and the person's log-ins end. 404 for a name that no user has.
        """
        if self.find_user(user_name) is None:
            raise web.HTTPError(404, "There is no such user.")
        refuse_lesser(self, user_name)
        body = self.get_json_body() or {}
        given = body.get("password") if isinstance(body, dict) else None
        if given is not None and not isinstance(given, str):
            raise web.HTTPError(400, "The password must be a text.")
        password = given or made_up()
        await self.authenticator.set_password(user_name, password)
        self.authenticator.authorize(user_name, True)
        self.log.info("The password of %s was set by %s", user_name, self.current_user.name)
        if given:
            self.set_status(204)
        else:
            self.write(json.dumps({"name": user_name, "password": password}))


class WaitingResource(APIHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """``GET /hub/api/sign-ups``: who asked for an account and waits for an admin."""

    @needs_scope("admin-ui")  # type: ignore[untyped-decorator]
    def get(self) -> None:
        """Answer ``{"waiting": [name, …]}``, sorted."""
        waiting = [one.username for one in self.authenticator.records() if not one.is_authorized]
        self.write(json.dumps({"waiting": waiting}))


def refuse_lesser(handler: Any, user_name: str) -> None:
    """Raise 403 for an admin's password unless the caller may do all that an admin may.

    Whoever only manages users would else become an admin by it, which JupyterHub prevents
    everywhere else.
    """
    user = handler.find_user(user_name)
    admin = user_name in handler.authenticator.admin_users or (user is not None and user.admin)
    full = "shutdown" in handler.parsed_scopes or is_operator(handler.current_user)
    if admin and not full:
        raise web.HTTPError(403, "Only admins can set the password of an admin.")


def made_up() -> str:
    """Return a new password of about 116 bits."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups)
