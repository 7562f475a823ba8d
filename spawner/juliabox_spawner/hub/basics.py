"""Addresses, proxy, cookies and database of the hub."""

from __future__ import annotations

import os
from typing import Any

from juliabox_spawner.hub import database, intake, logs, write_ahead
from juliabox_spawner.hub.routes import Routes
from juliabox_spawner.hub.secret_files import read_secret
from juliabox_spawner.settings import HubSettings

#: Seconds between two looks at the proxy's routes and activity. A proxy that was killed and does
#: not ask by itself has its routes back after this time; JupyterHub's default is 300.
ROUTE_CHECK = 5

#: Seconds by which a session's last activity must change to be noted, where idle ones are stopped.
ACTIVITY_STEP = 30.0

DATABASE = "jupyterhub.sqlite"


def configure_basics(c: Any, settings: HubSettings) -> None:
    """Set where the hub listens, how it is reached, and its external proxy."""
    secrets = settings.secrets
    c.JupyterHub.base_url = settings.base_url
    c.JupyterHub.logging_config = logs.configuration()
    c.JupyterHub.log_level = logs.level(os.environ)
    c.JupyterHub.hub_bind_url = settings.hub_bind
    intake.take_in_one_by_one()
    # the proxy's way to the hub; sessions have their own, see configure_sessions
    c.JupyterHub.hub_connect_url = settings.hub_connect_edge
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.last_activity_interval = ROUTE_CHECK
    c.JupyterHub.proxy_class = Routes
    if settings.idle_timeout:
        c.Routes.activity_step = min(ACTIVITY_STEP, settings.idle_timeout / 20)
    c.JupyterHub.subdomain_host = settings.subdomain_host
    c.JupyterHub.cookie_secret = cookie_secret(read_secret(secrets / "cookie_secret"))
    # with subdomains, a person's page could plant cookies for its parent domain
    c.JupyterHub.cookie_host_prefix_enabled = settings.https and bool(settings.subdomain_host)
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = settings.proxy_api
    c.ConfigurableHTTPProxy.auth_token = read_secret(secrets / "proxy_token")


def configure_database(c: Any, settings: HubSettings) -> None:
    """Set the database; `juliabox-hub` has backed it up before JupyterHub upgrades it."""
    c.JupyterHub.db_url = f"sqlite:///{settings.folder / DATABASE}"
    c.JupyterHub.upgrade_db = True
    # a locked database answers an error soon instead of stopping the whole hub
    c.JupyterHub.db_kwargs = {"connect_args": {"timeout": 5}}
    database.tell_when_away()
    write_ahead.use_write_ahead_log(settings.folder / DATABASE)


def cookie_secret(text: str) -> bytes:
    """Return the bytes of a cookie secret: hexadecimal digits, or any text of 32 characters."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return text.encode("ascii")
