"""Calls to the manager with the operator's key."""

from __future__ import annotations

import asyncio
from typing import Any

from juliabox_cli.addresses import Addresses
from juliabox_cli.ports import MANAGER_PORT
from juliabox_cli.secret_files import public_key
from juliabox_cli.state import State
from juliabox_manager.keys import load_key
from juliabox_manager.protocol import Verb
from juliabox_spawner.client import ManagerClient


class ManagerLink:
    """The manager of one installation, as its operator reaches it from the host."""

    def __init__(self, state: State, addresses: Addresses) -> None:
        self._state = state
        self._endpoint = f"tcp://{addresses.manager_control}:{MANAGER_PORT}"

    def call(self, verb: Verb, timeout: float = 10.0) -> Any:
        """Return the typed answer; raise the manager's error, or ``UnavailableError``."""
        return asyncio.run(self._call([verb], timeout))[0]

    def call_all(self, verbs: list[Verb], timeout: float = 60.0) -> list[Any]:
        """Call side by side; an answer that is an error stands in the list."""
        return asyncio.run(self._call(verbs, timeout, collect=True)) if verbs else []

    async def _call(self, verbs: list[Verb], seconds: float, *, collect: bool = False) -> list[Any]:
        client = ManagerClient(
            self._endpoint,
            public_key(self._state.secrets / "manager" / "curve.key"),
            load_key(self._state.secrets / "operator" / "manager.key").secret,
        )
        try:
            calls = [client.call(verb, timeout=seconds) for verb in verbs]
            return await asyncio.gather(*calls, return_exceptions=collect)
        finally:
            client.close()
