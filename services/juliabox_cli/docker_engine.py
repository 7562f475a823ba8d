"""Finding the Docker engine, and asking it the few things that the command line needs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from juliabox_ext.errors import ConfigurationError, UnavailableError

#: API of Docker Engine 20.10, the oldest that is supported.
OLDEST_API = (1, 41)
DEFAULT_SOCKET = "/var/run/docker.sock"

INSTALLATION_LABEL = "juliabox.installation"
SESSION_LABEL = "juliabox.session"


def socket_path() -> str:
    """Return the engine's socket: that of ``DOCKER_HOST``, else the usual one."""
    host = os.environ.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}"
    if not host.startswith("unix://"):
        raise ConfigurationError(
            f"DOCKER_HOST is {host}; JuliaBox needs this machine's engine, by its Unix socket. "
            "Unset DOCKER_HOST, or set it to unix://PATH",
            code="engine.remote",
        )
    return host.removeprefix("unix://")


class Engine:
    """The engine behind one socket."""

    def __init__(self, socket: str, client: docker.DockerClient) -> None:
        self.socket = socket
        self._client = client

    @property
    def client(self) -> docker.DockerClient:
        """The SDK's client, for building images."""
        return self._client

    def version(self) -> dict[str, Any]:
        """Return the engine's version document."""
        found: dict[str, Any] = self._client.version()
        return found

    def containers(self, installation: str) -> list[dict[str, Any]]:
        """Return the inspection of every container of an installation, sessions included."""
        found = self._client.api.containers(
            all=True, filters={"label": f"{INSTALLATION_LABEL}={installation}"}
        )
        inspected = []
        for one in found:
            try:
                inspected.append(self._client.api.inspect_container(one["Id"]))
            except NotFound:
                continue
        return inspected

    def container(self, name: str) -> dict[str, Any] | None:
        """Return the inspection of a container, or None."""
        try:
            found: dict[str, Any] = self._client.api.inspect_container(name)
        except NotFound:
            return None
        return found

    def end_container(self, name: str, grace: int) -> None:
        """Stop a container, which has ``grace`` seconds after SIGTERM, and remove it if there."""
        with contextlib.suppress(NotFound):
            self._client.api.stop(name, timeout=grace)
        self.remove_container(name)

    def remove_container(self, name: str) -> None:
        """Kill and remove a container if it is there."""
        try:
            self._client.api.remove_container(name, v=True, force=True)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != 409:
                raise

    def network_blocks(self, except_names: set[str]) -> list[IPv4Network]:
        """Return the IPv4 blocks of all the engine's networks but the named ones."""
        return list(self._blocks(except_names))

    def _blocks(self, except_names: set[str]) -> Iterator[IPv4Network]:
        for network in self._client.api.networks():
            if network["Name"] in except_names:
                continue
            for pool in (network.get("IPAM") or {}).get("Config") or []:
                subnet = pool.get("Subnet", "")
                if subnet and ":" not in subnet:
                    yield IPv4Network(subnet, strict=False)

    def network(self, name: str) -> dict[str, Any] | None:
        """Return the inspection of a network, or None."""
        try:
            found: dict[str, Any] = self._client.api.inspect_network(name)
        except NotFound:
            return None
        return found

    def remove_network(self, name: str) -> bool:
        """Remove a network; return False when containers still use it."""
        try:
            self._client.api.remove_network(name)
        except NotFound:
            return True
        except APIError:
            return False
        return True

    def image_id(self, reference: str) -> str | None:
        """Return the id that a reference has on this engine, or None."""
        try:
            return str(self._client.images.get(reference).id)
        except ImageNotFound:
            return None

    def image_labels(self, reference: str) -> dict[str, str]:
        """Return the labels of an image that is on this engine."""
        return dict(self._client.images.get(reference).labels)

    def pull(self, reference: str) -> str:
        """Pull an image and return its id; raise ``UnavailableError`` that says why it failed."""
        try:
            self._client.api.pull(reference)
        except (APIError, requests.RequestException) as error:
            raise UnavailableError(
                f"image {reference} is not on this engine and cannot be pulled: {error}",
                code="image.missing",
            ) from None
        found = self.image_id(reference)
        if found is None:
            raise UnavailableError(f"image {reference} cannot be pulled", code="image.missing")
        return found


def connect(socket: str | None = None, timeout: int = 60) -> Engine:
    """Return the engine that answers; raise ``UnavailableError`` that says what is wrong."""
    socket = socket or socket_path()
    if not Path(socket).exists():
        raise UnavailableError(f"no Docker engine: {socket} does not exist", code="engine.missing")
    if not os.access(socket, os.R_OK | os.W_OK):
        raise UnavailableError(
            f"no access to the Docker engine at {socket}: run as root, or as a member of the group "
            "docker",
            code="engine.no_access",
        )
    try:
        client = docker.DockerClient(base_url=f"unix://{socket}", timeout=timeout, version="auto")
        engine = Engine(socket, client)
        check_version(engine.version())
    except (DockerException, requests.RequestException) as error:
        raise UnavailableError(
            f"the Docker engine at {socket} does not answer: {error}", code="engine.silent"
        ) from None
    return engine


def check_version(version: dict[str, Any]) -> None:
    """Refuse an engine that is too old."""
    api = tuple(int(part) for part in str(version.get("ApiVersion", "0")).split("."))
    if api < OLDEST_API:
        raise ConfigurationError(
            f"the Docker engine {version.get('Version')} (API {version.get('ApiVersion')}) is too "
            f"old: JuliaBox needs 20.10 (API {OLDEST_API[0]}.{OLDEST_API[1]}) or newer. Upgrade "
            "the engine with your distribution's package manager, then repeat",
            code="engine.too_old",
        )
