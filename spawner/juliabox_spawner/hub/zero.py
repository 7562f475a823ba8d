""" "Zero" log-in: any name, no password; for one person's machine."""

from __future__ import annotations

from typing import Any

from juliabox_spawner.hub.login_pages import LoginPage
from juliabox_spawner.hub.people import PeopleAuthenticator


class ZeroAuthenticator(PeopleAuthenticator):
    """Lets in whoever gives a legal name. ``configure_login`` refuses it off loopback."""

    async def authenticate(self, handler: Any, data: dict[str, Any]) -> str:
        """Return the name; raise 400 if it is illegal."""
        return self.checked_name(data)

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return the log-in page and what every authenticator has."""
        return [(r"/login", LoginPage), *super().get_handlers(app)]
