"""An API container is as locked down as a session, and only the engine comes to its workers."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import pytest

from juliabox_cli.addresses import Addresses
from support.apis import Apis, api_containers
from support.inside import Inside, in_network_of, inspect
from support.installation import Installation
from support.machine import policy_in_place

pytestmark = [pytest.mark.engine, pytest.mark.timeout(420)]

PROGRAMS = Path(__file__).parent / "inside"
REACH = PROGRAMS / "reach.py"
SOURCE = (PROGRAMS / "reach.jl").read_text()
FUNCTIONS = ["reach", "who", "names", "home", "places", "writable", "counted"]
WORKER_PORT = 8888

#: Parts that have no business with an API container.
STRANGERS = ("hub", "manager", "portal", "proxy")


@pytest.fixture(scope="module")
def apis(installation: Installation) -> Iterator[Apis]:
    """An API that looks around, and a neighbour's."""
    made = Apis(installation)
    with (
        made.published("mallory", "around", SOURCE, FUNCTIONS, minimum=1, maximum=1, timeout=120),
        made.published("victor", "near", "fine(n) = n", ["fine"], minimum=1, maximum=1),
    ):
        made.await_answer("mallory/around/home", 120)
        made.await_answer("victor/near/fine/1", 120)
        yield made


@pytest.fixture(scope="module")
def containers(apis: Apis, installation: Installation) -> list[dict[str, Any]]:
    """What the engine tells of each API container: two in use, and perhaps a blank one.

    Those in which the sources were checked end behind, and are waited for.
    """
    names: list[set[str]] = []
    for _ in range(60):
        found = api_containers(installation)
        names.append({one["Id"] for one in found})
        if len(names) > 5 and all(one == names[-1] for one in names[-5:]):
            break
        time.sleep(1)
    assert len(found) >= 2
    return found


def _address(container: dict[str, Any]) -> str:
    (network,) = container["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def _ask(apis: Apis, function: str, *arguments: Any) -> Any:
    address = f"mallory/around/{function}"
    answer = apis.call_started(address, method="POST", json=list(arguments))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_each_api_container_is_confined_as_the_engine_tells(
    containers: list[dict[str, Any]], installation: Installation
) -> None:
    for one in containers:
        host = one["HostConfig"]
        assert int(one["Config"]["User"].split(":")[0]) != 0
        assert (host["Privileged"], host["CapDrop"], host["CapAdd"]) == (False, ["ALL"], [])
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert not any(option.endswith("unconfined") for option in host["SecurityOpt"])
        assert host["ReadonlyRootfs"] is True
        assert host["Memory"] == host["MemorySwap"] > 0
        assert 0 < host["PidsLimit"] <= 4096 and host["CpuQuota"] > 0
        assert not host["PortBindings"] and not host["Binds"] and not host["Devices"]
        assert list(one["NetworkSettings"]["Networks"]) == [f"{installation.name}-sessions"]
        for mount in one["Mounts"]:
            assert Path(mount["Source"]).is_relative_to(installation.state / "slots"), mount
            assert mount["RW"] is False
        status = Path(f"/proc/{one['State']['Pid']}/status").read_text()
        lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert not any(int(lines[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb"))
        assert (lines["NoNewPrivs"], lines["Seccomp"]) == ("1", "2")
        assert policy_in_place(one)


def test_a_function_finds_no_home_and_writes_to_memory_alone(apis: Apis) -> None:
    assert _ask(apis, "home") == []
    assert set(_ask(apis, "writable")) <= {"/tmp", "/dev/shm"}
    assert not [place for place in _ask(apis, "places") if place.startswith("/home/")]


def test_a_function_takes_nothing_that_the_kernel_counts_for_all_containers(apis: Apis) -> None:
    """Watches, timers and queues are counted for the user, who is the same in all of them."""
    assert _ask(apis, "counted") == [errno.EPERM] * 3


def test_a_function_finds_no_secret_of_ours_and_nobodys_token(
    apis: Apis, containers: list[dict[str, Any]]
) -> None:
    names = set(_ask(apis, "names"))
    assert not [one for one in names if "TOKEN" in one or one.startswith("JUPYTERHUB")]
    for one in containers:
        told = json.dumps(one)
        assert "JULIABOX_WORKER_KEY" not in told and "TOKEN" not in told


def test_a_function_reaches_nobody(
    apis: Apis, containers: list[dict[str, Any]], installation: Installation
) -> None:
    """Neither parts, nor other containers, nor the host, nor a cloud's metadata."""
    block = json.loads((installation.state / "install.json").read_text())["subnet"]
    at = Addresses(IPv4Network(block))
    name = _ask(apis, "who")
    (mine,) = (one for one in containers if one["Config"]["Hostname"] == name)
    targets = {
        (at.hub_sessions, 8081), (at.hub_edge, 8081), (at.hub_control, 8081),
        (at.proxy_sessions, 8000), (at.proxy_edge, 8000), (at.proxy_edge, 8001),
        (at.manager_control, 9500), (at.portal_edge, 8090), (at.portal_control, 8091),
        (at.sessions_gateway, installation.port), (at.sessions_gateway, 22),
        ("169.254.169.254", 80), ("10.0.0.1", 80), ("1.1.1.1", 53), ("1.1.1.1", 443),
        *((_address(one), WORKER_PORT) for one in containers if one["Id"] != mine["Id"]),
    }  # fmt: skip
    parts = ("proxy", "hub", "manager", "portal")
    pids = [int(inspect(f"{installation.name}-{part}")["State"]["Pid"]) for part in parts]
    wanted = json.dumps(sorted(targets))
    seen = {tuple(one) for pid in pids for one in in_network_of(pid, REACH, "1", wanted)}
    assert len(seen) >= 6, "the same targets are open from where they may be"
    assert _ask(apis, "reach", [list(one) for one in sorted(targets)]) == []


def _reaches_itself(container: dict[str, Any]) -> bool:
    wanted = json.dumps([[_address(container), WORKER_PORT]])
    return bool(in_network_of(container["State"]["Pid"], REACH, "1", wanted))


def test_only_the_engine_reaches_a_worker(
    apis: Apis,
    containers: list[dict[str, Any]],
    installation: Installation,
    mallory: Inside,
) -> None:
    workers = {(_address(one), WORKER_PORT) for one in containers if _reaches_itself(one)}
    assert len(workers) >= 2
    wanted = json.dumps(sorted(workers))

    def seen_by(pid: int) -> set[tuple[str, int]]:
        return {tuple(one) for one in in_network_of(pid, REACH, "1", wanted)}

    pids = {
        part: int(inspect(f"{installation.name}-{part}")["State"]["Pid"])
        for part in ("api", *STRANGERS)
    }
    assert seen_by(pids["api"]) == workers
    for part in STRANGERS:
        assert seen_by(pids[part]) == set(), part
    assert mallory.python(REACH, "1", wanted) == []
    for one in containers:
        others = json.dumps(sorted(workers - {(_address(one), WORKER_PORT)}))
        assert in_network_of(one["State"]["Pid"], REACH, "1", others) == []


def test_nobodys_key_opens_a_worker_but_the_engines(
    containers: list[dict[str, Any]], installation: Installation
) -> None:
    """Even from the engine's own network, a stranger's key is not answered."""
    program = """
import json, sys, zmq
from juliabox_services.api import wire
context = zmq.Context()
answers = []
for address, port in json.loads(sys.argv[1]):
    socket = context.socket(zmq.DEALER)
    public, secret = zmq.curve_keypair()
    socket.curve_publickey, socket.curve_secretkey = public, secret
    socket.curve_serverkey = public
    socket.linger = 0
    socket.connect(f"tcp://{address}:{port}")
    socket.send(wire.health_message(b"1"))
    answers.append(bool(socket.poll(1500)))
    socket.close()
print(json.dumps(answers))
"""
    workers = [[_address(one), WORKER_PORT] for one in containers if _reaches_itself(one)]
    client = docker.from_env()
    try:
        part = client.containers.get(f"{installation.name}-api")
        told = part.exec_run(["python", "-c", program, json.dumps(workers)])
    finally:
        client.close()
    assert told.exit_code == 0, told.output
    assert json.loads(told.output) == [False] * len(workers)
