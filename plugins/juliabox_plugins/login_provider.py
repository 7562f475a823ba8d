"""What the log-ins at a provider share: settings, and who may come in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from juliabox_ext.errors import ConfigurationError
from juliabox_ext.handler import Login
from juliabox_ext.plugin import PluginSettings
from juliabox_spawner import usernames

#: Hosts that a log-in may speak to without HTTPS: this machine.
_LOCAL = ("localhost", "127.0.0.1", "::1")


def _web_address(value: str) -> str:
    if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
        raise ValueError("must be a URL that starts with https://")
    return value


Url = Annotated[str, AfterValidator(_web_address)]


class ProviderSettings(PluginSettings):
    """Settings of a log-in at a provider."""

    #: What the provider calls this service.
    client_id: str = Field(min_length=1)
    #: The secret that goes with it, or a file that holds it and that the hub can read.
    client_secret: SecretStr | None = None
    client_secret_file: Path | None = None
    #: Names at the provider that may come in, and domains of confirmed mail addresses.
    allow: list[str] = Field(default_factory=list)
    mail_domains: list[str] = Field(default_factory=list)
    #: Whether everybody may come in whom the provider knows.
    allow_all: bool = False
    #: Names at the provider of admins; they may come in.
    admins: list[str] = Field(default_factory=list)
    #: Text of the button after "Sign in with"; empty for the provider's name.
    button: str = Field(default="", max_length=40)
    #: What is asked of the provider; empty for what the log-in needs.
    scopes: list[str] = Field(default_factory=list)
    #: The provider's addresses, if they are not the usual ones.
    authorize_url: Url = ""
    token_url: Url = ""
    userinfo_url: Url = ""
    #: Whether addresses may be http:// though they are not this machine's.
    insecure_http: bool = False

    @field_validator("mail_domains")
    @classmethod
    def _domains(cls, value: list[str]) -> list[str]:
        for domain in value:
            if not domain or "@" in domain or "*" in domain or domain != domain.strip(". "):
                raise ValueError(f"{domain!r} must be a domain alone, such as example.org")
        return [domain.casefold() for domain in value]

    @field_validator("allow", "admins")
    @classmethod
    def _names(cls, value: list[str]) -> list[str]:
        for name in value:
            reason = usernames.problem(usernames.normalize(name))
            if reason:
                raise ValueError(f"{name!r} must be a name at the provider. {reason}")
        return [usernames.normalize(name) for name in value]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.client_secret is None) == (self.client_secret_file is None):
            raise ValueError("set client_secret or client_secret_file, one of the two")
        if not (self.allow or self.mail_domains or self.admins or self.allow_all):
            raise ValueError("nobody could come in: set allow, mail_domains, admins or allow_all")
        for key in self.addresses:
            parts = urlsplit(getattr(self, key))
            if parts.scheme == "http" and parts.hostname not in _LOCAL and not self.insecure_http:
                raise ValueError(f"{key} must start with https://, or set insecure_http to true")
        return self

    @property
    def addresses(self) -> list[str]:
        """Names of the settings that are addresses."""
        return ["authorize_url", "token_url", "userinfo_url"]


class ProviderLogin(Login):
    """Base of the log-ins at a provider."""

    Settings: ClassVar[type[PluginSettings]] = ProviderSettings
    #: The provider's name on the button and in messages.
    service: ClassVar[str]

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._secret = ""

    def configure(self) -> None:
        """Read the client's secret; raise ``ConfigurationError`` if the file gives none."""
        settings: Any = self.context.settings
        if settings.client_secret is not None:
            self._secret = settings.client_secret.get_secret_value()
        else:
            self._secret = self._read(settings.client_secret_file)
        if not self._secret:
            raise ConfigurationError(
                f"plugins.settings.{self.name}: the client's secret is empty", code="login.settings"
            )

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(
                f"plugins.settings.{self.name}.client_secret_file cannot be read: {error}",
                code="login.settings",
            ) from error

    def traits(self) -> dict[str, Any]:
        """Return the authenticator's traits."""
        settings: Any = self.context.settings
        found: dict[str, Any] = {
            "client_id": settings.client_id,
            "client_secret": self._secret,
            "oauth_callback_url": self.callback_url,
            "login_service": self.service,
            "button": settings.button or self.service,
            "allow": set(settings.allow),
            "mail_domains": set(settings.mail_domains),
            "everybody": settings.allow_all,
            "admin_users": set(settings.admins),
        }
        for trait, value in (
            ("scope", settings.scopes),
            ("authorize_url", settings.authorize_url),
            ("token_url", settings.token_url),
            ("userdata_url", settings.userinfo_url),
        ):
            if value:
                found[trait] = value
        return found

    @property
    def callback_url(self) -> str:
        """Address that the provider sends people back to; it must know it."""
        return f"{self.context.public_url.rstrip('/')}/hub/{self.name}/oauth_callback"
