"""Several log-ins side by side, on jupyterhub-multiauthenticator.

It makes an authenticator of each class and puts their pages below a path of their own. What it
leaves open is done here: the database for the hub's own accounts, names, admins, what is asked
after a log-in, deletion and refresh by the log-in that a person belongs to, and the pages.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Iterable
from typing import Any, ClassVar

from jupyterhub.handlers.login import LoginHandler
from jupyterhub.utils import maybe_future
from multiauthenticator import MultiAuthenticator
from tornado import web
from traitlets import default

from juliabox_ext.errors import PolicyError, UnavailableError
from juliabox_spawner import usernames
from juliabox_spawner.hub import start_pages
from juliabox_spawner.hub.login_pages import LoginPage, PageWithButtons, ProviderPage
from juliabox_spawner.hub.logins import NATIVE, LoadedLogin, Logins
from juliabox_spawner.hub.people import RESOURCES, PeopleAuthenticator

#: Seconds that a log-in at a provider may take.
PATIENCE = 10.0


class Member(PeopleAuthenticator):
    """Mixed into the class of each log-in; MultiAuthenticator's wrapper comes before it."""

    #: Name of the plugin, what the button says, and what comes before the names of its people.
    login_name: ClassVar[str] = ""
    service: ClassVar[str] = ""
    prefix: ClassVar[str] = ""

    async def authenticate(self, handler: Any, data: Any = None, **kwargs: Any) -> Any:
        """Return the auth model with a legal bare name, or None."""
        attempt = maybe_future(super().authenticate(handler, data, **kwargs))
        if not self.prefix:
            return await attempt
        try:
            found = await asyncio.wait_for(attempt, PATIENCE)
        except TimeoutError as error:
            raise UnavailableError(
                f"{self.service} did not answer in time. Try again later.", code="login.provider"
            ) from error
        if found is None:
            return None
        model = dict(found) if isinstance(found, dict) else {"name": found}
        model["name"] = self.legal_name(model.get("name"))
        return model

    def legal_name(self, given: object) -> str:
        """Return the normalised bare name; raise ``PolicyError`` if it is not legal here."""
        name = usernames.normalize(given) if isinstance(given, str) else ""
        reason = usernames.problem(name) or usernames.full_problem(
            f"{self.prefix}{name}", [self.login_name]
        )
        if reason:
            self.log.warning(
                "%s gave a name that is not legal: %s", self.login_name, usernames.shown(given)
            )
            raise PolicyError(
                f"Your name at {self.service} cannot be used here. {reason}", code="login.name"
            )
        return name

    def validate_username(self, username: str) -> bool:
        """Return whether a name, with the plugin's before it, is one of this log-in."""
        return username.startswith(self.prefix) and not usernames.problem(
            username.removeprefix(self.prefix)
        )

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return the pages of this log-in alone."""
        return [
            (path, LoginPage if handler is LoginHandler else handler)
            for path, handler in super().get_handlers(app)
            if path not in (*dict(RESOURCES), r"/logout", *start_pages.PATHS)
        ]


class SeveralLogins(PeopleAuthenticator, MultiAuthenticator):  # type: ignore[misc]
    """The hub's authenticator when there is more than one log-in, or one at a provider."""

    @default("authenticators")
    def _members(self) -> list[dict[str, Any]]:
        return [self._entry(member) for member in self.logins.members]

    def _entry(self, member: LoadedLogin) -> dict[str, Any]:
        prefix = "" if member.name == self.logins.bare else f"{member.name}:"
        made = subclass(
            f"{member.name.title()}Member",
            (Member, member.authenticator),
            {
                "login_name": member.name,
                "service": member.service,
                "prefix": prefix,
                "logins": self.logins,
            },
        )
        admins = member.traits.get("admin_users", ())
        own = self.own_admins(self.admin_users) if not prefix else full_names(member.name, admins)
        traits = {
            # not those of `c.Authenticator`, which are the hub's own accounts'
            "allow_all": False,
            **member.traits,
            "admin_users": own,
            "db": self._deprecated_db_session,
            "_deprecated_db_session": self._deprecated_db_session,
        }
        path = f"/{member.name}" if prefix else ""
        return {"authenticator_class": made, "url_prefix": path, "config": traits}

    @staticmethod
    def own_admins(names: Iterable[str]) -> set[str]:
        """Return the names without a plugin's before them."""
        return {name for name in names if not usernames.split(name)[0]}

    def member(self, name: str) -> Any:
        """Return the authenticator of a plugin's name, or None."""
        return next((one for one in self._authenticators if one.login_name == name), None)

    def member_of(self, username: str) -> Any:
        """Return the authenticator that a person belongs to, or None if it is not used any more."""
        return self.member(usernames.split(username)[0] or self.logins.bare)

    async def get_authenticated_user(self, handler: Any, data: Any) -> Any:
        """Log in with name and password outside of a log-in's own pages."""
        native = self.member(NATIVE)
        if native is None:
            raise web.HTTPError(404, "Nobody logs in with a password here.")
        return await native.get_authenticated_user(handler, data)

    def validate_username(self, username: str) -> bool:
        """Return whether a normalised name is legal."""
        names = [one.login_name for one in self._authenticators if one.prefix]
        return not usernames.full_problem(username, names)

    def add_user(self, user: Any) -> Any:
        """Tell the log-in that a person belongs to."""
        member = self.member_of(user.name)
        return super().add_user(user) if member is None else member.add_user(user)

    async def refresh_user(self, user: Any, handler: Any = None) -> Any:
        """Let the log-in that a person belongs to say whether it still holds.

        It does not if that log-in is not used any more.
        """
        member = self.member_of(user.name)
        return member is not None and await maybe_future(member.refresh_user(user, handler))

    async def delete_user(self, user: Any) -> None:
        """Put the home aside, and let the log-in forget the person."""
        member = self.member_of(user.name)
        await (super().delete_user(user) if member is None else member.delete_user(user))

    def pre_spawn_start(self, user: Any, spawner: Any) -> Any:
        """Ask the log-in that a person belongs to, too."""
        member = self.member_of(user.name)
        if member is None:
            return super().pre_spawn_start(user, spawner)
        return member.pre_spawn_start(user, spawner)

    def post_spawn_stop(self, user: Any, spawner: Any) -> Any:
        """Tell the log-in that a person belongs to."""
        member = self.member_of(user.name)
        if member is None:
            return super().post_spawn_stop(user, spawner)
        return member.post_spawn_stop(user, spawner)

    def get_custom_html(self, base_url: str) -> str:
        """Return nothing: the page has places of its own for the buttons."""
        return ""

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return the pages of all log-ins, each with its own authenticator."""
        routes = [*RESOURCES]
        if not any(one.prefix == "" for one in self._authenticators):
            routes.append((r"/login", LoginPage))
        for member in self._authenticators:
            for path, handler in member.get_handlers(app):
                own = not member.prefix or issubclass(handler, PageWithButtons)
                bases = (handler,) if own else (ProviderPage, handler)
                routes.append((path, type(handler.__name__, bases, {"authenticator": member})))
        return routes


def full_names(login: str, names: Iterable[str]) -> set[str]:
    """Return normalised names with the plugin's before them."""
    return {f"{login}:{usernames.normalize(name)}" for name in names}


def with_logins(base: type[Any], logins: Logins) -> type[Any]:
    """Return a class that knows the log-ins; a class, as traits copy what they are given."""
    return subclass(f"{base.__name__}OfHub", (base,), {"logins": logins})


def subclass(name: str, bases: tuple[type[Any], ...], namespace: dict[str, Any]) -> type[Any]:
    """Make a class of authenticators, with the metaclass that finds their traits."""
    made: type[Any] = types.new_class(name, bases, exec_body=lambda body: body.update(namespace))
    return made
