"""Programs run inside somebody's session, as that person could: by a kernel of their own."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import docker

from support.rest_user import RestUser

HOME = "/home/juser"


class Inside:
    """A person's running session, seen from inside it."""

    def __init__(self, person: RestUser) -> None:
        self.person = person
        (self.container,) = (
            one["container"]
            for one in person.installation.sessions()
            if one["user"] == person.name and not one["server"]
        )

    @cached_property
    def kernel(self) -> str:
        """A kernel of the person's own."""
        return self.person.new_kernel()

    def python(self, program: Path, *arguments: str) -> Any:
        """Run a program of ours by the kernel, and return the JSON that it prints."""
        self.person.write("program.py", program.read_text())
        self.person.write("arguments.txt", "\n".join(arguments))
        printed = self.person.run(
            self.kernel,
            f'run(`/opt/venv/bin/python {HOME}/program.py $(readlines("{HOME}/arguments.txt"))`);',
        )
        return json.loads(printed)

    @cached_property
    def inspected(self) -> dict[str, Any]:
        """What the engine tells of the container."""
        return inspect(self.container)

    @property
    def created(self) -> float:
        """When the container was made, in Unix time."""
        # the engine tells more digits than Python reads
        text = str(inspect(self.container)["Created"])[:19]
        return datetime.datetime.fromisoformat(f"{text}+00:00").timestamp()

    @property
    def pid(self) -> int:
        """The container's first process, as the host numbers it."""
        return int(self.inspected["State"]["Pid"])

    @property
    def address(self) -> str:
        """The session's address."""
        (network,) = self.inspected["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])


def inspect(container: str) -> dict[str, Any]:
    """Return what the engine tells of a container."""
    client = docker.from_env().api
    try:
        found: dict[str, Any] = client.inspect_container(container)
        return found
    finally:
        client.close()


def in_network_of(pid: int, program: Path, *arguments: str) -> Any:
    """Run a program of ours in a process's network namespace; return the JSON that it prints."""
    done = subprocess.run(
        ["nsenter", "-t", str(pid), "-n", sys.executable, str(program), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=180,
    )
    return json.loads(done.stdout)
