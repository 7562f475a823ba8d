"""Log-in ``github``: people with an account at GitHub, or at an enterprise's own GitHub."""

from __future__ import annotations

from typing import Any, ClassVar

from oauthenticator.github import GitHubOAuthenticator

from juliabox_ext.handler import JBPluginHandler
from juliabox_ext.plugin import PluginSettings
from juliabox_plugins.login_provider import ProviderLogin, ProviderSettings, Url
from juliabox_plugins.login_rules import ProviderRules
from juliabox_plugins.login_widget import LoginButton


class GithubSettings(ProviderSettings):
    """Settings of the log-in at GitHub."""

    #: Address of an enterprise's own GitHub; empty for github.com.
    url: Url = ""

    @property
    def addresses(self) -> list[str]:
        """Names of the settings that are addresses."""
        return [*super().addresses, "url"]


class GithubAuthenticator(ProviderRules, GitHubOAuthenticator):  # type: ignore[misc]
    """oauthenticator's, with JuliaBox's rules; asks for confirmed addresses when they matter."""

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Return what GitHub tells of the person, with the primary address if it is confirmed."""
        found = await super().token_to_user(token_info)
        # the public address of a profile does not tell whether it is confirmed
        found["email_verified"] = False
        found.setdefault("email", None)
        if self.mail_domains:
            addresses: Any = await self.httpfetch(
                f"{self.userdata_url}/emails",
                label="fetching mail addresses",
                headers=self.build_userdata_request_headers(
                    token_info["access_token"], token_info["token_type"]
                ),
                validate_cert=self.validate_server_cert,
            )
            primary = next(one for one in addresses if one["primary"])
            found["email"], found["email_verified"] = primary["email"], primary["verified"]
        return found

    def details(self, user_info: dict[str, Any]) -> dict[str, Any]:
        """Return the details; GitHub's identifier is a number."""
        return super().details({**user_info, "sub": user_info.get("id")})


class GithubLogin(ProviderLogin):
    """People with an account at GitHub."""

    provides = (JBPluginHandler.JBP_HANDLER_AUTH, JBPluginHandler.JBP_HANDLER_AUTH_GITHUB)
    Settings: ClassVar[type[PluginSettings]] = GithubSettings
    service = "GitHub"

    def authenticator(self) -> type[Any]:
        """Return the authenticator."""
        return GithubAuthenticator

    def traits(self) -> dict[str, Any]:
        """Return the authenticator's traits."""
        settings: Any = self.context.settings
        found = super().traits()
        if settings.url:
            found["github_url"] = settings.url.rstrip("/")
        if settings.mail_domains:
            found.setdefault("scope", ["user:email"])
        return found


class GithubButton(LoginButton):
    """The button."""

    template = "github.html"
