"""REST API of accounts, for the command line: give a person a password."""

from __future__ import annotations

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from tornado import web


class AccountApi(APIHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """``PUT /hub/api/juliabox/accounts/NAME``: set the password and authorise the account."""

    @needs_scope("admin:users")  # type: ignore[untyped-decorator]
    async def put(self, user_name: str) -> None:
        """Take ``{"password": …}``; answer 204. The person's other log-ins end."""
        if self.find_user(user_name) is None:
            raise web.HTTPError(404, "There is no such user.")
        body = self.get_json_body()
        password = body.get("password") if isinstance(body, dict) else None
        if not isinstance(password, str):
            raise web.HTTPError(400, "The body must be an object with a password.")
        await self.authenticator.set_password(user_name, password)
        self.authenticator.authorize(user_name, True)
        self.set_status(204)


#: Paths below ``/hub``.
HANDLERS = [(r"/api/juliabox/accounts/([^/]+)", AccountApi)]
