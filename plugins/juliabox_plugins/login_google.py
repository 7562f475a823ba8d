"""Log-in ``google``: people with a Google account, who are named by their mail address."""

from __future__ import annotations

from typing import Any

from oauthenticator.google import GoogleOAuthenticator

from juliabox_ext.handler import JBPluginHandler
from juliabox_plugins.login_provider import ProviderLogin
from juliabox_plugins.login_rules import ProviderRules
from juliabox_plugins.login_widget import LoginButton


class GoogleAuthenticator(ProviderRules, GoogleOAuthenticator):  # type: ignore[misc]
    """oauthenticator's, with JuliaBox's rules."""

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """Return the mail address; oauthenticator notes its domain."""
        ProviderRules.user_info_to_username(self, user_info)
        name: str = GoogleOAuthenticator.user_info_to_username(self, user_info)
        return name

    def details(self, user_info: dict[str, Any]) -> dict[str, Any]:
        """Return the details; Google has names of its own for two of them."""
        return super().details(
            {
                **user_info,
                "sub": user_info.get("id", user_info.get("sub")),
                "email_verified": user_info.get("verified_email", user_info.get("email_verified")),
            }
        )


class GoogleLogin(ProviderLogin):
    """People with a Google account."""

    provides = (JBPluginHandler.JBP_HANDLER_AUTH, JBPluginHandler.JBP_HANDLER_AUTH_GOOGLE)
    service = "Google"

    def authenticator(self) -> type[Any]:
        """Return the authenticator."""
        return GoogleAuthenticator


class GoogleButton(LoginButton):
    """The button."""

    template = "google.html"
