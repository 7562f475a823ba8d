"""What the portal asks the manager: shared between callers, kept for a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from juliabox_ext.errors import ConfigurationError, UnavailableError
from juliabox_manager import protocol as p
from juliabox_services.portal.hub import Shared
from juliabox_services.portal.settings import PortalSettings
from juliabox_spawner.client import ManagerClient

#: Seconds that an answer is good for, and that a page waits for the manager.
FRESH = 1.5
PATIENCE = 5.0
#: Seconds that a person's volumes are good for while they belong to the sessions that are known.
SETTLED = 10.0


class Instance:
    """The manager of this instance, as pages see it."""

    def __init__(self, client: ManagerClient) -> None:
        self.client = client
        self._shared = Shared(FRESH)

    async def ask(self, verb: p.Verb, fresh: Callable[[Any], float] | None = None) -> Any:
        """Return the answer to a verb that changes nothing, at most :data:`FRESH` seconds old.

        ``fresh`` tells how old it may be instead.

        Raise ``UnavailableError`` (``portal.manager``) while the manager is away.
        """
        try:
            return await self._shared.get(
                repr(verb), lambda: self.client.call(verb, PATIENCE), fresh
            )
        except UnavailableError as error:
            raise UnavailableError(
                "JuliaBox's container manager does not answer; sessions go on meanwhile",
                code="portal.manager",
            ) from error

    async def sessions(self, owner: str | None = None) -> list[p.SessionInfo]:
        """Return sessions, of one person or of all."""
        found: list[p.SessionInfo] = await self.ask(p.SessionList())
        return [one for one in found if owner is None or one.owner == owner]

    async def usage(self) -> dict[str, p.UsageInfo]:
        """Return what the running sessions use, by session."""
        found: list[p.UsageInfo] = await self.ask(p.SessionUsages())
        return {one.session: one for one in found}

    async def volumes(self) -> list[p.VolumeInfo]:
        """Return the volumes of all."""
        found: list[p.VolumeInfo] = await self.ask(p.VolumeList())
        return found

    async def volumes_of(self, owner: str, sessions: list[p.SessionInfo]) -> list[p.VolumeInfo]:
        """Return a person's volumes, given what is known of the person's sessions."""
        using = {one.session for one in sessions if one.state != "ended"}

        def fresh(kept: list[p.VolumeInfo]) -> float:
            known = {session for volume in kept for session in volume.sessions}
            return SETTLED if known == using else FRESH

        found: list[p.VolumeInfo] = await self.ask(p.VolumeList(owner), fresh)
        return found

    async def stats(self) -> p.StatsInfo:
        """Return the load of this instance."""
        found: p.StatsInfo = await self.ask(p.Stats())
        return found

    async def pools(self) -> list[p.PoolInfo]:
        """Return the pools of warm containers, one of each image."""
        found: list[p.PoolInfo] = await self.ask(p.PoolList())
        return found


def make_client(settings: PortalSettings) -> ManagerClient:
    """Return a client of the manager with the portal's own key."""
    try:
        key = settings.manager.secret_key.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{settings.manager.secret_key}: {error}") from None
    return ManagerClient(settings.manager.endpoint, settings.manager.server_key, key)
