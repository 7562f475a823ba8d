"""``juliabox plugin install`` and ``remove``: all of it, or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from rich.console import Console

from juliabox_cli import config_file, plugin_environment, plugin_sources, preflight
from juliabox_cli.atomic_files import ensure_folder, write_bytes
from juliabox_cli.config import Config
from juliabox_cli.plugin_choice import Choice, choose
from juliabox_cli.plugin_sources import Source
from juliabox_cli.state import State, exclusive, find_state, refuse_foreign
from juliabox_cli.up import Outcome, bring_up
from juliabox_ext import catalog
from juliabox_ext.errors import NotFoundError, PluginError, RequestError
from juliabox_ext.registry import PluginFault


@dataclass(frozen=True)
class Installed:
    """What an installation brought: the entries of the file, and the plugins."""

    sources: list[str]
    plugins: list[str]
    outcome: Outcome


def install(console: Console, texts: Sequence[str]) -> Installed:
    """Install packages, enable their plugins and bring the service in line with that.

    When any of it fails, configuration, environment and service are as they were.
    """
    with _installation() as state:
        before = _Before.look(state)
        with before.kept(console):
            sources = [plugin_sources.adopt(state.plugins, text) for text in texts]
            plugin_environment.install(state, sources)
            installed = plugin_environment.versions()
            sources = [plugin_sources.pinned(one, installed[one.distribution]) for one in sources]
            names = _plugins_of(sources)
            config = _record(state, before.config, sources, names)
            _refuse_faults(choose(config), names)
            outcome = before.bring_up(console)
        _tidy(state, config)
        return Installed([one.text for one in sources], names, outcome)


def remove(console: Console, name: str) -> list[str]:
    """Take the package with a plugin out again; return the plugins that are gone."""
    with _installation() as state:
        before = _Before.look(state)
        source = _source_of(before.config, name)
        names = _plugins_of([source], required=False)
        with before.kept(console):
            config = _forget(state, before.config, source, names)
            known = {fault.message for fault in choose(before.config).faults}
            for fault in choose(config).faults:
                if fault.message not in known:
                    raise PluginError(
                        f"{source.distribution} cannot be removed: {fault.message}",
                        code="plugin.needed",
                    )
            before.bring_up(console)
            plugin_environment.uninstall([source.distribution])
        _tidy(state, config)
        return names


@contextmanager
def _installation() -> Iterator[State]:
    state = find_state()
    preflight.require_root()
    refuse_foreign(state)
    with exclusive(state):
        config_file.ensure(state.config)
        ensure_folder(state.plugins, mode=0o700)
        yield state


class _Before:
    """How everything was, to bring it back."""

    def __init__(self, state: State, config: Config, text: bytes) -> None:
        self.config = config
        self._state = state
        self._text = text
        self._versions = plugin_environment.versions()
        self._wheels = {path: path.read_bytes() for path in state.plugins.glob("*.whl")}
        self._touched = False

    @classmethod
    def look(cls, state: State) -> _Before:
        """Remember how everything is."""
        return cls(state, config_file.load(state.config), state.config.read_bytes())

    def bring_up(self, console: Console) -> Outcome:
        """Bring the service in line; should that fail, it is brought back, too."""
        self._touched = True
        return bring_up(console)

    @contextmanager
    def kept(self, console: Console) -> Iterator[None]:
        """Bring everything back when something fails, and pass the failure on."""
        try:
            yield
        except BaseException:
            self._restore(console)
            raise

    def _restore(self, console: Console) -> None:
        write_bytes(self._state.config, self._text, mode=0o600)
        for path in set(self._state.plugins.glob("*.whl")) - set(self._wheels):
            path.unlink()
        for path, content in self._wheels.items():
            write_bytes(path, content, mode=0o600)
        sources = [plugin_sources.parse(text) for text in self.config.plugins.install]
        try:
            plugin_environment.restore(self._state, self._versions, sources)
            if self._touched:
                bring_up(console)
        except Exception as error:  # what failed first is told, whatever fails now
            message = getattr(error, "message", f"{type(error).__name__}: {error}")
            said = f"Bringing back what was there failed: {message}"
            console.print(said, highlight=False, markup=False)


def _plugins_of(sources: Sequence[Source], *, required: bool = True) -> list[str]:
    """Return the names of the plugins that packages bring."""
    found: dict[str, set[str]] = {}
    for info in catalog.available():
        found.setdefault(canonicalize_name(info.distribution), set()).add(info.name)
    for source in sources:
        if required and source.distribution not in found:
            raise RequestError(
                f"{source.distribution} brings no plugin: it has no entry point in a group of "
                "JuliaBox's. See docs/tutorials/first-plugin.md",
                code="plugin.none",
            )
    return sorted({name for one in sources for name in found.get(one.distribution, ())})


def _record(state: State, old: Config, sources: Sequence[Source], names: Sequence[str]) -> Config:
    """Write an installation into the operator's file."""
    fresh = {one.distribution for one in sources}
    kept = [t for t in old.plugins.install if plugin_sources.parse(t).distribution not in fresh]
    return _write(
        state,
        old,
        install=[*kept, *(one.text for one in sources)],
        enable=list(dict.fromkeys([*names, *old.plugins.enable])),
        disable=[name for name in old.plugins.disable if name not in names],
    )


def _forget(state: State, old: Config, source: Source, names: Sequence[str]) -> Config:
    """Take a package and its plugins out of the operator's file."""
    return _write(
        state,
        old,
        install=[text for text in old.plugins.install if text != source.text],
        enable=[name for name in old.plugins.enable if name not in names],
        required=[name for name in old.plugins.required if name not in names],
    )


def _write(state: State, old: Config, **lists: list[str]) -> Config:
    """Set those lists of the section that differ."""
    changed = {key: value for key, value in lists.items() if getattr(old.plugins, key) != value}
    values = {f"plugins.{key}": json.dumps(value) for key, value in changed.items()}
    return config_file.set_values(state.config, values)


def _refuse_faults(choice: Choice, names: Sequence[str]) -> None:
    """Raise ``PluginError`` for a plugin that was just installed and does not work."""
    faults: list[PluginFault] = [fault for fault in choice.faults if fault.plugin in names]
    if faults:
        message = "; ".join(fault.message for fault in faults)
        raise PluginError(f"{message}. Nothing was changed", code=faults[0].code)
    choice.refuse_without_required()


def _source_of(config: Config, name: str) -> Source:
    """Return the entry that brings a plugin, or is of a distribution, of this name."""
    sources = [plugin_sources.parse(text) for text in config.plugins.install]
    for source in sources:
        if canonicalize_name(name) == source.distribution:
            return source
    for source in sources:
        if name in _plugins_of([source], required=False):
            return source
    known = ", ".join(source.distribution for source in sources) or "none"
    raise NotFoundError(
        f"no installed package brings a plugin {name}; installed packages: {known}",
        code="plugin.not_installed",
    )


def _tidy(state: State, config: Config) -> None:
    """Delete wheel files that no entry names."""
    sources = (plugin_sources.parse(text) for text in config.plugins.install)
    named = {Path(one.wheel).name for one in sources if one.wheel is not None}
    for path in state.plugins.glob("*.whl"):
        if path.name not in named:
            path.unlink()
