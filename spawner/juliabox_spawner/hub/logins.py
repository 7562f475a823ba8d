"""The log-ins of the hub: plugins that are chosen, checked, and made ready for JupyterHub.

A log-in that is not installed or is configured wrongly is left out and reported; the others work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
from jupyterhub.auth import Authenticator

from juliabox_ext.errors import ConfigurationError, JuliaBoxError, PluginError
from juliabox_ext.handler import JBPluginHandler, Login
from juliabox_ext.loads import LOADS
from juliabox_ext.plugin import Plugin, PluginContext
from juliabox_ext.registry import PluginFault, Registry
from juliabox_ext.ui import JBPluginUI
from juliabox_spawner.settings import HubSettings

log = structlog.get_logger("juliabox.logins")
T = TypeVar("T")

#: The log-in whose people keep bare names.
NATIVE = "native"
ZERO = "zero"


@dataclass(frozen=True)
class LoadedLogin:
    """One log-in that works."""

    name: str
    authenticator: type[Any]
    traits: dict[str, Any]

    @property
    def service(self) -> str:
        """What the button says, such as ``GitHub``."""
        return str(self.traits.get("button") or self.traits.get("login_service") or self.name)


@dataclass(frozen=True)
class Button:
    """A piece of the log-in page: the plugin and its template."""

    plugin: str
    template: Path


@dataclass(frozen=True)
class Logins:
    """All that the log-ins of a hub consist of."""

    members: list[LoadedLogin] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)
    #: Name -> rule for who may come in after a log-in.
    rules: dict[str, Any] = field(default_factory=dict)
    #: Names of rules that ought to be there and are not; nobody gets in without them.
    absent_rules: list[str] = field(default_factory=list)
    faults: list[PluginFault] = field(default_factory=list)
    registry: Registry | None = None

    def find(self, name: str) -> LoadedLogin | None:
        """Return the log-in of a plugin's name."""
        return next((one for one in self.members if one.name == name), None)

    @property
    def bare(self) -> str:
        """The plugin whose people keep bare names; empty if all names have a plugin's."""
        names = [one.name for one in self.members]
        if NATIVE in names:
            return NATIVE
        return ZERO if names == [ZERO] else ""


def load_logins(settings: HubSettings) -> Logins:
    """Load the log-ins that the settings name, their buttons, and the rules after a log-in.

    What is wrong with one is logged and among ``faults``. Raise ``ConfigurationError`` if none is
    left, and ``PluginError`` if a required plugin is at fault.
    """
    names = settings.login.logins
    selection = msgspec.structs.replace(
        settings.plugins, enabled=list(dict.fromkeys([*names, *settings.plugins.enabled]))
    )
    context = PluginContext(
        "",
        installation=settings.installation,
        instance=settings.installation,
        folder=settings.folder / "plugins",
        public_url=settings.public_url,
    )
    registry = Registry(selection, LOADS["hub"], context)
    registry.load()
    faults = [fault for fault in registry.faults if _concerns_logins(fault, names)]
    plugins = {plugin.name: plugin for plugin in _logins_of(registry)}
    members = []
    for name in names:
        member = _guarded(name, partial(_member, name, plugins), faults)
        if member is not None:
            members.append(member)
    if not members:
        raise ConfigurationError(
            "nobody could log in: "
            + "; ".join(fault.message for fault in faults)
            + ". Mend it, or set authentication.login to native",
            code="login.none",
        )
    rules = {rule.name: rule for rule in registry.all(JBPluginHandler.JBP_HANDLER_POST_AUTH)}
    expected = selection.features.get(JBPluginHandler.JBP_HANDLER_POST_AUTH, [])
    return Logins(
        members=members,
        buttons=_buttons(registry, [one.name for one in members], faults),
        rules=rules,
        absent_rules=[name for name in expected if name not in rules],
        faults=faults,
        registry=registry,
    )


def _concerns_logins(fault: PluginFault, names: list[str]) -> bool:
    return fault.plugin in names or fault.group in ("juliabox.handler", "juliabox.ui")


def _logins_of(registry: Registry) -> list[Plugin]:
    features = [one for one, kind in JBPluginHandler.functionalities.items() if kind is Login]
    return [plugin for feature in features for plugin in registry.all(feature)]


def _guarded(name: str, step: Callable[[], T], faults: list[PluginFault]) -> T | None:
    """Run a step of a plugin; None, a line in the log and a fault if it fails."""
    try:
        return step()
    except JuliaBoxError as error:
        code, message = error.code, error.message
    except Exception as error:
        log.exception("a log-in failed", plugin=name)
        code, message = "plugin.failed", f"plugin {name} failed: {type(error).__name__}: {error}"
    if all(fault.plugin != name for fault in faults):
        faults.append(PluginFault(name, "juliabox.handler", "", code, message))
    log.error("a log-in is left out", plugin=name, reason=message)
    return None


def _member(name: str, plugins: dict[str, Plugin]) -> LoadedLogin:
    plugin: Any = plugins.get(name)
    loaded: Any
    if plugin is None:
        raise PluginError(
            f"plugin {name} is no log-in that can be used; loaded are "
            f"{', '.join(sorted(plugins)) or 'none'}",
            code="plugin.absent",
        )
    loaded, traits = plugin.authenticator(), dict(plugin.traits())
    if not (isinstance(loaded, type) and issubclass(loaded, Authenticator)):
        raise PluginError(
            f"plugin {name}: {loaded!r} is no jupyterhub.auth.Authenticator", code="plugin.contract"
        )
    unknown = sorted(set(traits) - _traits_of(loaded))
    if unknown:
        raise PluginError(
            f"plugin {name}: {loaded.__name__} has no trait {', '.join(unknown)}",
            code="plugin.contract",
        )
    if name not in (NATIVE, ZERO):
        # a value that a trait refuses is found now, not when JupyterHub has no way back
        loaded(**traits)
    return LoadedLogin(name, loaded, traits)


def _buttons(registry: Registry, loaded: list[str], faults: list[PluginFault]) -> list[Button]:
    """Return the buttons in the order of the log-ins, and then pieces that belong to none."""
    place = JBPluginUI.JBP_UI_AUTH_BTN
    widgets = {widget.name: widget for widget in registry.all(place)}
    others = [name for name in widgets if name not in loaded and not _is_login(name, registry)]
    found = []
    for name in [*loaded, *others]:
        widget = widgets.get(name)
        if widget is None:
            log.warning("a log-in has no button", plugin=name)
            continue
        template = _guarded(name, partial(_template, widget, place), faults)
        if template is not None:
            found.append(Button(name, template))
    return found


def _traits_of(loaded: Any) -> set[str]:
    return set(loaded.class_trait_names())


def _template(widget: Any, place: str) -> Path:
    return Path(widget.get_template(place))


def _is_login(name: str, registry: Registry) -> bool:
    """Whether a button is that of a log-in, which then is not among those that are used."""
    named = [plugin.name for plugin in _logins_of(registry)]
    return name in named or any(
        fault.plugin == name and fault.group == "juliabox.handler" for fault in registry.faults
    )
