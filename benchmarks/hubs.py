"""Hubs under measurement: an installation of ours, and a plain DockerSpawner hub as its peer."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import httpx

PEER_CONFIG = Path(__file__).parent / "peers" / "dockerspawner_config.py"


@dataclass
class Hub:
    """A hub's REST API with a token that may start any user's server."""

    label: str
    url: str
    token: str

    def client(self) -> httpx.AsyncClient:
        """Return a client of this hub."""
        return httpx.AsyncClient(
            base_url=f"{self.url}/hub/api",
            headers={"Authorization": f"token {self.token}"},
            timeout=180,
        )

    async def add_users(self, names: list[str]) -> None:
        """Make users that do not exist yet."""
        async with self.client() as client:
            for name in names:
                answer = await client.post(f"/users/{name}")
                if answer.status_code not in (201, 409):
                    raise RuntimeError(f"{self.label}: user {name}: {answer.text}")

    async def spawn(self, name: str) -> float:
        """Start a user's default server and return the seconds until the hub says it is ready."""
        async with self.client() as client:
            began = time.perf_counter()
            answer = await client.post(f"/users/{name}/server")
            if answer.status_code == 201:
                return time.perf_counter() - began
            answer.raise_for_status()
            async with client.stream("GET", f"/users/{name}/server/progress") as stream:
                async for line in stream.aiter_lines():
                    if not line.startswith("data:"):
                        continue
                    event = json.loads(line[5:])
                    if event.get("ready"):
                        return time.perf_counter() - began
                    if event.get("failed"):
                        raise RuntimeError(f"{self.label}: {name}: {event.get('message')}")
        raise RuntimeError(f"{self.label}: {name}: the progress stream ended early")

    async def stop(self, name: str) -> float:
        """Stop a user's server and return the seconds until it is gone."""
        async with self.client() as client:
            began = time.perf_counter()
            answer = await client.delete(f"/users/{name}/server")
            while answer.status_code == 202:
                await asyncio.sleep(0.05)
                user = (await client.get(f"/users/{name}")).json()
                if not user["servers"]:
                    break
            return time.perf_counter() - began


@contextmanager
def plain_dockerspawner(control_image: str, session_image: str) -> Iterator[Hub]:
    """Run the peer from the same control image, on a network of its own."""
    engine = docker.from_env()
    name = f"jbbench-{secrets.token_hex(3)}"
    token = secrets.token_hex(16)
    network = engine.networks.create(name, driver="bridge")
    peer = None
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
                str(PEER_CONFIG): {"bind": "/peer.py", "mode": "ro"},
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
        hub = Hub("plain DockerSpawner", f"http://{address}:8000", token)
        _await_answer(hub)
        yield hub
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
