"""How often each call was really carried out, whatever became of the container that did it.

A counting function appends a line to a file in its container's ``/tmp``. That folder is held open
from the host as soon as the container exists, so that what was written can be read after its
container is gone: a mount lives as long as somebody holds it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from pathlib import Path

import docker
from docker.errors import APIError, NotFound

from support.apis import API_CONTAINERS
from support.installation import Installation

#: Seconds between two looks for new containers; a Julia takes longer than that to start.
LOOK = 0.2

#: Source of what a function calls to be counted.
COUNTING = """
note(id) = (open(io -> write(io, string(id, '\\n')), "/tmp/ran", "a"); nothing)
"""


class Executions:
    """Watches an installation's containers while it is entered."""

    def __init__(self, installation: Installation) -> None:
        self._name = installation.name
        self._folders: dict[str, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Executions:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        for folder in self._folders.values():
            os.close(folder)
        self._folders.clear()

    @property
    def counts(self) -> Counter[str]:
        """How often each call that was noted was carried out so far."""
        found: Counter[str] = Counter()
        for folder in list(self._folders.values()):
            with contextlib.suppress(FileNotFoundError):
                file = os.open("ran", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
                with os.fdopen(file) as text:
                    found.update(text.read().split())
        return found

    def holds(self, container: str) -> bool:
        """Whether what a container carries out can be read after its end."""
        return container in self._folders

    @property
    def containers(self) -> int:
        """How many containers were seen."""
        return len(self._folders)

    def _watch(self) -> None:
        while not self._end.wait(LOOK):
            # an engine that is busy answers the next time
            with contextlib.suppress(APIError, OSError):
                self._look()

    def _look(self) -> None:
        client = docker.from_env().api
        labels = {"label": [f"juliabox.installation={self._name}", API_CONTAINERS]}
        try:
            for item in client.containers(filters=labels):
                if item["Id"] not in self._folders:
                    with contextlib.suppress(NotFound, FileNotFoundError, ProcessLookupError):
                        self._hold(item["Id"], client)
        finally:
            client.close()

    def _hold(self, container: str, client: docker.APIClient) -> None:
        pid = client.inspect_container(container)["State"]["Pid"]
        if pid:
            place = Path(f"/proc/{pid}/root/tmp")
            self._folders[container] = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
