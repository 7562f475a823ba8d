"""What a client may ask for: images, limits, and how much of this instance.

Every refusal names what was asked, what is allowed, and what can be done about it.
"""

from __future__ import annotations

import shutil

from juliabox_ext.errors import NoRoomError, PolicyError
from juliabox_manager.protocol import Limits
from juliabox_manager.records import Kind
from juliabox_manager.settings import ApiContainers, ManagerSettings
from juliabox_manager.tally import Tally
from juliabox_manager.volumes.places import check_reserve

_MIB = 1024**2


class Policy:
    """Image allow-list, ceilings and quotas of one instance."""

    def __init__(self, settings: ManagerSettings) -> None:
        """Take the rules from the manager's settings."""
        self._settings = settings

    def image_id(self, image: str) -> str:
        """Return the engine id that an image name stands for, if sessions may have it."""
        found = self.known_image(image)
        if found is None:
            allowed = [one for one in sorted(self._settings.images) if self.known_image(one)]
            raise PolicyError(
                f"image {image!r} is not allowed on this instance; "
                f"allowed: {', '.join(allowed) or 'none'}",
                code="image.not_allowed",
            )
        return found

    def known_image(self, image: str, kind: Kind = "session") -> str | None:
        """Return the engine id of an image name, or None if a kind may not have it (any more).

        The image of API containers is for them alone, also if it is listed for sessions, too.
        """
        api = self._settings.api
        if kind == "api":
            return api.image_id if api is not None and image == api.image else None
        found = self._settings.images.get(image)
        if api is not None and (image == api.image or found == api.image_id):
            return None
        return found

    @property
    def api(self) -> ApiContainers:
        """The rules of API containers; raises ``PolicyError`` if there are to be none."""
        if self._settings.api is None:
            raise PolicyError(
                "this instance runs no API containers; the operator switches published APIs on "
                "with `juliabox config set apis.enabled true`",
                code="policy.api",
            )
        return self._settings.api

    def admits(self, kind: Kind) -> bool:
        """Return whether this instance runs containers of a kind."""
        return kind == "session" or self._settings.api is not None

    def check_limits(self, limits: Limits, kind: Kind = "session") -> None:
        """Refuse limits above the ceilings of a kind."""
        ceilings = self._settings.ceilings if kind == "session" else self.api.ceilings
        for name in Limits.__struct_fields__:
            asked, ceiling = getattr(limits, name), getattr(ceilings, name)
            if asked > ceiling:
                raise PolicyError(
                    f"{name} limit {_amount(name, asked)} is above this instance's ceiling "
                    f"of {_amount(name, ceiling)}; ask for less, or have the ceiling raised",
                    code=f"policy.limit.{name}",
                )

    @property
    def sessions_per_owner(self) -> int:
        """How many sessions one person may have."""
        return self._settings.capacity.sessions_per_owner

    def check_room(self, owner: str, limits: Limits, tally: Tally) -> None:
        """Refuse a session that the quotas have no room for.

        Counted are all sessions that have not ended, those still being made included; the person's
        own without those that are retired.
        """
        capacity = self._settings.capacity
        own = tally.of(owner)
        if own >= capacity.sessions_per_owner:
            raise NoRoomError(
                f"{owner} has {own} sessions, the most that one person may have; stop one first",
                code="no_room.owner",
            )
        if tally.living >= capacity.sessions:
            raise NoRoomError(
                f"all {capacity.sessions} sessions of this instance are taken; try again later",
                code="no_room.sessions",
            )
        if capacity.memory and tally.memory + limits.memory > capacity.memory:
            free = max(0, capacity.memory - tally.memory)
            raise NoRoomError(
                f"{_amount('memory', limits.memory)} of memory were asked for and "
                f"{_amount('memory', free)} are left on this instance; try again later or "
                "with less",
                code="no_room.memory",
            )

    def check_api_room(self, publisher: str, limits: Limits, tally: Tally) -> None:
        """Refuse an API container that its quotas have no room for; sessions do not count.

        Counted are all that have not ended; the publisher's own without those that are retired.
        """
        own = tally.of(publisher)
        if own >= self.api.containers_per_publisher:
            raise NoRoomError(
                f"{publisher} has {own} API containers, the most that one publisher may have",
                code="no_room.api_publisher",
            )
        if tally.living >= self.api.containers:
            raise NoRoomError(
                f"all {self.api.containers} API containers of this instance are taken; try again "
                "later",
                code="no_room.api_containers",
            )
        if self.api.memory and tally.memory + limits.memory > self.api.memory:
            free = max(0, self.api.memory - tally.memory)
            raise NoRoomError(
                f"{_amount('memory', limits.memory)} of memory were asked for and "
                f"{_amount('memory', free)} are left for API containers on this instance; try "
                "again later or with less",
                code="no_room.api_memory",
            )

    def disk_free(self) -> int:
        """Return bytes that are free for the manager in the state folder."""
        return shutil.disk_usage(self._settings.state).free

    def check_disk(self) -> None:
        """Refuse to start anything while the state folder's disk is nearly full."""
        check_reserve(self._settings.state, self._settings.capacity.disk_reserve)


def _amount(name: str, value: float) -> str:
    return f"{value // _MIB:.0f} MiB" if name in {"memory", "disk"} else f"{value:g}"
