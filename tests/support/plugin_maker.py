"""A plugin's object as the registry makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from juliabox_ext.plugin import Plugin, PluginContext

P = TypeVar("P", bound=Plugin)


def make(
    plugin: type[P], home: Path, name: str = "mine", public_url: str = "", **settings: Any
) -> P:
    """Validate the settings, make the object and configure it."""
    made = plugin(
        PluginContext(
            name=name,
            settings=plugin.Settings.model_validate(settings),
            installation="box",
            instance="box-1",
            folder=home / name,
            public_url=public_url,
        )
    )
    made.configure()
    return made
