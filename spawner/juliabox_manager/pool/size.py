"""How many warm containers there should be: pure functions of settings, demand and room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from juliabox_manager.settings import ApiContainers, PoolSettings


@dataclass(frozen=True)
class Room:
    """What a kind leaves: a number, and bytes of memory; None where there is no bound."""

    containers: int
    memory: int | None


def wanted(settings: PoolSettings, images: Mapping[str, int]) -> dict[str, int]:
    """Return the size of each image's pool before any bound.

    ``images`` has the most starts at once that each image saw lately, see
    :class:`juliabox_manager.pool.demand.Demand`. An image whose size is 0 has no pool.
    """
    sizes = {}
    for image, most in images.items():
        size = settings.sizes.get(image, settings.size)
        if settings.rule == "demand" and size > 0:
            size = max(size, min(most, settings.maximum))
        sizes[image] = max(0, size)
    return sizes


def bounded(
    settings: PoolSettings, wishes: Mapping[str, int], room: Room
) -> tuple[dict[str, int], str]:
    """Cut wishes down to what is admitted, evenly; return them and what bounds them, if anything.

    Sessions go first: what they have been promised is not there for warm containers.
    """
    bounds = {
        "pool.maximum admits no more": settings.maximum,
        "pool.memory admits no more": settings.memory // settings.warm_memory,
        "sessions need the room: capacity.sessions": room.containers,
    }
    if room.memory is not None:
        bounds["sessions need the room: capacity.memory"] = room.memory // settings.warm_memory
    reason, left = min(bounds.items(), key=lambda item: item[1])
    given = dict.fromkeys(wishes, 0)
    while left > 0 and (short := [one for one in sorted(wishes) if given[one] < wishes[one]]):
        for image in short[:left]:
            given[image] += 1
        left -= min(left, len(short))
    return given, reason if given != dict(wishes) else ""


def of_apis(settings: ApiContainers, room: Room) -> tuple[int, str]:
    """Return the size of the pool of API containers, and what bounds it, if anything.

    It takes nothing from the pools of sessions.
    """
    bounds = {"API containers need the room: apis.containers": room.containers}
    if room.memory is not None:
        bounds["API containers need the room: api.memory"] = room.memory // settings.warm_memory
    reason, most = min(bounds.items(), key=lambda item: item[1])
    if most >= settings.pool:
        return settings.pool, ""
    return max(0, most), reason
