"""Log-in ``oidc``: people of any OpenID provider."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from juliabox_ext.handler import JBPluginHandler
from juliabox_ext.plugin import PluginSettings
from juliabox_plugins.login_provider import ProviderLogin, ProviderSettings, Url
from juliabox_plugins.login_widget import LoginButton
from juliabox_plugins.openid import OpenidAuthenticator


class OidcSettings(ProviderSettings):
    """Settings of the log-in at an OpenID provider."""

    #: The provider, as it names itself; its discovery document tells the rest.
    issuer: Url = Field(min_length=1)
    #: Where its keys are, if there is no discovery document.
    jwks_url: Url = ""
    #: Claim that has the name; with `email`, the provider must say that it is confirmed.
    username_claim: str = Field(default="preferred_username", min_length=1)

    @property
    def addresses(self) -> list[str]:
        """Names of the settings that are addresses."""
        return [*super().addresses, "issuer", "jwks_url"]

    @model_validator(mode="after")
    def _openid(self) -> Self:
        if self.scopes and "openid" not in self.scopes:
            raise ValueError("scopes must have openid among them")
        return self


class OidcLogin(ProviderLogin):
    """People of an OpenID provider."""

    provides = (JBPluginHandler.JBP_HANDLER_AUTH, JBPluginHandler.JBP_HANDLER_AUTH_OIDC)
    Settings: ClassVar[type[PluginSettings]] = OidcSettings
    service = "OpenID"

    def authenticator(self) -> type[Any]:
        """Return the authenticator."""
        return OpenidAuthenticator

    def traits(self) -> dict[str, Any]:
        """Return the authenticator's traits."""
        settings: Any = self.context.settings
        return {
            "scope": ["openid", "profile", "email"],
            **super().traits(),
            "issuer": settings.issuer,
            "jwks_url": settings.jwks_url,
            "username_claim": settings.username_claim,
            "insecure_http": settings.insecure_http,
        }


class OidcButton(LoginButton):
    """The button."""

    template = "oidc.html"
