"""The pool of a real installation: waiting for it, emptying it, and looking at who waits in it."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import docker
from docker.errors import NotFound

from support.inside import Inside, inspect
from support.installation import Installation
from support.rest_user import RestUser, wait_for

#: The image of API containers, which have a pool, too.
API_IMAGE = "juliabox/julia-api"

#: Seconds for a warm container to be made on a busy machine, its Julia included.
FILL = 240.0


class Pools:
    """The pool of one installation's sessions; it has one image for them, and one for APIs."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    @property
    def told(self) -> dict[str, Any]:
        """What ``juliabox pool list --json`` tells."""
        told = json.loads(self._installation.juliabox("pool", "list", "--json"))
        (found,) = (one for one in told if one["image"] != API_IMAGE)
        return dict(found)

    def await_ready(self) -> None:
        """Wait until a warm container stands ready."""
        wait_for(lambda: self.told["ready"] > 0, FILL, "no warm container is ready")

    def await_full(self) -> None:
        """Wait until no warm container is in the making, of sessions or of APIs."""

        def full() -> bool:
            told = json.loads(self._installation.juliabox("pool", "list", "--json"))
            return all(one["ready"] == one["wanted"] and not one["loading"] for one in told)

        wait_for(full, FILL, "the pools are not filled")

    def exhaust(self) -> None:
        """Have no warm container ready for a moment."""
        self._installation.juliabox("pool", "renew")

    def containers(self) -> list[dict[str, Any]]:
        """Return what the engine tells of the containers that wait for somebody."""
        taken = {one["container"] for one in self._installation.sessions()}
        client = docker.from_env().api
        labels = [f"juliabox.installation={self._installation.name}", "juliabox.session"]
        found = []
        try:
            for item in client.containers(filters={"label": labels}):
                if item["Id"] not in taken:
                    with contextlib.suppress(NotFound):
                        found.append(client.inspect_container(item["Id"]))
        finally:
            client.close()
        return [one for one in found if "juliabox.kind" not in one["Config"]["Labels"]]


def await_limits(session: Inside) -> None:
    """Wait until a session has its own limits: they are raised beside its start."""
    memory = session.person.installation.limits.memory

    def raised() -> bool:
        return bool(inspect(session.container)["HostConfig"]["Memory"] == memory)

    wait_for(raised, 60, "its limits are not raised")


def started_as(person: RestUser, pools: Pools, *, warm: bool) -> Inside:
    """Start a session that was warm, or one that was not: right after another took the last."""
    for _ in range(5):
        if warm:
            pools.await_ready()
        else:
            pools.exhaust()
        asked = int(time.time())  # the engine's word is read in whole seconds
        person.started()
        made = Inside(person)
        if (made.created < asked) is warm:
            await_limits(made)
            return made
        person.stopped()
    raise AssertionError(f"{person.name} has no {'warm' if warm else 'cold'} session: {pools.told}")
