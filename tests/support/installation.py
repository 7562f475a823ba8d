"""A real installation of JuliaBox for tests: own name, ports, networks and state folder."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from juliabox_manager.protocol import Limits
from support.ports import free_port


@dataclass
class Installation:
    """One installation: what a test may ask of it is what its operator may."""

    root: Path
    name: str
    state: Path
    port: int

    @classmethod
    @contextmanager
    def fresh(cls, root: Path, **settings: Any) -> Iterator[Installation]:
        """Start an installation with ``settings`` merged into its ``config.yaml``; remove it."""
        name = f"jbtest-{secrets.token_hex(3)}"
        port = settings.pop("port", None) or free_port()
        made = cls(root, name, Path("/var/lib") / name, port)
        made.state.mkdir(mode=0o700)
        made.configure(name=name, port=made.port, **settings)
        try:
            made.juliabox("up")
            yield made
        finally:
            made.juliabox("destroy", "--yes", check=False)
            shutil.rmtree(made.state, ignore_errors=True)

    @property
    def url(self) -> str:
        """Base URL that a browser uses."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def limits(self) -> Limits:
        """Limits of a session as this installation gives them."""
        limits: dict[str, Any] = json.loads((self.state / "run/hub.json").read_text())["limits"]
        return Limits(**limits)

    @property
    def admin_password(self) -> str:
        """Password that the first ``up`` generated."""
        return (self.state / "secrets" / "hub" / "admin_password").read_text().strip()

    def configure(self, **settings: Any) -> None:
        """Merge settings into ``config.yaml``."""
        path = self.state / "config.yaml"
        current = yaml.safe_load(path.read_text()) if path.exists() else {}
        for key, value in settings.items():
            if isinstance(value, dict):
                current[key] = {**current.get(key, {}), **value}
            else:
                current[key] = value
        path.write_text(yaml.safe_dump(current))

    def juliabox(self, *arguments: str, check: bool = True, timeout: float = 1500) -> str:
        """Run a ``juliabox`` command on this installation and return what it printed."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("juliabox")), *arguments],
            cwd=self.root,
            env={**os.environ, "JULIABOX_STATE": str(self.state), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"juliabox {' '.join(arguments)} ended with {done.returncode}\n"
                f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            )
        return done.stdout

    def sessions(self) -> list[dict[str, Any]]:
        """Return what ``juliabox session list --json`` prints."""
        listed: list[dict[str, Any]] = json.loads(self.juliabox("session", "list", "--json"))
        return listed

    def add_user(self, name: str, *options: str) -> str:
        """Add a user and return the password that was printed."""
        printed = json.loads(self.juliabox("user", "add", name, "--json", *options))
        return str(printed["password"])

    def api(self, user: str = "admin") -> httpx.Client:
        """Return an HTTP client of the Hub REST API that holds a token of ``user``."""
        token = self.juliabox("token", user).strip()
        return httpx.Client(
            base_url=f"{self.url}/hub/api",
            headers={"Authorization": f"token {token}"},
            timeout=90,
        )
