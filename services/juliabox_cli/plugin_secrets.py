"""The configuration as it may be shown: secrets in settings of plugins are hidden."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from juliabox_cli.config import Config
from juliabox_cli.plugin_probe import Probed, probe
from juliabox_ext import catalog
from juliabox_ext.showing import HIDDEN, hidden

#: What stands before the host of an address.
_LOG_IN = re.compile(r"(://)[^/?#@\s]*@")


def ask(config: Config) -> list[Probed]:
    """Ask the plugins that have settings what may be shown of them."""
    settings = config.plugins.settings
    infos = [info for info in catalog.available() if info.name in settings]
    return probe(infos, settings) if infos else []


def shown(config: Config, answers: Sequence[Probed]) -> dict[str, Any]:
    """Return the configuration with every secret of a plugin hidden.

    Which settings are secrets is for the plugins' own schemas to say. All settings of a plugin that
    gave no answer are hidden, and what any of a plugin's classes calls a secret is one.
    """
    document = config.model_dump(mode="json")
    for name, given in config.plugins.settings.items():
        views = [one.shown for one in answers if one.name == name and one.shown]
        views = views or [hidden(given)]
        document["plugins"]["settings"][name] = {
            key: next((view[key] for view in views if view[key] != value), value)
            for key, value in given.items()
        }
    return {key: _without_log_ins(value) for key, value in document.items()}


def _without_log_ins(value: Any) -> Any:
    """Hide user and password of addresses, wherever in the configuration these are."""
    if isinstance(value, dict):
        return {key: _without_log_ins(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_log_ins(one) for one in value]
    return _LOG_IN.sub(rf"\1{HIDDEN}@", value) if isinstance(value, str) else value
