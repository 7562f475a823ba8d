"""Log-in ``linkedin``: people with a LinkedIn account, who are named by their mail address."""

from __future__ import annotations

from typing import Any, ClassVar

from juliabox_ext.handler import JBPluginHandler
from juliabox_ext.plugin import PluginSettings
from juliabox_plugins.login_provider import ProviderLogin, ProviderSettings, Url
from juliabox_plugins.login_widget import LoginButton
from juliabox_plugins.openid import OpenidAuthenticator

#: LinkedIn as an OpenID provider ("Sign In with LinkedIn using OpenID Connect").
ISSUER = "https://www.linkedin.com/oauth"
AUTHORIZE_URL = "https://www.linkedin.com/oauth/v2/authorization"
TOKEN_URL = "https://www.linkedin.com/oauth/v2/accessToken"  # noqa: S105  # an address
USERINFO_URL = "https://api.linkedin.com/v2/userinfo"
JWKS_URL = "https://www.linkedin.com/oauth/openid/jwks"


class LinkedinSettings(ProviderSettings):
    """Settings of the log-in at LinkedIn."""

    #: The provider and its keys, if they are not LinkedIn's usual ones.
    issuer: Url = ISSUER
    jwks_url: Url = JWKS_URL

    @property
    def addresses(self) -> list[str]:
        """Names of the settings that are addresses."""
        return [*super().addresses, "issuer", "jwks_url"]


class LinkedinLogin(ProviderLogin):
    """People with a LinkedIn account."""

    provides = (JBPluginHandler.JBP_HANDLER_AUTH, JBPluginHandler.JBP_HANDLER_AUTH_LINKEDIN)
    Settings: ClassVar[type[PluginSettings]] = LinkedinSettings
    service = "LinkedIn"

    def authenticator(self) -> type[Any]:
        """Return the authenticator."""
        return OpenidAuthenticator

    def traits(self) -> dict[str, Any]:
        """Return the authenticator's traits.

        LinkedIn refuses a request with a code verifier from what is no native program, and sends
        no nonce back; the state in the cookie binds the answer to the browser.
        """
        settings: Any = self.context.settings
        return {
            "scope": ["openid", "profile", "email"],
            "authorize_url": AUTHORIZE_URL,
            "token_url": TOKEN_URL,
            "userdata_url": USERINFO_URL,
            **super().traits(),
            "issuer": settings.issuer,
            "jwks_url": settings.jwks_url,
            "username_claim": "email",
            "enable_pkce": False,
        }


class LinkedinButton(LoginButton):
    """The button."""

    template = "linkedin.html"
