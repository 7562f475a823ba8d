"""Limits of one session: the default, a person's groups, their own, then the chosen profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from juliabox_manager.protocol import Limits

#: Names of the limits, as fields of :class:`Limits` and as keys of the settings.
NAMES = ("memory", "cpu", "pids", "disk")


def resolve(
    base: Limits,
    group_limits: Mapping[str, Mapping[str, Any]],
    groups: Iterable[str],
    own: Mapping[str, Any],
    profile: Mapping[str, Any],
) -> Limits:
    """Return the limits of a session.

    ``base`` holds the defaults. Where groups of the person set a limit, the highest of them
    replaces the default, be it lower or higher; what ``own``, the person's own, sets replaces
    that. What the profile sets replaces all: profiles are restricted by group or person where that
    matters. The manager's ceilings have the last word.
    """
    members = [group_limits[name] for name in groups if name in group_limits]
    changes: dict[str, Any] = {}
    for name in NAMES:
        values = [limits[name] for limits in members if limits.get(name) is not None]
        if values:
            changes[name] = max(values)
        for stronger in (own, profile):
            if stronger.get(name) is not None:
                changes[name] = stronger[name]
    return msgspec.structs.replace(base, **changes)
