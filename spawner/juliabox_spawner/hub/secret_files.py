"""Reading of the hub's secrets."""

from __future__ import annotations

import stat
from pathlib import Path

from juliabox_ext.errors import ConfigurationError


def read_secret(path: Path) -> str:
    """Return a secret; raise ``ConfigurationError`` if others may read it or it is empty.

    The secret itself never reaches a message.
    """
    try:
        mode = path.stat().st_mode
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"secret {path}: {type(error).__name__}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"secret {path} has mode {stat.S_IMODE(mode):04o}; others may read it: chmod 600 it"
        )
    if not secret:
        raise ConfigurationError(f"secret {path} is empty; remove it and run `juliabox up`")
    return secret
