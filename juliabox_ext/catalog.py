"""Which plugins are installed, what their classes provide, and what is wrong with one.

Listing reads metadata of distributions and imports nothing.
"""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from juliabox_ext.cloud import JBPluginCloud
from juliabox_ext.db import JBPluginDB
from juliabox_ext.errors import PluginError
from juliabox_ext.handler import JBPluginHandler
from juliabox_ext.plugin import GROUPS, Plugin, PluginSettings
from juliabox_ext.task import JBPluginTask
from juliabox_ext.ui import JBPluginUI
from juliabox_ext.volume import JBoxVol

#: Entry-point group -> its mount point.
MOUNT_POINTS: dict[str, type[Plugin]] = dict(
    zip(
        GROUPS,
        (JBPluginDB, JBPluginHandler, JBPluginUI, JBoxVol, JBPluginCloud, JBPluginTask),
        strict=True,
    )
)

#: First part of a feature's name -> the group whose plugins provide it.
GROUP_OF = {
    "db": "juliabox.db",
    "handler": "juliabox.handler",
    "ui": "juliabox.ui",
    "vol": "juliabox.volume",
    "cloud": "juliabox.cloud",
    "task": "juliabox.task",
}

BUILT_IN = "juliabox"


@dataclass(frozen=True, order=True)
class PluginInfo:
    """An installed plugin: its name, group and distribution, and where its class is."""

    name: str
    group: str
    distribution: str
    version: str
    reference: str

    @property
    def built_in(self) -> bool:
        """Whether it comes with JuliaBox."""
        return self.distribution == BUILT_IN

    def __str__(self) -> str:
        return f"plugin {self.name} ({self.group}, {self.distribution} {self.version})"


def available(groups: Iterable[str] = GROUPS) -> list[PluginInfo]:
    """Return the installed plugins of some groups, sorted; imports none of them."""
    found = set()
    for group in groups:
        for entry in importlib.metadata.entry_points(group=group):
            if entry.dist is not None:
                found.add(
                    PluginInfo(entry.name, group, entry.dist.name, entry.dist.version, entry.value)
                )
    return sorted(found)


def load_class(info: PluginInfo) -> type[Plugin]:
    """Import a plugin's class and check it; raise ``PluginError`` that says what is wrong."""
    entry = importlib.metadata.EntryPoint(info.name, info.reference, info.group)
    try:
        loaded = entry.load()
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(
            f"{info} cannot be imported from {info.reference}: {reason}. Install a version that "
            "works here, or disable it",
            code="plugin.import",
        ) from error
    check_class(info, loaded)
    checked: type[Plugin] = loaded
    return checked


def check_class(info: PluginInfo, loaded: object) -> None:
    """Raise ``PluginError`` unless a class keeps the contract of its mount point."""
    mount_point = MOUNT_POINTS[info.group]
    if not (inspect.isclass(loaded) and issubclass(loaded, mount_point)):
        raise PluginError(
            f"{info}: {info.reference} is no subclass of {mount_point.__name__}",
            code="plugin.contract",
        )
    provides = loaded.provides
    if isinstance(provides, str) or not provides:
        raise PluginError(
            f"{info}: {loaded.__name__}.provides must list features of {mount_point.__name__}",
            code="plugin.contract",
        )
    if not (inspect.isclass(loaded.Settings) and issubclass(loaded.Settings, PluginSettings)):
        raise PluginError(
            f"{info}: {loaded.__name__}.Settings must derive from PluginSettings",
            code="plugin.contract",
        )
    _check_features(info, loaded, mount_point)


def _check_features(info: PluginInfo, loaded: type[Plugin], mount_point: type[Plugin]) -> None:
    known = mount_point.functionalities
    for feature in loaded.provides:
        if feature not in known:
            raise PluginError(
                f"{info} provides an unknown feature, {feature!r}; {mount_point.__name__} has "
                f"{', '.join(known)}",
                code="plugin.feature",
            )
        missing = missing_methods(loaded, known[feature])
        if missing:
            raise PluginError(
                f"{info} provides {feature} and lacks what {known[feature].__name__} demands: "
                f"{', '.join(missing)}",
                code="plugin.contract",
            )
    if loaded.__abstractmethods__:
        raise PluginError(
            f"{info}: {loaded.__name__} leaves methods abstract: "
            f"{', '.join(sorted(loaded.__abstractmethods__))}",
            code="plugin.contract",
        )


def missing_methods(loaded: type[Plugin], functionality: type[Plugin]) -> list[str]:
    """Return the abstract methods of a functionality that a class lacks, sorted.

    A class need not derive from the functionality: having its methods is enough.
    """
    missing = []
    for name in functionality.__abstractmethods__:
        found = getattr(loaded, name, None)
        if not callable(found) or getattr(found, "__isabstractmethod__", False):
            missing.append(name)
    return sorted(missing)


def covers(wanted: str, feature: str) -> bool:
    """Return whether a part that wants one feature wants another.

    A feature covers itself and its variants: those below it with the same methods, as ``db`` covers
    ``db.rdbms`` and not ``db.table``. A name that is no feature, such as ``vol``, covers all below.
    """
    if feature == wanted:
        return True
    if not feature.startswith(f"{wanted}."):
        return False
    methods = functionality(wanted)
    return methods is None or methods is functionality(feature)


def functionality(feature: str) -> type[Plugin] | None:
    """Return the abstract class with a feature's methods; None for what is no feature."""
    for mount_point in MOUNT_POINTS.values():
        if feature in mount_point.functionalities:
            return mount_point.functionalities[feature]
    return None


def groups_of(features: Iterable[str]) -> Sequence[str]:
    """Return the groups whose plugins provide features with these names or prefixes."""
    wanted = {GROUP_OF[feature.partition(".")[0]] for feature in features}
    return [group for group in GROUPS if group in wanted]
