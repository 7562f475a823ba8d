"""Containers of the manager, as the engine asks for them.

What was made is taken back for certain: a container that must go is asked for again and again until
the manager, which may be away, has answered.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import structlog

from juliabox_ext.errors import JuliaBoxError, NotFoundError, UnavailableError
from juliabox_manager import protocol as p

#: Seconds that the manager may take to make, to start and to end a container, and to list them.
CREATE_SECONDS, START_SECONDS, RETIRE_SECONDS, LIST_SECONDS = 10.0, 120.0, 10.0, 5.0
#: Seconds until a container that could not be ended is asked to end again: first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0

log = structlog.get_logger("juliabox.api")


class Caller(Protocol):
    """What asks the manager: :class:`juliabox_spawner.client.ManagerClient`."""

    async def call(self, verb: p.Verb, timeout: float = 30.0) -> Any:  # noqa: ASYNC109
        """Return the typed result of a verb, or raise a ``JuliaBoxError``."""


class Machine:
    """The verbs of API containers, and the containers that are being ended."""

    def __init__(self, manager: Caller) -> None:
        self._manager = manager
        self._ending: dict[str, asyncio.Task[None]] = {}
        #: Containers that are being made and whose ids are not known yet.
        self.creating = 0

    async def create(self, publisher: str, api: str, version: int, limits: p.Limits) -> str:
        """Make a container; return its id.

        After an error there may be one all the same, which is in :meth:`list`.
        """
        verb = p.ApiCreate(publisher, api, version, limits)
        self.creating += 1
        try:
            made: p.ApiContainer = await self._manager.call(verb, CREATE_SECONDS)
        finally:
            self.creating -= 1
        return made.container

    async def start(self, container: str, environment: dict[str, str]) -> p.ApiContainer:
        """Start a container; it is answered when its first worker listens."""
        verb = p.ApiStart(container, environment)
        started: p.ApiContainer = await self._manager.call(verb, START_SECONDS)
        if not started.address:
            raise UnavailableError("the container did not get an address")
        return started

    async def list(self) -> list[p.ApiContainer]:
        """Return all API containers, except those that are ended behind."""
        found: list[p.ApiContainer] = await self._manager.call(p.ApiList(), LIST_SECONDS)
        return [one for one in found if not one.retired]

    async def ending(self, container: str) -> p.ExitInfo | None:
        """Return how a container ended that has died, if the manager knows it already."""
        for one in await self.list():
            if one.container == container:
                return one.exit
        return None

    def retire(self, container: str) -> asyncio.Task[None]:
        """End a container at once, however often that must be asked for; return the work.

        It ends when the manager has taken the container over to be removed.
        """
        task = self._ending.get(container)
        if task is None:
            task = asyncio.create_task(self._retire(container), name=f"retire {container}")
            self._ending[container] = task
            task.add_done_callback(lambda _: self._ending.pop(container, None))
        return task

    @property
    def leaving(self) -> set[str]:
        """Containers that are asked to end and may still run."""
        return set(self._ending)

    async def close(self) -> None:
        """Forget those that could not be ended: the next engine ends them."""
        late = list(self._ending.values())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if late:
            log.warning("containers were not ended; the next engine does it", number=len(late))

    async def _retire(self, container: str) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self._manager.call(p.ApiRetire(container, 0.0), RETIRE_SECONDS)
            except NotFoundError:
                return
            except JuliaBoxError as error:
                log.warning(
                    "a container cannot be ended now", container=container, reason=error.message
                )
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                return
