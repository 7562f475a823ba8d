"""Where the files that an installation is made from lie: compose file and image sources."""

from __future__ import annotations

import os
from pathlib import Path

from juliabox_ext.errors import ConfigurationError


def source_folder() -> Path:
    """Return the checkout that this command belongs to; ``JULIABOX_SOURCE`` names another."""
    named = os.environ.get("JULIABOX_SOURCE")
    folder = Path(named) if named else Path(__file__).resolve().parents[2]
    if not (folder / "compose.yaml").is_file():
        raise ConfigurationError(
            f"{folder} holds no compose.yaml. Run juliabox from a checkout of JuliaBox (`make "
            "up`), or set JULIABOX_SOURCE to one",
            code="source.missing",
        )
    return folder
