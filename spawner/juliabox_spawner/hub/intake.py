"""Requests that start or stop a server begin one after the other, not all in one go.

JupyterHub does the first several milliseconds of such a request without letting anything else run.
When a class of fifty comes in one moment, the hub would answer nothing else for half a second. Here
each such request begins in a round of the event loop of its own, in the order of arrival, so that
whatever else is asked meanwhile is answered in between. One that comes alone waits for nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.handlers.pages import SpawnHandler

_HEAVY = (SpawnHandler, UserServerAPIHandler)


class Intake:
    """Lets one through in a round of the event loop."""

    def __init__(self) -> None:
        self._last: asyncio.Future[None] | None = None

    async def come(self) -> None:
        """Return when all that came before have done what they do at once."""
        loop = asyncio.get_running_loop()
        before, self._last = self._last, loop.create_future()
        mine = self._last
        try:
            if before is not None:
                await asyncio.shield(before)
        finally:
            # runs when whoever called this lets go of the event loop
            loop.call_soon(mine.set_result, None)


def take_in_one_by_one() -> None:
    """Let the hub of this process begin one start or stop at a time."""
    if not hasattr(BaseHandler.prepare, "intake"):
        BaseHandler.prepare = _waiting(BaseHandler.prepare, Intake())


def _waiting(prepare_caller: Any, intake: Intake) -> Any:
    async def prepare(self: Any) -> None:
        if isinstance(self, _HEAVY):
            await intake.come()
        await prepare_caller(self)

    prepare.intake = intake  # type: ignore[attr-defined]
    return prepare
