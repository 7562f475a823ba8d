"""Configuration of JuliaBox's hub. What is set, and why, is in ``juliabox_spawner.hub``.

Settings come from the file that JULIABOX_HUB_SETTINGS names, which ``juliabox up`` writes; own
traits go into ``jupyterhub_config.d/*.py`` of the state folder.
"""

import os
import sys
from pathlib import Path

from juliabox_ext.errors import ConfigurationError
from juliabox_spawner import hub
from juliabox_spawner.settings import load

c = get_config()

try:
    settings = load(Path(os.environ.get("JULIABOX_HUB_SETTINGS", "/etc/juliabox/hub.json")))
    hub.configure_basics(c, settings)
    hub.configure_database(c, settings)
    hub.configure_login(c, settings)
    hub.configure_sessions(c, settings)
    hub.configure_services(c, settings)
    hub.configure_pages(c, settings)
    hub.load_extra_config(c, settings.config_folder)
except ConfigurationError as error:
    sys.exit(f"juliabox-hub: {error}")
