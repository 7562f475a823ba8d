"""Who may use a profile: one rule for the spawner, which enforces it, and for pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol


class Restricted(Protocol):
    """What the rule looks at."""

    @property
    def groups(self) -> Sequence[str]:
        """Groups whose members may use it."""

    @property
    def users(self) -> Sequence[str]:
        """People who may use it, whatever their groups."""


def admits(profile: Restricted, name: str, groups: Iterable[str]) -> bool:
    """Return whether a person, a member of the groups, may use a profile."""
    if not (profile.groups or profile.users):
        return True
    return name in profile.users or not set(groups).isdisjoint(profile.groups)
