"""The images of this checkout, built once (they are cached by content), and containers of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest
from docker.models.containers import Container

from juliabox_cli.image_build import ensure_images

ROOT = Path(__file__).resolve().parents[2]

#: What the manager gives a session; security.md, "Settings".
HARDENING = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "user": "1000:1000",
    "pids_limit": 256,
    "mem_limit": "2g",
    "memswap_limit": "2g",
    "tmpfs": {
        "/tmp": "size=256m,mode=1777",
        "/run/juliabox": "size=16m,uid=1000,gid=1000,mode=700",
    },
}


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=600)
    yield client
    client.close()


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that an edit during the run changes nothing."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "*.egg-info")
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("source") / "c", ignore=ignored))


@pytest.fixture(scope="session")
def images(engine: docker.DockerClient, snapshot: Path) -> dict[str, str]:
    """Image name -> engine id."""
    return ensure_images(snapshot, engine=engine)


@pytest.fixture(scope="session")
def seccomp(engine: docker.DockerClient, images: dict[str, str]) -> str:
    """The sessions' seccomp profile as the control image holds it, in one line of JSON."""
    output = engine.containers.run(
        images["control"], ["cat", "/usr/share/juliabox/seccomp.json"], entrypoint=[], remove=True
    )
    return json.dumps(json.loads(output))


@pytest.fixture
def session(
    engine: docker.DockerClient, images: dict[str, str], seccomp: str
) -> Iterator[Callable[..., Container]]:
    """Start session containers with all hardening; they are removed afterwards."""
    started: list[Container] = []

    def start(command: list[str] | None = None, **more: object) -> Container:
        if command is not None:
            more |= {"entrypoint": ["/usr/bin/tini", "--"], "command": command}
        container = engine.containers.create(
            images["julia"],
            name=f"jbt-images-{uuid4().hex[:12]}",
            security_opt=["no-new-privileges:true", f"seccomp={seccomp}"],
            **{**HARDENING, **more},
        )
        started.append(container)
        container.start()
        return container

    yield start
    for container in started:
        container.remove(force=True, v=True)


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Path]:
    """A slot folder as the manager makes it: root's, with the home below."""
    home = tmp_path / "juser"
    home.mkdir()
    subprocess.run(["chown", "1000:1000", home], check=True)
    tmp_path.chmod(0o755)
    yield tmp_path
