"""Noticing that the engine made its socket anew.

An engine that is started without systemd removes its socket and makes another. The manager's
container has the file of the first one mounted, on which nobody listens any more; only a container
that is started again gets the second.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

#: Seconds of refused connections after which the mounted socket counts as replaced.
PATIENCE = 5.0


async def await_replaced(url: str, patience: float = PATIENCE, pause: float = 1.0) -> None:
    """Return once the mounted socket of an engine has refused connections for ``patience`` seconds.

    Never returns for a socket that is no mount: its path leads to whatever listens there.
    """
    path = Path(url.removeprefix("unix://"))
    refused = 0.0
    while refused < patience:
        await asyncio.sleep(pause)
        if await asyncio.to_thread(_mounted, path) and await _refuses(path):
            refused += pause
        else:
            refused = 0.0


def _mounted(path: Path) -> bool:
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except OSError:
        return False


async def _refuses(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    writer.close()
    return False
