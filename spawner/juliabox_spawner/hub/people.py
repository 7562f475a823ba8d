"""What every authenticator of JuliaBox shares: names, rules after a log-in, and deletion."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from jupyterhub.apihandlers.groups import GroupAPIHandler
from jupyterhub.apihandlers.users import UserAPIHandler
from jupyterhub.auth import Authenticator
from jupyterhub.roles import assign_default_roles
from tornado import web

from juliabox_ext.errors import JuliaBoxError
from juliabox_spawner import usernames
from juliabox_spawner.failures import StartError
from juliabox_spawner.hub import admission, start_pages
from juliabox_spawner.hub.logins import Logins
from juliabox_spawner.hub.roles import is_operator
from juliabox_spawner.people_roles import PEOPLE_ROLES


class UserResource(UserAPIHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """JupyterHub's resource of one user, with two rules of ours.

    The name cannot be changed. The operator's service, which is no person and so never an admin to
    JupyterHub, may make admins.
    """

    async def post(self, user_name: str) -> None:
        """Add a user; raise 400 for a name that is not legal."""
        name = self.authenticator.normalize_username(user_name)
        if not self.authenticator.validate_username(name):
            reason = usernames.problem(name) or "No log-in here has such names."
            raise web.HTTPError(400, f"This is no user name. {reason}")
        admin = self._take_admin_flag()
        await super().post(name)
        self._grant(name, admin)

    async def patch(self, user_name: str) -> None:
        """Change a user's properties; a new name is refused.

        Homes belong to names: the renamed person would lose the files, and the next person of the
        old name would find them.
        """
        body = self.get_json_body()
        name = body.get("name", user_name) if isinstance(body, dict) else user_name
        if self.authenticator.normalize_username(str(name)) != user_name:
            raise web.HTTPError(
                400, "Users cannot be renamed: their files belong to the name. Add a new user."
            )
        admin = self._take_admin_flag()
        await super().patch(user_name)
        self._grant(user_name, admin)

    def _take_admin_flag(self) -> bool:
        """Take ``"admin": true`` out of the operator's request, to be granted afterwards."""
        body = self.get_json_body()
        if not (
            isinstance(body, dict) and body.get("admin") is True and is_operator(self.current_user)
        ):
            return False
        del body["admin"]
        self.request.body = json.dumps(body).encode()
        return True

    def _grant(self, name: str, admin: bool) -> None:
        user = self.find_user(name) if admin else None
        if user is None:
            return
        user.admin = True
        assign_default_roles(self.db, entity=user.orm_user)
        self.db.commit()
        self.log.info("%s was made an admin by the operator", name)
        model = {**self.user_model(user), "auth_state": None}
        self._write_buffer.clear()
        self.write(json.dumps(model))


class GroupResource(GroupAPIHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """JupyterHub's resource of one group, with a rule of ours: a role keeps its group."""

    def delete(self, group_name: str) -> None:
        """Delete a group; raise 400 for a role's.

        Nobody could be given the role again until the hub is started anew.
        """
        if group_name in PEOPLE_ROLES:
            raise web.HTTPError(
                400, f"The role {group_name} needs this group. Take its members out of it instead."
            )
        super().delete(group_name)


#: What stands in for resources of JupyterHub's API.
RESOURCES: list[tuple[str, Any]] = [
    (r"/api/users/([^/]+)", UserResource),
    (r"/api/groups/([^/]+)", GroupResource),
]


class PeopleAuthenticator(Authenticator):  # type: ignore[misc]  # JupyterHub is untyped
    """Base of JuliaBox's authenticators."""

    #: The log-ins of the hub, their buttons and the rules after a log-in.
    logins: ClassVar[Logins] = Logins()
    #: Name of the plugin, as rules are told; the only one unless a member of several says else.
    login_name: ClassVar[str] = ""

    def member(self, name: str) -> Any:
        """Return the authenticator of a plugin's name: this one, unless there are several."""
        return self

    def normalize_username(self, username: str) -> str:
        """Return the one spelling that stands for all spellings of a name."""
        return usernames.normalize(self.username_map.get(username, username))

    def validate_username(self, username: str) -> bool:
        """Return whether a normalised name is legal."""
        return not usernames.problem(username)

    def add_user(self, user: Any) -> Any:
        """Take a person in; one whose log-in is not used any more stays, and cannot log in."""
        login, _ = usernames.split(user.name)
        if login and not self.validate_username(user.name):
            self.log.warning("%s cannot log in: %s is not used any more", user.name, login)
            return None
        return super().add_user(user)

    async def run_post_auth_hook(self, handler: Any, auth_model: dict[str, Any]) -> Any:
        """Ask the rules, and whether the name still belongs to the same person.

        Raise ``PolicyError`` or ``UnavailableError`` with the reason for the person.
        """
        login = self.login_name or self.logins.bare
        details = {**auth_model.pop("details", {}), "login": login}
        auth_model = await super().run_post_auth_hook(handler, auth_model)
        await admission.check_rules(self.logins, auth_model["name"], details)
        kept = admission.check_identity(handler, auth_model["name"], details)
        if kept is not None:
            auth_model["user_info"] = {**(auth_model.get("user_info") or {}), **kept}
        return auth_model

    def checked_name(self, data: Any) -> str:
        """Return the normalised name of a log-in form; raise 400 with a reason if it is illegal."""
        given = data.get("username") if isinstance(data, dict) else None
        if not isinstance(given, str):
            raise web.HTTPError(400, "A user name is needed.")
        if len(given) > usernames.MAX_INPUT:
            raise web.HTTPError(400, "The user name is too long.")
        name = self.normalize_username(given)
        reason = usernames.problem(name)
        if reason:
            raise web.HTTPError(400, reason)
        return name

    async def delete_user(self, user: Any) -> None:
        """Stop a person's servers and put the home aside, before the account goes.

        Raise 503 if that fails: the account must stay, or a later person of the same name would
        find the files.
        """
        user.being_deleted = True
        try:
            await _empty(user)
        except BaseException:
            user.being_deleted = False
            raise
        super().delete_user(user)

    def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """Refuse a start of somebody who is being deleted: it would outlive the account."""
        if getattr(user, "being_deleted", False):
            raise StartError("This account is being deleted.", reason="deleted", status_code=409)
        super().pre_spawn_start(user, spawner)

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return the handlers that come before JupyterHub's own."""
        return [*super().get_handlers(app), *RESOURCES, *start_pages.HANDLERS]


async def _empty(user: Any) -> None:
    """Stop a person's servers and put the home aside."""
    for name, spawner in list(user.spawners.items()):
        if spawner.active:
            if spawner._spawn_future is not None:
                spawner._spawn_future.cancel()
            await user.stop(name)
    delete_home = getattr(user.spawner, "delete_home", None)
    if delete_home is None:
        return
    try:
        await delete_home()
    except JuliaBoxError as error:
        status = 409 if error.status == 409 else 503
        raise web.HTTPError(status, f"{user.name} was not deleted: {error.message}") from error
