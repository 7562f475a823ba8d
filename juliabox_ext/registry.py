"""The plugins of one process: chosen, imported, checked, configured, and found by feature."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError

from juliabox_ext import catalog
from juliabox_ext.catalog import PluginInfo
from juliabox_ext.errors import JuliaBoxError, PluginError
from juliabox_ext.plugin import Plugin, PluginContext, PluginSettings
from juliabox_ext.selection import DEFAULTS, PluginSelection

log = structlog.get_logger("juliabox.plugins")
T = TypeVar("T")

#: Seconds that importing or configuring one plugin may take.
PATIENCE = 30.0

#: In the folder that the variable ``JULIABOX_FEATURES`` names.
FEATURES_FILE = "features.json"

_features: dict[str, list[str]] = {}


def get_pluggedin_features() -> dict[str, list[str]]:
    """Return the features of the whole installation, each with the plugins that provide it.

    The same in every process of JuliaBox, and in the browser: ``JuliaBox.has_plugin_feature``. A
    part sees a change that does not concern it without being started anew.
    """
    folder = os.environ.get("JULIABOX_FEATURES", "")
    try:
        found: dict[str, list[str]] = json.loads((Path(folder) / FEATURES_FILE).read_bytes())
    except OSError:  # no part of an installation: what this process was told
        found = _features
    return {feature: list(names) for feature, names in found.items()}


@dataclass(frozen=True)
class PluginFault:
    """Why a plugin is not there: which, and a message for the operator with a stable code."""

    plugin: str
    group: str
    distribution: str
    code: str
    message: str


def validated(info: PluginInfo, loaded: type[Plugin], given: dict[str, Any]) -> PluginSettings:
    """Return a plugin's settings; raise ``PluginError`` that names key and reason.

    They are those of its name, in whatever groups it stands: a class without settings of its own
    leaves them to its namesakes, as a button does to its log-in.
    """
    if loaded.Settings is PluginSettings and _has_namesakes(info):
        return PluginSettings()
    try:
        return loaded.Settings.model_validate(given)
    except ValidationError as error:
        found = [
            f"{'.'.join(str(part) for part in one['loc']) or 'settings'}: {one['msg']}"
            for one in error.errors(include_input=False, include_url=False)
        ]
        raise PluginError(
            f"{info} is configured wrongly in plugins.settings.{info.name}: {'; '.join(found)}",
            code="plugin.settings",
        ) from None


def _has_namesakes(info: PluginInfo) -> bool:
    return any(one.name == info.name and one.group != info.group for one in catalog.available())


def chosen(
    selection: PluginSelection, groups: Iterable[str]
) -> tuple[list[PluginInfo], list[PluginFault]]:
    """Return the installed plugins that are enabled, in order of preference, and what is wrong.

    Wrong are a name that is not installed in any group, and one that two distributions claim.
    """
    everywhere = catalog.available()
    faults, found = [], []
    for name in dict.fromkeys(selection.enabled):
        named = [info for info in everywhere if info.name == name]
        if not named:
            known = ", ".join(sorted({info.name for info in everywhere})) or "none"
            faults.append(
                PluginFault(
                    name, "", "", "plugin.unknown",
                    f"plugin {name} is enabled and not installed; installed are: {known}",
                )
            )  # fmt: skip
        for group in groups:
            claims = [info for info in named if info.group == group]
            if len(claims) > 1:
                owners = " and ".join(info.distribution for info in claims)
                message = f"plugin {name} of {group} is claimed by {owners}; uninstall one of them"
                faults.append(PluginFault(name, group, owners, "plugin.duplicate", message))
            else:
                found += claims
    return found, faults


class Registry:
    """The plugins that one process loads.

    ``wanted`` names features, or prefixes of them, that the process uses (see
    :func:`juliabox_ext.catalog.covers`); a plugin that provides none of these is not made.
    ``context`` carries what is the same for all plugins.
    """

    def __init__(
        self,
        selection: PluginSelection,
        wanted: Sequence[str],
        context: PluginContext,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self.selection = selection
        self._wanted = wanted
        self._context = context
        self._patience = patience
        self._plugins: list[tuple[PluginInfo, Plugin]] = []
        self.faults: list[PluginFault] = []

    def load(self) -> None:
        """Import, check and configure the enabled plugins; raise only for a required one.

        Everything else that is wrong is logged and kept in :attr:`faults`.
        """
        infos, faults = chosen(self.selection, catalog.groups_of(self._wanted))
        for fault in faults:
            self._report(fault)
        made = [pair for info in infos if (pair := self._attempt(info, self._make)) is not None]
        self._plugins = made
        for info, plugin in made:
            if self._attempt(info, partial(self._prepare, plugin)) is None:
                self._plugins = [pair for pair in self._plugins if pair[1] is not plugin]
        _features.clear()
        _features.update(self.selection.features)
        self._refuse_without_required()

    def _make(self, info: PluginInfo) -> tuple[PluginInfo, Plugin] | None:
        loaded = catalog.load_class(info)
        if not any(matches(feature, self._wanted) for feature in loaded.provides):
            return None
        settings = validated(info, loaded, self.selection.settings.get(info.name, {}))
        context = replace(
            self._context,
            name=info.name,
            settings=settings,
            folder=self._context.folder / info.name,
            feature=self.one,
        )
        return info, loaded(context)

    def _prepare(self, plugin: Plugin, _: PluginInfo) -> bool:
        for feature in plugin.requires:
            if matches(feature, self._wanted):
                self.one(feature)
            elif feature not in self.selection.features:
                raise self._absent(feature)
        plugin.configure()
        return True

    def _attempt(self, info: PluginInfo, step: Callable[[PluginInfo], T]) -> T | None:
        """Run a step with a time limit; None, and a fault, if it fails."""
        try:
            return _limited(lambda: step(info), self._patience, info)
        except JuliaBoxError as error:
            message = error.message if info.name in error.message else f"{info}: {error.message}"
            self._report(PluginFault(info.name, info.group, info.distribution, error.code, message))
        except Exception as error:
            log.exception("a plugin failed", plugin=info.name, distribution=info.distribution)
            message = f"{info} failed: {type(error).__name__}: {error}"
            self._report(
                PluginFault(info.name, info.group, info.distribution, "plugin.failed", message)
            )
        return None

    def _report(self, fault: PluginFault) -> None:
        log.error("a plugin is not there", plugin=fault.plugin, reason=fault.message)
        self.faults.append(fault)

    def _refuse_without_required(self) -> None:
        for name in self.selection.required:
            for fault in self.faults:
                if fault.plugin == name:
                    raise PluginError(
                        f"{fault.message}. It is listed in plugins.required", code=fault.code
                    )

    def all(self, feature: str) -> list[Any]:
        """Return the plugins that provide a feature, the operator's own choice first."""
        return [plugin for _, plugin in self._plugins if feature in plugin.provides]

    def one(self, feature: str) -> Any:
        """Return the plugin that provides a feature; raise ``PluginError`` if there is none.

        Of several the one that the operator enabled counts, not a default.
        """
        found = self.all(feature)
        explicit = [plugin for plugin in found if plugin.name not in DEFAULTS]
        if len(explicit) > 1:
            names = " and ".join(plugin.name for plugin in explicit)
            raise PluginError(
                f"{names} both provide {feature}, of which one is used; disable the other",
                code="plugin.ambiguous",
            )
        if not found:
            raise self._absent(feature)
        return (explicit or found)[0]

    def _absent(self, feature: str) -> PluginError:
        have = sorted({one for _, plugin in self._plugins for one in plugin.provides})
        return PluginError(
            f"no enabled plugin provides {feature}; this process has {', '.join(have) or 'none'}. "
            "`juliabox plugin list` shows which ones are installed",
            code="plugin.absent",
        )

    def info(self, plugin: Plugin) -> PluginInfo:
        """Return where a plugin comes from."""
        return next(info for info, one in self._plugins if one is plugin)

    def close(self) -> None:
        """Close all plugins, the last first; an error of one is logged."""
        for info, plugin in reversed(self._plugins):
            try:
                plugin.close()
            except Exception:
                log.exception("a plugin failed to close", plugin=info.name)
        self._plugins = []


def matches(feature: str, wanted: Sequence[str]) -> bool:
    """Return whether a feature is one of the wanted, or a variant of one of them."""
    return any(catalog.covers(one, feature) for one in wanted)


def _limited(step: Callable[[], T], seconds: float, info: PluginInfo) -> T:
    """Run a step in a thread; raise ``PluginError`` if it is not done in time."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(step())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name=f"plugin-{info.name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise PluginError(
            f"{info} was not ready within {seconds:g} s; it is left out", code="plugin.hangs"
        )
    if errors:
        raise errors[0]
    return results[0]
