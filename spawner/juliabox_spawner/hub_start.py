"""``juliabox-hub``: look after the database, wait for the proxy, then become JupyterHub."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import time
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from juliabox_ext.errors import ConfigurationError, JuliaBoxError
from juliabox_spawner.hub_backup import back_up, check
from juliabox_spawner.settings import HubSettings, load

SETTINGS = "/etc/juliabox/hub.json"
DATABASE = "jupyterhub.sqlite"

#: Exit codes: configuration that cannot be honoured, and a damaged database.
EXIT_CONFIGURATION = 78
EXIT_DAMAGED = 65


def main() -> None:
    """Start the hub of the settings that ``JULIABOX_HUB_SETTINGS`` names."""
    os.umask(0o077)
    path = Path(os.environ.get("JULIABOX_HUB_SETTINGS", SETTINGS))
    try:
        settings = load(path)
        prepare_database(settings.folder)
    except ConfigurationError as error:
        _leave(error, EXIT_CONFIGURATION)
    except JuliaBoxError as error:
        _leave(error, EXIT_DAMAGED)
    os.environ["JULIABOX_HUB_SETTINGS"] = str(path)
    os.chdir(settings.folder)
    await_proxy(settings)
    command = jupyterhub_command()
    os.execv(command[0], command)  # noqa: S606  # becomes the hub, as intended


def jupyterhub_command() -> list[str]:
    """Return the command that the process becomes."""
    config = Path(str(files("juliabox_config"))) / "jupyterhub_config.py"
    return [sys.executable, "-m", "jupyterhub", "--config", str(config)]


def prepare_database(folder: Path) -> None:
    """Check the database and back it up; raise ``DatabaseDamagedError`` with what to do."""
    database, copies = folder / DATABASE, folder / "backups"
    check(database, copies)
    try:
        copy = back_up(database, copies)
    except (OSError, sqlite3.Error) as error:
        # a full disk must not keep people out
        _say(f"the database was not backed up: {error}")
        return
    if copy is not None:
        _say(f"backed the database up to {copy}")


def await_proxy(settings: HubSettings, pause: float = 0.25) -> None:
    """Wait until the proxy's API accepts connections; JupyterHub would give up after 30 seconds."""
    parts = urlsplit(settings.proxy_api)
    address = (parts.hostname or "127.0.0.1", parts.port or 8001)
    spoken = time.monotonic()
    while True:
        try:
            socket.create_connection(address, timeout=5).close()
        except OSError as error:
            if time.monotonic() - spoken > 10:
                spoken = time.monotonic()
                _say(f"waiting for the proxy's API at {address[0]}:{address[1]}: {error}")
            time.sleep(pause)
        else:
            return


def _leave(error: JuliaBoxError, code: int) -> None:
    _say(error.message)
    raise SystemExit(code)


def _say(message: str) -> None:
    print(f"juliabox-hub: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
