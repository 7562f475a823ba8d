"""The comparison of the engine's containers with what the manager has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from juliabox_ext.errors import JuliaBoxError
from juliabox_services.api.container import Container
from juliabox_services.api.machine import Machine

#: Seconds between two comparisons; fewer until the first was made.
SWEEP_SECONDS, FIRST_SWEEP_SECONDS = 15.0, 1.0

log = structlog.get_logger("juliabox.api")


class Sweep:
    """Ends what is nobody's, and gives up what has ended; ``everything`` tells what is known."""

    def __init__(self, machine: Machine, everything: Callable[[], Iterable[Container]]) -> None:
        self._machine = machine
        self._everything = everything
        self._done = False

    async def for_ever(self) -> None:
        """Compare from time to time."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS if self._done else FIRST_SWEEP_SECONDS)
            await self.attempt()

    async def attempt(self) -> None:
        """Compare, if the manager is there."""
        try:
            await self._compare()
        except JuliaBoxError as error:
            log.warning("the manager does not tell its containers", reason=error.message)
        except Exception:
            log.exception("the comparison with the manager failed")

    async def _compare(self) -> None:
        machine = self._machine
        before = machine.creating
        found = await machine.list()
        if not (before or machine.creating):
            # otherwise one of them may be made for somebody who does not know its name yet
            known = {one.id for one in self._everything()} | machine.leaving
            for stranger in (one for one in found if one.container not in known):
                log.info("a container that is nobody's is ended", container=stranger.container)
                machine.retire(stranger.container)
            self._done = True
        told = {one.container: one for one in found}
        for container in list(self._everything()):
            state = told.get(container.id)
            if state is not None and state.state == "ended":
                container.seen_dead()
            elif state is not None and state.stale:
                container.wear()
