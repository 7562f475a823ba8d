"""Running compose: the v2 plugin where it is installed, else ``docker-compose`` 1.29."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from juliabox_cli.config import Config
from juliabox_cli.state import State
from juliabox_ext.errors import InternalError, UnavailableError

#: The parts in ``compose.yaml``, in the order in which they are shown.
PARTS = ("manager", "hub", "portal", "api", "proxy")


def parts_of(config: Config) -> tuple[str, ...]:
    """Return the parts that an installation has: the API engine only where it is enabled."""
    return tuple(part for part in PARTS if part != "api" or config.apis.enabled)


@dataclass(frozen=True)
class Compose:
    """One way to run compose for one installation."""

    program: tuple[str, ...]
    project: str
    file: Path
    env_file: Path
    socket: str
    #: A second file, if it exists.
    more: Path | None = None

    def command(self, *arguments: str) -> list[str]:
        """Return the whole command line."""
        return [
            *self.program,
            "--project-name",
            self.project,
            "--file",
            str(self.file),
            *(["--file", str(self.more)] if self.more and self.more.exists() else []),
            "--env-file",
            str(self.env_file),
            *arguments,
        ]

    def run(self, *arguments: str) -> str:
        """Run a compose command; raise ``InternalError`` with its last lines if it fails."""
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
            raise InternalError(
                f"`{' '.join(self.program)} {' '.join(arguments)}` failed:\n{said}",
                code="compose.failed",
            )
        return done.stdout

    def up(self, parts: Sequence[str] = PARTS) -> None:
        """Make the parts as the file says; replace only what differs, remove other parts."""
        without = [f"--scale={part}=0" for part in PARTS if part not in parts]
        self.run("up", "--detach", "--no-build", "--remove-orphans", *without)

    def logs(self, parts: Sequence[str], *, follow: bool, tail: str) -> int:
        """Print the parts' logs to the terminal; return compose's exit code."""
        options = ["--tail", tail, *(["--follow"] if follow else [])]
        command = self.command("logs", *options, *parts)
        return subprocess.run(command, check=False, env=self.environment()).returncode

    def environment(self) -> dict[str, str]:
        """Return the environment: this engine's socket, and none of our variables from outside."""
        ours = ("JULIABOX_", "COMPOSE_", "DOCKER_TLS", "DOCKER_CONTEXT", "DOCKER_CERT_PATH")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {**kept, "DOCKER_HOST": f"unix://{self.socket}", "COMPOSE_INTERACTIVE_NO_CLI": "1"}


def find_program() -> tuple[str, ...] | None:
    """Return how compose is called here: the plugin first, then the older program."""
    if shutil.which("docker"):
        done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if done.returncode == 0:
            return ("docker", "compose")
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    return None


def compose_for(state: State, project: str, file: Path, socket: str) -> Compose:
    """Return compose for an installation; raise ``UnavailableError`` if none is installed."""
    program = find_program()
    if program is None:
        raise UnavailableError(
            "neither the Docker compose plugin nor docker-compose is installed; install the "
            "package docker-compose",
            code="compose.missing",
        )
    return Compose(program, project, file, state.compose_env, socket, state.compose_more)
