"""Which plugins an installation uses: the operator's choice, what it needs, and what works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from juliabox_cli.config import Config, Plugins
from juliabox_cli.plugin_probe import Probed, Settings, probe
from juliabox_ext import catalog
from juliabox_ext.catalog import PluginInfo
from juliabox_ext.cloud import SINGLE
from juliabox_ext.errors import ConfigurationError, PluginError
from juliabox_ext.loads import LOADS
from juliabox_ext.plugin import GROUPS
from juliabox_ext.registry import PluginFault, chosen, matches
from juliabox_ext.selection import DEFAULTS, PluginSelection

Probe = Callable[[Sequence[PluginInfo], Settings], list[Probed]]


@dataclass(frozen=True)
class Choice:
    """The plugins that an installation uses, in order of preference, and what is wrong."""

    plugins: tuple[Probed, ...] = ()
    faults: tuple[PluginFault, ...] = ()
    required: tuple[str, ...] = ()
    #: Every plugin that was looked at, those at fault included.
    probed: tuple[Probed, ...] = ()

    @property
    def features(self) -> dict[str, list[str]]:
        """What the whole installation provides: feature -> names of plugins."""
        found: dict[str, list[str]] = {}
        for plugin in self.plugins:
            for feature in plugin.provides:
                names = found.setdefault(feature, [])
                if plugin.name not in names:
                    names.append(plugin.name)
        return dict(sorted(found.items()))

    def loaded_by(self, part: str) -> list[Probed]:
        """Return the plugins that one part imports, and those that its tasks require."""
        wanted = LOADS[part]
        own = [one for one in self.plugins if any(matches(f, wanted) for f in one.provides)]
        tasks = [one for one in own if one.info.group == "juliabox.task"]
        required = {feature for one in tasks for feature in one.requires}
        return [one for one in self.plugins if one in own or required & set(one.provides)]

    def selection(self, part: str, settings: Settings) -> PluginSelection:
        """Return what one part is told: its own plugins, and no settings of others."""
        names = list(dict.fromkeys(plugin.name for plugin in self.loaded_by(part)))
        return PluginSelection(
            enabled=names,
            required=[name for name in self.required if name in names],
            settings={name: dict(settings[name]) for name in names if name in settings},
            features=self.features,
        )

    def working_logins(self, names: Sequence[str]) -> list[str]:
        """Return the log-ins that work; all, for the hub to say what is wrong, if none does."""
        working = {plugin.name for plugin in self.plugins}
        return [name for name in names if name in working] or list(names)

    def refuse_without_login(self, names: Sequence[str]) -> None:
        """Raise ``ConfigurationError`` if none of the log-ins works."""
        if {plugin.name for plugin in self.plugins}.isdisjoint(names):
            reasons = [fault.message for fault in self.faults if fault.plugin in names]
            raise ConfigurationError(
                f"nobody could log in, so nothing was started: {'; '.join(reasons)}",
                code="login.none",
            )

    def refuse_without_required(self) -> None:
        """Raise ``PluginError`` if a required plugin is not among those that work."""
        working = {plugin.name for plugin in self.plugins}
        for name in self.required:
            if name not in working:
                faults = [fault for fault in self.faults if fault.plugin == name]
                reason = faults[0].message if faults else f"plugin {name} is not enabled"
                raise PluginError(
                    f"{reason}. It is listed in plugins.required, so nothing was started",
                    code="plugin.required",
                )


def enabled_names(config: Config) -> list[str]:
    """Return the names that the file enables, the operator's own choice first.

    Built-in plugins that this version lacks are no mistake of the operator's.
    """
    login = config.authentication.login
    installed = {info.name for info in catalog.available()}
    own = [login] if isinstance(login, str) else list(login)
    usual = [name for name in (*own, *DEFAULTS) if name in installed]
    names = dict.fromkeys([*config.plugins.enable, *usual])
    return [name for name in names if name not in config.plugins.disable]


def choose(config: Config, examine: Probe = probe) -> Choice:
    """Return the plugins of an installation; those that do not work are left out, with the reason.

    Nothing is raised for a fault: see :meth:`Choice.refuse_without_required`.
    """
    names = enabled_names(config)
    infos, faults = chosen(PluginSelection(enabled=names), GROUPS)
    claimed = {fault.plugin for fault in faults}
    infos = sorted(infos, key=lambda info: names.index(info.name))
    probed = examine([info for info in infos if info.name not in claimed], config.plugins.settings)
    probed += _needed(probed, config.plugins, examine)
    working, broken = _settle(probed)
    faults += [one.fault for one in broken if one.fault is not None]
    return Choice(tuple(working), tuple(faults), tuple(config.plugins.required), tuple(probed))


def _needed(probed: list[Probed], plugins: Plugins, examine: Probe) -> list[Probed]:
    """Return built-in plugins that the enabled ones require, where no enabled one provides it."""
    added: list[Probed] = []
    spare: list[Probed] | None = None
    while missing := _absent([*probed, *added]):
        if spare is None:
            taken = {one.name for one in probed} | set(plugins.disable)
            free = [one for one in catalog.available() if one.built_in and one.name not in taken]
            # one that the operator gave settings comes before the others
            free.sort(key=lambda info: (info.name not in plugins.settings, info))
            spare = [one for one in examine(free, plugins.settings) if one.fault is None]
        fitting = (one for one in spare if missing & set(one.provides))
        found = next(fitting, None)
        if found is None:
            break
        group = [one for one in spare if one.name == found.name]
        spare = [one for one in spare if one.name != found.name]
        added += group
    return added


def _absent(plugins: Iterable[Probed]) -> set[str]:
    """Return features that plugins without fault require and none of them provides."""
    working = [one for one in plugins if one.fault is None]
    provided = {feature for one in working for feature in one.provides}
    return {feature for one in working for feature in one.requires} - provided


def _settle(probed: list[Probed]) -> tuple[list[Probed], list[Probed]]:
    """Part the plugins that work together from those that do not.

    A name stands for one plugin: a fault in one of its groups leaves all of it out, and what
    requires it follows.
    """
    plugins = _without_rivals(probed)
    while True:
        broken = {one.name for one in plugins if one.fault is not None}
        working = [one for one in plugins if one.name not in broken]
        absent = _absent(working)
        lacking = [one for one in working if set(one.requires) & absent]
        if not lacking:
            return working, [one for one in plugins if one.fault is not None]
        plugins = [_lacking(one, absent) if one in lacking else one for one in plugins]


def _lacking(plugin: Probed, absent: set[str]) -> Probed:
    features = ", ".join(sorted(set(plugin.requires) & absent))
    return plugin.left_out(
        "plugin.absent",
        f"{plugin.info} requires {features}, which no enabled plugin provides; enable one that "
        "does (`juliabox plugin list`), or disable it",
    )


def _without_rivals(probed: list[Probed]) -> list[Probed]:
    """Leave out all but the first of the operator's own providers of what is used once."""
    first: dict[str, Probed] = {}
    kept: list[Probed] = []
    for plugin in probed:
        kept.append(plugin)
        if plugin.fault is not None or plugin.name in DEFAULTS:
            continue
        for feature in (*SINGLE, "db"):
            rival = first.setdefault(feature, plugin) if feature in plugin.provides else plugin
            if rival.name != plugin.name:
                kept[-1] = plugin.left_out(
                    "plugin.ambiguous",
                    f"{plugin.info} and {rival.info} both provide {feature}, of which one is used; "
                    f"{rival.name} is. Disable one of them",
                )
                break
    return kept
