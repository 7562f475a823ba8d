"""What compose must know where homes are folders of the host (volume plugin ``hostdir``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from juliabox_cli.config import Config
from juliabox_cli.mounts import is_shared
from juliabox_ext.errors import ConfigurationError

PLUGIN = "hostdir"

#: Only with them can the manager give a folder to uid 1000, and delete what that uid made.
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER")


def overlay(config: Config) -> str:
    """Return a second compose file; empty where the plugin is not enabled."""
    if PLUGIN not in config.plugins.enable:
        return ""
    manager: dict[str, Any] = {"cap_add": list(CAPABILITIES)}
    root = config.plugins.settings.get(PLUGIN, {}).get("root")
    if isinstance(root, str) and Path(root).is_absolute():
        manager["volumes"] = [_bind(Path(root))]
    # JSON is YAML, and nothing of a path needs quoting but the sign of compose's variables
    told = json.dumps({"version": "3.8", "services": {"manager": manager}}, indent=2) + "\n"
    return told.replace("$", "$$")


def _bind(root: Path) -> dict[str, Any]:
    if not root.is_dir():
        raise ConfigurationError(
            f"plugins.settings.{PLUGIN}.root: there is no folder {root}; make it, for root alone "
            "to write, and mount there what the homes are to lie on",
            code="volume.root",
        )
    bound: dict[str, Any] = {"type": "bind", "source": str(root), "target": str(root)}
    if is_shared(root):
        # what is mounted there later, a file server say, appears in the manager too
        bound["bind"] = {"propagation": "rslave"}
    return bound
