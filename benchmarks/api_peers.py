"""The peers of the API engine: the kernel gateway, and the least that an engine can be."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import docker
import httpx

from juliabox_cli.addresses import Addresses
from support.installation import Installation
from support.ports import free_port

PEERS = Path(__file__).parent / "peers"
#: The peer's notebook: the loop that ours has, and a cell that is a request's handler.
CELLS = (
    """import json


def fib(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a""",
    """# GET /fib/:n
print(fib(int(json.loads(REQUEST)["path"]["n"])))""",
)
ECHO_PORT = 5600
#: Last part of an address of the edge network that nothing of an installation has.
_ECHO_HOST = 200


@contextmanager
def gateway_folder() -> Iterator[Path]:
    """Yield a folder with the kernel gateway and a notebook of its own kind.

    It has a virtual environment of its own, since it is no part of ours.
    """
    with tempfile.TemporaryDirectory(prefix="jbbench-gateway-") as folder:
        place = Path(folder)
        subprocess.run([sys.executable, "-m", "venv", place / "venv"], check=True)
        packages = ["jupyter_kernel_gateway>=3", "ipykernel>=6"]
        pip = [place / "venv/bin/pip", "-qq", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, *packages], check=True, stdout=subprocess.DEVNULL)
        (place / "fib.ipynb").write_text(json.dumps(_notebook()))
        yield place


@contextmanager
def kernel_gateway(place: Path, kernels: int) -> Iterator[str]:
    """Run the kernel gateway with so many Python kernels; yield the address of a call.

    All of them are started before, and there is no proxy in front: what it can do at best.
    """
    port, log = free_port(), place / f"log-{kernels}"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [
                place / "venv/bin/jupyter",
                "kernelgateway",
                "--KernelGatewayApp.api=kernel_gateway.notebook_http",
                f"--KernelGatewayApp.seed_uri={place / 'fib.ipynb'}",
                f"--KernelGatewayApp.prespawn_count={kernels}",
                "--KernelGatewayApp.ip=127.0.0.1",
                f"--KernelGatewayApp.port={port}",
                "--KernelGatewayApp.log_level=ERROR",
            ],
            stdout=said,
            stderr=said,
            cwd=place,
            env={"PATH": f"{place / 'venv/bin'}:/usr/bin:/bin", "HOME": str(place)},
        )
    try:
        address = f"http://127.0.0.1:{port}/fib/30"
        _await_answer(address, log, 120)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _notebook() -> dict[str, object]:
    kind = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": [{**kind, "source": source} for source in CELLS],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 4,
    }


@contextmanager
def echo_behind_the_proxy(installation: Installation) -> Iterator[str]:
    """Run tornado with a ZMQ echo behind an installation's own proxy; yield the address of a call.

    It is a container of the same image as the engine's, with no limit of processor or memory.
    """
    engine = docker.from_env()
    image = engine.containers.get(f"{installation.name}-api").image.id
    network = engine.networks.get(f"{installation.name}-edge")
    subnet = IPv4Network(network.attrs["IPAM"]["Config"][0]["Subnet"])
    address = str(subnet[_ECHO_HOST])
    container = engine.containers.create(
        image,
        ["python", "/echo_server.py", str(ECHO_PORT)],
        name=f"{installation.name}-bench-echo",
        entrypoint=[],
        user="1000",
        volumes={str(PEERS / "echo_server.py"): {"bind": "/echo_server.py", "mode": "ro"}},
        network=network.name,
        networking_config={network.name: engine.api.create_endpoint_config(ipv4_address=address)},
    )
    try:
        container.start()
        with _route(installation, "/bench-echo", f"http://{address}:{ECHO_PORT}"):
            call = f"{outside(installation)}/bench-echo/30"
            _await_answer(call, None, 30)
            yield call
    finally:
        container.remove(force=True)


def outside(installation: Installation) -> str:
    """Return the proxy's address as calls of other machines reach it, which the kernel hands over.

    A call of this machine to its own loopback address would go through a program of Docker's as
    well, which takes a tenth of a millisecond for each.
    """
    return f"http://{_addresses(installation).proxy_edge}:8000"


def _addresses(installation: Installation) -> Addresses:
    block = json.loads((installation.state / "install.json").read_text())["subnet"]
    return Addresses(IPv4Network(block))


@contextmanager
def _route(installation: Installation, path: str, target: str) -> Iterator[None]:
    """Have a route in the proxy that the hub does not know, and so leaves alone."""
    api = f"http://{_addresses(installation).proxy_edge}:8001/api/routes{path}"
    token = (installation.state / "secrets/proxy/proxy_token").read_text().strip()
    headers = {"Authorization": f"token {token}"}
    httpx.post(api, headers=headers, json={"target": target}).raise_for_status()
    try:
        yield
    finally:
        httpx.delete(api, headers=headers)


def _await_answer(url: str, log: Path | None, seconds: float) -> None:
    until = time.monotonic() + seconds
    told = ""
    while time.monotonic() < until:
        try:
            answer = httpx.get(url, timeout=5)
            if answer.status_code == 200:
                return
            told = f"{answer.status_code} {answer.text[:300]}"
        except httpx.HTTPError as error:
            told = str(error)
        time.sleep(0.3)
    said = log.read_text()[-2000:] if log else ""
    raise RuntimeError(f"{url} does not answer: {told}\n{said}")
