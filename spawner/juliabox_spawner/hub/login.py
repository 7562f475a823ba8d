"""Who gets in: people with a password kept here, or on loopback anybody ("zero")."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from juliabox_ext.errors import ConfigurationError
from juliabox_spawner.hub.native import PasswordAuthenticator
from juliabox_spawner.hub.zero import ZeroAuthenticator, is_loopback
from juliabox_spawner.settings import HubSettings


def configure_login(c: Any, settings: HubSettings) -> None:
    """Set the authenticator; refuse a "zero" log-in that others could reach."""
    login = settings.login
    c.Authenticator.admin_users = set(login.admins)
    # whoever authenticates may come in; authorisation is the authenticator's own step
    c.Authenticator.allow_all = True
    if login.kind == "zero":
        if not is_loopback(settings.bind):
            raise ConfigurationError(
                f"login: zero lets anybody in without a password, so it needs a loopback address; "
                f"the service binds to {settings.bind}. Set bind to 127.0.0.1 or login to native.",
                code="configuration.zero",
            )
        c.JupyterHub.authenticator_class = ZeroAuthenticator
        urls = (settings.public_url, settings.subdomain_host)
        c.ZeroAuthenticator.hosts = {host for url in urls if (host := urlsplit(url).hostname)}
        return
    c.JupyterHub.authenticator_class = PasswordAuthenticator
    c.PasswordAuthenticator.proxy_address = urlsplit(settings.proxy_api).hostname or ""
    c.PasswordAuthenticator.enable_signup = login.signup != "closed"
    c.PasswordAuthenticator.open_signup = login.signup == "open"
    c.PasswordAuthenticator.signup_rate = login.signup_rate
    c.PasswordAuthenticator.folder = str(settings.folder)
    c.PasswordAuthenticator.site = settings.public_url
    c.PasswordAuthenticator.allowed_failed_logins = login.failed_before_lock
    c.PasswordAuthenticator.seconds_before_next_try = login.lock_seconds
    if login.admins and login.admin_password is not None:
        c.PasswordAuthenticator.first_admin = login.admins[0]
        c.PasswordAuthenticator.first_password_file = str(login.admin_password)
