"""Log-in ``zero``: any name and no password, for one person's machine."""

from __future__ import annotations

from typing import Any

from juliabox_ext.handler import JBPluginHandler, Login
from juliabox_plugins.login_widget import LoginButton
from juliabox_spawner.hub.zero import ZeroAuthenticator


class ZeroLogin(Login):
    """Whoever gives a legal name; the hub refuses it off loopback."""

    provides = (JBPluginHandler.JBP_HANDLER_AUTH, JBPluginHandler.JBP_HANDLER_AUTH_ZERO)

    def authenticator(self) -> type[Any]:
        """Return the authenticator, which also looks at the host that is asked for."""
        return ZeroAuthenticator

    def traits(self) -> dict[str, Any]:
        """Return that everybody may come in."""
        return {"allow_all": True}


class ZeroButton(LoginButton):
    """The form with a name."""

    template = "zero.html"
