"""Sessions that gave their names away and are being ended: who waits for them, and how long.

They count for the instance until they are dead. Their owner's next session does not wait for them,
unless there are as many of them as one person may have sessions, or the instance has no room.
"""

from __future__ import annotations

import time
from typing import Final

from juliabox_ext.errors import ConflictError, NoRoomError, UnavailableError
from juliabox_manager.live import Live, Registry, first_set
from juliabox_manager.policy import Policy
from juliabox_manager.protocol import Limits

#: Seconds that a person's new session waits for the end of that person's retired ones.
ROOM_LIMIT: Final = 20.0

#: Seconds that the removal of a home waits for them: the longest grace, and time to be killed.
HOME_LIMIT: Final = 80.0


class Retired:
    """The retired sessions of a registry."""

    def __init__(self, registry: Registry, policy: Policy) -> None:
        """Judge room by a policy."""
        self._registry = registry
        self._policy = policy

    async def make_room(self, owner: str, limits: Limits) -> None:
        """Return when there is room for one more session of a person, whose retired ones may end.

        Raises ``UnavailableError`` if one of them is stuck or too many of them do not end, else
        what the policy raises. Nothing is awaited after the last check.
        """
        end = time.monotonic() + ROOM_LIMIT
        while True:
            left = end - time.monotonic()
            retired = self._registry.retired(owner)
            # it may hold the home, in which a new server would hang, too
            stuck = next((live for live in retired if live.stuck), None)
            many = len(retired) >= self._policy.sessions_per_owner
            if stuck is not None or (many and left <= 0):
                raise _unfinished(stuck or retired[0])
            if not many:
                try:
                    return self._policy.check_room(owner, limits, self._registry.tally)
                except NoRoomError as error:
                    if not retired or left <= 0 or error.code == "no_room.owner":
                        raise
            await first_set([live.gone for live in retired], left)

    async def leave_home(self, owner: str) -> None:
        """Return when no session of a person is left; raise ``ConflictError`` if one lives on."""
        end = time.monotonic() + HOME_LIMIT
        while using := self._registry.of(owner) + self._registry.retired(owner):
            kept = [live for live in using if not live.record.retired or live.stuck]
            left = end - time.monotonic()
            if kept or left <= 0:
                names = ", ".join(sorted({live.record.session for live in kept or using}))
                raise ConflictError(
                    f"the home of {owner} belongs to sessions that have not ended ({names}); "
                    "remove them first",
                    code="volume.in_use",
                )
            await first_set([live.gone for live in using], left)


def _unfinished(live: Live) -> UnavailableError:
    record = live.record
    return UnavailableError(
        f"a session before this one has not ended yet: {record.session} of {record.owner} "
        "does not end, probably because its disk does not answer; the manager keeps trying"
        if live.stuck
        else f"{record.owner} has stopped many sessions that have not ended yet; try again",
        code="session.stopping",
    )
