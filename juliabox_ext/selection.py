"""What the operator chose of the installed plugins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

#: Plugins that are enabled unless the operator's file disables them.
DEFAULTS: Sequence[str] = (
    "rdbms",
    "usage",
    "session-head",
    "configuration",
    "home",
    "localdir",
    "none",
    "singlenode",
    "session-head",
    "configuration",
    "usage-statistics",
    "cluster-load",
    "disk-use",
    "stale-entities",
    "image-freshness",
)


class PluginSelection(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``plugins`` of one part's settings file, which ``juliabox up`` renders."""

    #: Names, the operator's own choice first: of two providers of a feature the first counts.
    enabled: list[str] = field(default_factory=lambda: list(DEFAULTS))
    #: Names without which the part must not start.
    required: list[str] = field(default_factory=list)
    #: Name -> settings, of the plugins that this part loads.
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: What the whole installation provides: feature -> names of plugins.
    features: dict[str, list[str]] = field(default_factory=dict)
