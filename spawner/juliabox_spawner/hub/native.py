"""Log-in with names and passwords that are kept in the hub's database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jupyterhub import orm
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator.orm import UserInfo
from tornado import web
from traitlets import Any as AnyTrait
from traitlets import Integer, Unicode

from juliabox_ext.errors import NoRoomError
from juliabox_spawner.hub import account_pages, passwords, start_pages
from juliabox_spawner.hub.client_address import client_address
from juliabox_spawner.hub.login_pages import LoginPage
from juliabox_spawner.hub.outbox import address_problem
from juliabox_spawner.hub.people import PeopleAuthenticator
from juliabox_spawner.hub.registration import Registration
from juliabox_spawner.hub.secret_files import read_secret
from juliabox_spawner.usernames import problem, shown

#: Sign-ups that wait for an admin, beyond which more are refused.
MAX_PENDING = 200

#: Seconds between two looks at whose turn it is.
TURNS_INTERVAL = 15.0


class PasswordAuthenticator(PeopleAuthenticator, NativeAuthenticator):  # type: ignore[misc]
    """NativeAuthenticator with its records, and other ways to the same ends.

    Hashing never blocks the hub; a name is locked after wrong passwords; nobody is let in by
    signing up with a name that an admin added or that is an admin's; what changes an account is a
    form with an XSRF token, never a link.
    """

    first_admin = Unicode(
        config=True,
        help="""Name of the admin whose account is made when the hub starts.

        Empty: none is made.
        """,
    )
    first_password_file = Unicode(
        config=True,
        help="""File with the first admin's generated password.

        Read only to make the account; a password changed later is kept.
        """,
    )

    signup_rate = Integer(
        60,
        config=True,
        help="""Accounts per hour that open sign-up lets in at once.

        Whoever comes after them waits for a turn, which comes by itself; 0 means no bound.
        """,
    )
    folder = Unicode(
        config=True,
        help="""Folder that remembers the switch and the rate of registration over a restart.

        Empty: they are remembered in memory alone.
        """,
    )
    outbox = AnyTrait(
        None,
        allow_none=True,
        config=True,
        help="""Takes mail to people (:class:`juliabox_spawner.hub.outbox.Outbox`).

        None: nobody gets mail, and the sign-up page does not ask for an address.
        """,
    )
    site = Unicode(config=True, help="""Address of the service, as mail tells it.""")

    proxy_address = Unicode(
        config=True,
        help="""Address from which the proxy asks; it is believed whom it asks for.""",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guard = passwords.Guard(self.allowed_failed_logins, self.seconds_before_next_try)
        self.registration = Registration(
            Path(self.folder) if self.folder else None, self.signup_rate
        )
        self._background: set[asyncio.Task[None]] = set()
        self._make_first_admin()

    def _make_first_admin(self) -> None:
        name = self.normalize_username(self.first_admin)
        if not name or self.record(name) is not None:
            return
        password = read_secret(Path(self.first_password_file))
        self._add_record(name, passwords.hashed(password), authorized=True)
        self.log.info("Made the account of the first admin, %s", name)

    def record(self, name: str) -> Any:
        """Return the record of a normalised name, or None."""
        return UserInfo.find(self.db, name)

    def records(self) -> list[Any]:
        """Return all records, those that wait for an admin first, then by name."""
        return sorted(UserInfo.all_users(self.db), key=lambda r: (r.is_authorized, r.username))

    def _add_record(
        self, name: str, password: bytes, *, authorized: bool, email: str | None = None
    ) -> None:
        """Keep an account; raise 400 for a name that is no bare one, such as ``oidc:ada``."""
        reason = problem(name)
        if reason:
            raise web.HTTPError(400, f"This is no account with a password. {reason}")
        self.db.add(
            UserInfo(username=name, password=password, is_authorized=authorized, email=email)
        )
        self.db.commit()

    async def authenticate(self, handler: Any, data: dict[str, Any]) -> str | None:
        """Return the name if name and password belong together and the account is authorised."""
        name = self.checked_name(data)
        password = data.get("password")
        if not isinstance(password, str):
            raise web.HTTPError(400, "A password is needed.")
        if not await self.check(handler, name, password):
            return None
        record = self.record(name)
        if record is None or not record.is_authorized:
            raise web.HTTPError(403, "Your account waits for an administrator to authorise it.")
        return name

    async def check(self, handler: Any, name: str, password: str) -> bool:
        """Return whether a password is right; raise 429 while the name is locked."""
        address = client_address(handler, self.proxy_address)
        seconds = self.guard.locked(name, address)
        if seconds:
            raise web.HTTPError(429, f"Too many wrong passwords. Try again in {seconds} seconds.")
        record = self.record(name)
        self.guard.trying(name, address)
        try:
            good = await passwords.check_password(password, record.password if record else None)
        except NoRoomError as error:
            self.guard.untried(name, address)
            raise web.HTTPError(429, error.message) from error
        if good:
            self.guard.succeeded(name)
        else:
            self.log.warning("Wrong password for %s from %s", shown(name), shown(address))
        return good

    @property
    def signup_open(self) -> bool:
        """Whether strangers may ask for an account now."""
        return self.enable_signup and not self.registration.closed

    async def sign_up(self, name: str, password: str, email: str = "") -> None:
        """Make an account that waits for an admin, or that is open to use if sign-up is open.

        Raise ``web.HTTPError`` with a text for the person. Names of admins and of people whom an
        admin added always wait for an admin; beyond the rate everybody waits for a turn.
        """
        if self.record(name) is not None:
            raise web.HTTPError(409, "This user name is taken.")
        if email and (reason := address_problem(email)):
            raise web.HTTPError(400, reason)
        if sum(not record.is_authorized for record in self.records()) >= MAX_PENDING:
            raise web.HTTPError(429, "Too many sign-ups wait for an administrator. Try later.")
        encoded = await self.new_hash(password)
        if self.record(name) is not None:
            raise web.HTTPError(409, "This user name is taken.")
        authorized = self.open_signup and not self._spoken_for(name)
        authorized = authorized and self.registration.admit(name)
        self._add_record(name, encoded, authorized=authorized, email=email or None)

    def _spoken_for(self, name: str) -> bool:
        """Whether a name is an admin's, or of somebody whom an admin added."""
        return name in self.admin_users or orm.User.find(self.db, name) is not None

    def take_turns(self) -> None:
        """Let in those whose turn has come."""
        for name in self.registration.next_turns():
            record = self.record(name)
            if record is not None and not record.is_authorized and not self._spoken_for(name):
                self.log.info("The turn of %s has come", name)
                self.authorize(name, True)

    async def _keep_turns(self) -> None:
        while True:
            await asyncio.sleep(TURNS_INTERVAL)
            try:
                self.take_turns()
            except Exception:  # a database that is away for a while must not end this for good
                self.log.exception("cannot let in who waits for a turn")

    def start_background(self) -> None:
        """Start what goes on by itself: turns and mail; on the event loop, once."""
        if self._background:
            return
        for work in (self._keep_turns(), self.outbox.run() if self.outbox else None):
            if work is not None:
                self._background.add(asyncio.get_running_loop().create_task(work))

    async def new_hash(self, password: str) -> bytes:
        """Return the hash of a new password; raise ``web.HTTPError`` if it is not good enough."""
        reason = passwords.problem(password)
        if not reason and self.is_password_common(password):
            reason = "This password is among the most common ones."
        if reason:
            raise web.HTTPError(400, reason)
        try:
            return await passwords.hash_password(password)
        except NoRoomError as error:
            raise web.HTTPError(429, error.message) from error

    async def set_password(self, name: str, password: str) -> None:
        """Set a password, make the record if an admin sets the first one, and end log-ins."""
        encoded = await self.new_hash(password)
        record = self.record(name)
        if record is None:
            self._add_record(name, encoded, authorized=True)
        else:
            record.password = encoded
        self.end_logins(name)
        self.guard.succeeded(name)

    def authorize(self, name: str, allowed: bool) -> None:
        """Let an account in or not; whoever is no longer let in is logged out."""
        record = self.record(name)
        if record is None:
            raise web.HTTPError(404, "There is no such account.")
        tell = allowed and not record.is_authorized
        record.is_authorized = allowed
        if not allowed:
            self.end_logins(name)
        self.db.commit()
        self.registration.forget(name)
        if tell and record.email and self.outbox:
            self.outbox.put(
                record.email,
                "Your JuliaBox account is ready",
                f"Hello {name},\n\nyour account is ready. Sign in at {self.site or 'JuliaBox'}\n",
            )

    def discard(self, name: str) -> None:
        """Remove an account that was never let in."""
        record = self.record(name)
        if record is None or record.is_authorized:
            raise web.HTTPError(409, "Only an account that waits can be discarded.")
        self.db.delete(record)
        self.db.commit()
        self.registration.forget(name)

    def end_logins(self, name: str) -> None:
        """Make a person's cookies void."""
        user = orm.User.find(self.db, name)
        if user is not None:
            user.cookie_id = orm.new_token()
        self.db.commit()

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return the pages of accounts, in place of NativeAuthenticator's."""
        self.start_background()
        return [
            (r"/login", LoginPage),
            *account_pages.HANDLERS,
            *(
                entry
                for entry in PeopleAuthenticator.get_handlers(self, app)
                if entry[0].startswith("/api/") or entry[0] in start_pages.PATHS
            ),
        ]
