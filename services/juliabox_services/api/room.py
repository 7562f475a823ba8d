"""Whether there is room for another container, and who makes way for it.

Ceilings are the operator's, of one publisher and of all. A version that has none of what there is
to have gets its turn: something idle is ended for it, or something busy is ended after its calls.
Looks at sources go first, since a publisher whose calls take all there is must be able to save
what mends it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from juliabox_services.api.container import Container
from juliabox_services.api.pool import Pool
from juliabox_services.api.scaling import busy_victim, idle_victim
from juliabox_services.api.settings import Bounds


class Room:
    """The room of all containers, which ``everything`` tells.

    Those that are being ended count until the manager has taken them over.
    """

    def __init__(self, bounds: Bounds, everything: Callable[[], Iterable[Container]]) -> None:
        self._bounds = bounds
        self._everything = everything
        #: Looks at sources that wait for room, by publisher.
        self._claims: Counter[str] = Counter()

    def for_pool(self, pool: Pool) -> bool:
        """Return whether a pool may have another container; if not, see that there will be room."""
        publisher = pool.order.publisher
        scope = self._crowd(publisher, self._claims[publisher], self._claims.total())
        if scope is None:
            return True
        if any(one.state == "ended" for one in scope):
            # its room is free in a moment, and this is asked again
            return False
        worn = next((one for one in pool.containers if one.state == "worn"), None)
        if worn is not None:
            worn.close("worn")
            return False
        others = [one for one in scope if one.keeper is not pool]
        starved = not pool.serving and not pool.staffed and pool.waiting > 0
        _make_way(others, urgent=starved, busy=starved)
        return False

    @contextlib.contextmanager
    def claimed(self, publisher: str) -> Iterator[None]:
        """Keep what becomes free for a look at a source of a publisher, until it has its room."""
        self._claims[publisher] += 1
        try:
            yield
        finally:
            self._claims[publisher] -= 1
            self._claims += Counter()  # forgets those of whom none waits

    def for_look(self, publisher: str) -> bool:
        """Return whether a source may be looked at; if not, see that there will be room.

        Nobody else's calls are ended for it.
        """
        scope = self._crowd(publisher)
        if scope is None:
            return True
        if not any(one.state == "ended" for one in scope):
            own = all(one.order.publisher == publisher for one in scope)
            _make_way(scope, urgent=True, busy=own)
        return False

    def _crowd(self, publisher: str, own_kept: int = 0, kept: int = 0) -> list[Container] | None:
        """Return the containers that use up what there is for a publisher; ``None``: there is room.

        So many places of the publisher's, and of all, are kept for others.
        """
        everything = list(self._everything())
        own = [one for one in everything if one.order.publisher == publisher]
        if len(own) + own_kept >= self._bounds.containers_per_publisher:
            return own
        return everything if len(everything) + kept >= self._bounds.containers else None


def _make_way(scope: list[Container], *, urgent: bool, busy: bool) -> None:
    """End something idle, or let something busy end after its calls if that must be."""
    victim = idle_victim(scope, urgent=urgent)
    if victim is not None:
        victim.end("evicted")
    elif busy and not any(one.state == "closing" for one in scope):
        late = busy_victim(one for one in scope if one.serves)
        if late is not None:
            late.close("evicted")
