"""Log-in ``native``: names and passwords that the hub keeps."""

from __future__ import annotations

from typing import Any

from juliabox_ext.handler import JBPluginHandler, Login
from juliabox_plugins.login_widget import LoginButton
from juliabox_spawner.hub.native import PasswordAuthenticator


class NativeLogin(Login):
    """People with an account and a password here; ``authentication`` of config.yaml sets it."""

    provides = (JBPluginHandler.JBP_HANDLER_AUTH, JBPluginHandler.JBP_HANDLER_AUTH_NATIVE)

    def authenticator(self) -> type[Any]:
        """Return NativeAuthenticator with JuliaBox's rules."""
        return PasswordAuthenticator

    def traits(self) -> dict[str, Any]:
        """Return nothing else than that every account may come in; the hub sets the rest."""
        return {"allow_all": True}


class NativeButton(LoginButton):
    """The form with name and password."""

    template = "native.html"
