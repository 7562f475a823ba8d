""" "Zero" log-in: any name, no password; for one person's machine."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from tornado import web
from traitlets import Set

from juliabox_spawner.hub.login_pages import LoginPage
from juliabox_spawner.hub.people import PeopleAuthenticator


class ZeroAuthenticator(PeopleAuthenticator):
    """Lets in whoever gives a legal name. ``configure_login`` refuses it off loopback.

    A page of the internet can have a name of its own lead to this machine and then send what it
    likes, so a log-in also needs a host by which this machine calls itself.
    """

    hosts = Set(
        config=True,
        help="""Names of this service beside ``localhost`` and loopback addresses.

        `juliabox up` sets the hosts of public_url and subdomain_host.
        """,
    )

    async def authenticate(self, handler: Any, data: dict[str, Any]) -> str:
        """Return the name; raise 400 if it is illegal, 403 for a request by a strange host."""
        host = urlsplit(f"//{handler.request.host}").hostname or ""
        if host not in self.hosts and not is_loopback(host):
            raise web.HTTPError(403, f"Nobody logs in without a password at {host[:100]!r}.")
        return self.checked_name(data)

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return the log-in page and what every authenticator has."""
        return [(r"/login", LoginPage), *super().get_handlers(app)]


def is_loopback(host: str) -> bool:
    """Return whether a host or address means this machine to itself and nobody else."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
