"""What is wrong with the log-ins of ``config.yaml`` that a look at the host can tell."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from juliabox_cli.config import Config
from juliabox_cli.plugin_choice import Choice
from juliabox_cli.state import CONTROL_UID, State


def login_problems(config: Config, state: State, choice: Choice) -> list[str]:
    """Return one sentence for each log-in that will not work."""
    names = config.authentication.login
    faults = [fault.message for fault in choice.faults if fault.plugin in names]
    return [*faults, *secret_problems(config, state)]


def secret_problems(config: Config, state: State) -> list[str]:
    """Return one sentence for each log-in whose secret the hub cannot read."""
    found = []
    for name in config.authentication.login:
        given = config.plugins.settings.get(name, {}).get("client_secret_file")
        if isinstance(given, str):
            place = f"plugins.settings.{name}.client_secret_file"
            found += [f"{place}: {reason}" for reason in _problems_of(Path(given), state)]
    return found


def _problems_of(path: Path, state: State) -> Iterator[str]:
    """Yield why the hub, which is not root and sees one folder of secrets, cannot read a file."""
    folder = state.secrets / "hub"
    if path.parent != folder:
        yield f"{path} is not in {folder}, the only folder of secrets that the hub sees"
        return
    try:
        status = path.stat()
    except OSError as error:
        yield f"{path}: {os.strerror(error.errno or 0)}"
        return
    if status.st_mode & 0o077:
        yield f"{path} can be read by others: `chmod 600 {path}`"
    if status.st_uid != CONTROL_UID or not status.st_mode & 0o400:
        yield f"{path} cannot be read by the hub: `chown {CONTROL_UID} {path}; chmod 600 {path}`"
