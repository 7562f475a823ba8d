"""Two hubs on one machine: an installation of ours and its peer, both on the same session image."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import docker

from benchmarks.costs import busy_seconds
from benchmarks.figures import OURS
from benchmarks.hubs import Hub
from benchmarks.plain_dockerspawner import plain_dockerspawner
from benchmarks.warm import await_loaded, missed
from juliabox_cli.secret_files import public_key
from juliabox_manager.keys import load_key
from juliabox_spawner.client import ManagerClient
from support.installation import Installation

#: Seconds of processor time in one second, of all programs, below which the machine is quiet, and
#: seconds that this is waited for.
QUIET = 0.2
PATIENCE = 20

ROOT = Path(__file__).resolve().parent.parent
SETTINGS: dict[str, Any] = {
    "capacity": {"sessions": 250, "sessions_per_owner": 5},
    # homes are made on first use; small ones keep the machine's disk free
    "sessions": {"disk": "128M"},
}


def say(text: str) -> None:
    """Tell the one who waits how far it is."""
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


@dataclass
class Stand:
    """The two hubs, and what is asked of our installation besides."""

    installation: Installation
    ours: Hub
    peer: Hub
    #: What names of the peer's containers begin with; its hub's ends in ``-hub``.
    peer_name: str
    #: Warm containers that ours keeps.
    pool: int

    def set_pool(self, size: int, *, kernel: bool = True) -> None:
        """Have so many warm containers from now on, as an operator would; with a Julia or not."""
        self.installation.configure(pool={**_pool(size), "kernel": kernel})
        self.installation.juliabox("up")
        self.pool = size

    async def settle(self) -> None:
        """Wait until the pool is full and the machine has nothing left to do for either hub.

        What ended is still being taken away then, or a warm container gets its Julia ready: the
        next to be measured should not pay for that. A machine that is never quiet is not waited
        for any longer than :data:`PATIENCE`.
        """
        with closing(self.manager()) as client:
            await await_loaded(client, self.pool)
        for _ in range(PATIENCE):
            before = busy_seconds()
            await asyncio.sleep(1)
            if busy_seconds() - before < QUIET:
                break

    async def missed(self) -> int:
        """Return how many sessions found no warm container, or one that failed."""
        with closing(self.manager()) as client:
            return await missed(client)

    def manager(self) -> ManagerClient:
        """Return a client of the manager with the operator's rights; to be closed."""
        state = self.installation.state
        return ManagerClient(
            json.loads((state / "run/manager.json").read_text())["listen"],
            public_key(state / "secrets/manager/curve.key"),
            load_key(state / "secrets/operator/manager.key").secret,
        )

    @property
    def sessions(self) -> dict[str, list[str]]:
        """Ids of the running containers of people, by hub; warm ones that wait are left out."""
        mine = [one["container"] for one in self.installation.sessions()]
        api = docker.from_env().api
        theirs = [
            one["Id"]
            for one in api.containers(filters={"name": self.peer_name})
            if f"/{self.peer_name}-hub" not in one["Names"]
        ]
        return {self.ours.label: mine, self.peer.label: theirs}


def _pool(size: int) -> dict[str, Any]:
    return {"rule": "fixed", "size": size, "maximum": max(1, size), "memory": "8G"}


@contextmanager
def two_hubs() -> Iterator[Stand]:
    """Run both until the block ends; ours begins with no pool."""
    say("starting JuliaBox and its peer")
    with Installation.fresh(ROOT, **SETTINGS, pool=_pool(0)) as installation:
        images = json.loads((installation.state / "run" / "manager.json").read_text())["images"]
        control = docker.from_env().containers.get(f"{installation.name}-manager").image.id
        token = installation.juliabox("token", "admin").strip()
        ours = Hub(OURS, installation.url, token)
        with plain_dockerspawner(control, images["juliabox/julia"]) as (peer, peer_name):
            yield Stand(installation, ours, peer, peer_name, 0)
