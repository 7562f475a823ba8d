"""Who gets in: people with a password kept here, people of a provider, or on loopback anybody."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from juliabox_ext.cloud import JBPluginCloud
from juliabox_ext.errors import ConfigurationError
from juliabox_spawner.hub.logins import ZERO, Logins, load_logins
from juliabox_spawner.hub.outbox import Outbox
from juliabox_spawner.hub.several import SeveralLogins, full_names, with_logins
from juliabox_spawner.hub.zero import is_loopback
from juliabox_spawner.settings import HubSettings


def configure_login(c: Any, settings: HubSettings) -> None:
    """Set the authenticator; refuse a "zero" log-in that others could reach."""
    login = settings.login
    if ZERO in login.logins and not is_loopback(settings.bind):
        raise ConfigurationError(
            f"login: zero lets anybody in without a password, so it needs a loopback address; "
            f"the service binds to {settings.bind}. Set bind to 127.0.0.1 or login to native.",
            code="configuration.zero",
        )
    logins = load_logins(settings)
    c.Authenticator.admin_users = admins(settings, logins)
    # whoever authenticates may come in; authorisation is the authenticator's own step
    c.Authenticator.allow_all = True
    single = len(logins.members) == 1 and logins.bare
    base = logins.members[0].authenticator if single else SeveralLogins
    c.JupyterHub.authenticator_class = with_logins(base, logins)
    urls = (settings.public_url, settings.subdomain_host)
    c.ZeroAuthenticator.hosts = {host for url in urls if (host := urlsplit(url).hostname)}
    c.PasswordAuthenticator.proxy_address = urlsplit(settings.proxy_api).hostname or ""
    c.PasswordAuthenticator.enable_signup = login.signup != "closed"
    c.PasswordAuthenticator.open_signup = login.signup == "open"
    c.PasswordAuthenticator.signup_rate = login.signup_rate
    c.PasswordAuthenticator.folder = str(settings.folder)
    c.PasswordAuthenticator.site = settings.public_url
    c.PasswordAuthenticator.outbox = outbox(settings, logins)
    c.PasswordAuthenticator.allowed_failed_logins = login.failed_before_lock
    c.PasswordAuthenticator.seconds_before_next_try = login.lock_seconds
    if login.admins and login.admin_password is not None:
        c.PasswordAuthenticator.first_admin = login.admins[0]
        c.PasswordAuthenticator.first_password_file = str(login.admin_password)


def outbox(settings: HubSettings, logins: Logins) -> Outbox | None:
    """Return what takes mail to people; None where no mail plugin is enabled.

    A mail plugin that is chosen and at fault keeps the mails waiting until it is mended.
    """
    feature = JBPluginCloud.JBP_SENDMAIL
    registry = logins.registry
    if registry is None or not (registry.all(feature) or feature in settings.plugins.features):
        return None

    def send(to: str, sender: str, subject: str, text: str) -> None:
        registry.one(feature).send_email(to, sender, subject, text)

    return Outbox(settings.folder / "mail", send)


def admins(settings: HubSettings, logins: Logins) -> set[str]:
    """Return the admins of all log-ins; a bare name counts where bare names log in."""
    found = set(settings.login.admins) if logins.bare else set()
    for member in logins.members:
        if member.name != logins.bare:
            found |= full_names(member.name, member.traits.get("admin_users", ()))
    return found
