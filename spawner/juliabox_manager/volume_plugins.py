"""The plugins that the manager loads, and its homes among them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from juliabox_ext.plugin import PluginContext
from juliabox_ext.registry import Registry
from juliabox_ext.volume import VolumeHost
from juliabox_manager.homes import Homes
from juliabox_manager.settings import ManagerSettings

#: Features that the manager uses.
FEATURES: Final = ("vol",)


def plugins(settings: ManagerSettings) -> Registry:
    """Return the registry of the manager's plugins, not loaded yet."""
    own: dict[str, Any] = {"inodes_per_gib": settings.inodes_per_gib}
    selection = msgspec.structs.replace(
        settings.plugins,
        # the key `volumes.inodes_per_gib` is older than plugins
        settings={
            **settings.plugins.settings,
            "home": {**own, **settings.plugins.settings.get("home", {})},
        },
    )
    context = PluginContext(
        name="",
        installation=settings.installation,
        instance=settings.instance,
        folder=settings.state / "manager" / "plugins",
    )
    return Registry(selection, FEATURES, context)


def load_homes(registry: Registry, settings: ManagerSettings) -> Homes:
    """Return the homes of sessions from plugins that are loaded."""
    host = VolumeHost(
        state=settings.state,
        grace=settings.volume_grace,
        reserve=settings.capacity.disk_reserve,
    )
    return Homes.load(registry, host)
