"""Configuration of the hub, as named functions that ``jupyterhub_config.py`` calls in order."""

from juliabox_spawner.hub.basics import configure_basics, configure_database
from juliabox_spawner.hub.extra import load_extra_config
from juliabox_spawner.hub.login import configure_login
from juliabox_spawner.hub.pages import configure_pages
from juliabox_spawner.hub.roles import configure_services
from juliabox_spawner.hub.sessions import configure_sessions

__all__ = [
    "configure_basics",
    "configure_database",
    "configure_login",
    "configure_pages",
    "configure_services",
    "configure_sessions",
    "load_extra_config",
]
