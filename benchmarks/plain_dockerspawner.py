"""The peer: a hub with plain DockerSpawner and its proxy in one container, on our session image."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import httpx

from benchmarks.figures import PEER
from benchmarks.hubs import Hub

CONFIG = Path(__file__).parent / "peers" / "dockerspawner_config.py"


@contextmanager
def plain_dockerspawner(control_image: str, session_image: str) -> Iterator[tuple[Hub, str]]:
    """Run the peer on a network of its own; yield it and the name that its containers begin with.

    The hub's container is that name with ``-hub``.
    """
    engine = docker.from_env()
    name = f"jbbench-{secrets.token_hex(3)}"
    token = secrets.token_hex(16)
    network = engine.networks.create(name, driver="bridge")
    try:
        peer = engine.containers.create(
            control_image,
            ["sh", "-c", "exec jupyterhub -f /peer.py"],
            name=f"{name}-hub",
            user="0",
            working_dir="/tmp",
            network=name,
            volumes={
                "/var/run/docker.sock": {"bind": "/var/run/docker.sock", "mode": "rw"},
                str(CONFIG): {"bind": "/peer.py", "mode": "ro"},
            },
            environment={
                "PEER_TOKEN": token,
                "PEER_HUB_ADDRESS": f"{name}-hub",
                "PEER_IMAGE": session_image,
                "PEER_NETWORK": name,
                "PEER_PREFIX": name,
            },
        )
        peer.start()
        peer.reload()
        address = peer.attrs["NetworkSettings"]["Networks"][name]["IPAddress"]
        hub = Hub(PEER, f"http://{address}:8000", token)
        _await_answer(hub)
        yield hub, name
    finally:
        for container in engine.containers.list(all=True, filters={"name": name}):
            container.remove(force=True, v=True)
        network.remove()


def _await_answer(hub: Hub, timeout: float = 60) -> None:
    """Wait until a hub's API answers."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        try:
            if httpx.get(f"{hub.url}/hub/api/", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise RuntimeError(f"{hub.label} did not answer within {timeout} s")
