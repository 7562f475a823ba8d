"""Whom a real session reaches, and who reaches it (S9 to S11), with controls that see it open."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from juliabox_cli.addresses import Addresses
from support.inside import Inside, in_network_of, inspect
from support.machine import policy_in_place
from support.rest_user import START, wait_for

pytestmark = pytest.mark.engine

PROGRAMS = Path(__file__).parent / "inside"
REACH, NAMES = PROGRAMS / "reach.py", PROGRAMS / "names.py"
Target = tuple[str, int]

METADATA = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254")
PRIVATE = ("10.207.99.1", "172.31.99.1", "192.168.207.1", "100.64.207.1", "fd77:207::1")


class World:
    """What stands around a session: addresses of the parts, and listeners of ours."""

    def __init__(self, mallory: Inside, victor: Inside, second: str) -> None:
        installation = mallory.person.installation
        self.name = installation.name
        block = json.loads((installation.state / "install.json").read_text())["subnet"]
        self.at = Addresses(IPv4Network(block))
        self.pids = {
            part: int(inspect(f"{self.name}-{part}")["State"]["Pid"])
            for part in ("proxy", "hub", "manager", "portal")
        }
        (network,) = mallory.inspected["NetworkSettings"]["Networks"].values()
        self.bridge = f"br-{network['NetworkID'][:12]}"
        (other,) = inspect(second)["NetworkSettings"]["Networks"].values()
        self.sessions = [(victor.address, 8888), (str(other["IPAddress"]), 8888)]
        self.door = socket.create_server(
            ("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512
        )
        self.port = int(self.door.getsockname()[1])

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Let the host answer at metadata and private addresses, on the sessions' own bridge."""
        for address in (*METADATA, *PRIVATE):
            length = 128 if ":" in address else 32
            _ip("address", "add", f"{address}/{length}", "dev", self.bridge, "noprefixroute")
        try:
            yield
        finally:
            for address in (*METADATA, *PRIVATE):
                length = 128 if ":" in address else 32
                _ip("address", "delete", f"{address}/{length}", "dev", self.bridge)
            self.door.close()

    @property
    def gateways(self) -> list[str]:
        """Every IPv4 address of the host that others may see."""
        told = json.loads(_ip("-j", "-4", "address"))
        return [
            one["local"]
            for link in told
            for one in link["addr_info"]
            if link["ifname"] != "lo" and one["local"] not in (*METADATA, *PRIVATE)
        ]

    @property
    def link_local(self) -> str:
        """The bridge's own IPv6 address, without its zone."""
        told = json.loads(_ip("-j", "-6", "address", "show", "dev", self.bridge, "scope", "link"))
        return str(told[0]["addr_info"][0]["local"])

    def targets(self) -> dict[str, set[Target]]:
        """Return what must stay closed to a session, by what stands there."""
        at = self.at
        return {
            "sessions": set(self.sessions),
            "gateways": {(address, self.port) for address in self.gateways},
            "the host's services": {(at.sessions_gateway, port) for port in _listening()},
            "manager": {(at.manager_control, 9500), (at.manager_control, 9501)},
            "proxy": {(at.proxy_edge, 8001), (at.proxy_edge, 8000), (at.proxy_sessions, 8000)},
            "hub elsewhere": {(at.hub_edge, 8081), (at.hub_control, 8081)},
            "portal": {(at.portal_edge, 8090), (at.portal_control, 8091)},
            "metadata": {(address, self.port) for address in METADATA},
            "private": {(address, self.port) for address in PRIVATE},
        }

    def seen_from(self, pid: int, targets: set[Target]) -> set[Target]:
        """Return what the probe sees open from a process's network."""
        return pairs(in_network_of(pid, REACH, "1", json.dumps(sorted(targets))))


def pairs(told: Any) -> set[Target]:
    return {(address, port) for address, port in told}


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0 or "File exists" in done.stderr, done.stderr
    return done.stdout


def _listening() -> list[int]:
    """Return TCP ports on which something listens on all addresses of this host."""
    found = set()
    for name, everywhere in (("tcp", "0" * 8), ("tcp6", "0" * 32)):
        for line in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if address == everywhere and line.split()[3] == "0A":
                found.add(int(port, 16))
    return sorted(found)


@pytest.fixture(scope="module")
def world(mallory: Inside, victor: Inside) -> Iterator[World]:
    """The surroundings, and a second server of Mallory's own."""
    person = mallory.person
    answer = person.hub("POST", "/servers/second")
    assert answer.status_code in {201, 202}, answer.text
    wait_for(
        lambda: person.hub("GET").json()["servers"]["second"]["ready"], START, "it does not start"
    )
    (second,) = (
        one["container"]
        for one in person.installation.sessions()
        if one["user"] == person.name and one["server"] == "second"
    )
    made = World(mallory, victor, second)
    with made.lent():
        yield made
    person.hub("DELETE", "/servers/second", json={"remove": True})


def test_a_session_reaches_the_hub_s_api_and_nothing_else_of_ours(
    tried: Inside, mallory: Inside, world: World
) -> None:
    hub = (world.at.hub_sessions, 8081)
    # the same program sees each of them open, from where it is open; some of the host's services
    # may be gone before they are looked at
    for _ in range(3):
        targets = world.targets()
        if tried is not mallory:
            targets["sessions"] = {(mallory.address, 8888)}
        wanted = set().union(*targets.values())
        visible = set()
        for pid in (*world.pids.values(), os.getpid()):
            visible |= world.seen_from(pid, wanted | {hub})
        if wanted | {hub} == visible:
            break
    assert len(wanted) < 400, "the policy's limit of new connections must not be what refuses"
    assert wanted | {hub} == visible, sorted(wanted | {hub} - visible)
    found = pairs(tried.python(REACH, "1", json.dumps(sorted(wanted | {hub}))))
    assert found == {hub}


def test_it_is_the_session_s_policy_that_closes_host_metadata_and_private_ranges(
    mallory: Inside, world: World
) -> None:
    """The same targets, from the same place, with the policy away for a moment."""
    targets = world.targets()
    four = {one for one in targets["metadata"] | targets["private"] if ":" not in one[0]}
    wanted = four | {(world.at.sessions_gateway, world.port), (world.at.proxy_sessions, 8000)}
    enter = ["nsenter", "-t", str(mallory.pid), "-n", "nft"]
    table = subprocess.run(
        [*enter, "list", "table", "inet", "juliabox"], check=True, capture_output=True
    ).stdout
    for _ in range(3):
        subprocess.run([*enter, "delete", "table", "inet", "juliabox"], check=True)
        try:
            found = world.seen_from(mallory.pid, wanted)
            again = policy_in_place(mallory.inspected)
        finally:
            if not policy_in_place(mallory.inspected):
                subprocess.run([*enter, "-f", "-"], input=table, check=True)
        # else the manager has set the policy again meanwhile
        if not again:
            break
    assert found == wanted
    assert world.seen_from(mallory.pid, wanted) == set()


def test_only_proxy_and_hub_reach_a_session(mallory: Inside, victor: Inside, world: World) -> None:
    door = {(one.address, 8888) for one in (mallory, victor)}
    for part in ("proxy", "hub"):
        assert world.seen_from(world.pids[part], door) == door
    # the host is the gateway, and no container on Docker's own bridge may come through it either
    assert world.seen_from(os.getpid(), door) == set()
    bridge = json.loads(_ip("-j", "-4", "address", "show", "dev", "docker0"))
    control = (bridge[0]["addr_info"][0]["local"], world.port)
    image = inspect(f"{world.name}-hub")["Image"]
    arguments = ["python", "-c", REACH.read_text(), "1", json.dumps([control, *door])]
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "bridge", "--entrypoint", "", image, *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert pairs(json.loads(done.stdout)) == {control}


def test_names_tell_nothing_and_an_external_name_answers(
    mallory: Inside, victor: Inside, world: World
) -> None:
    host = _registry()
    for _ in range(3):  # what is outside may be out of reach for a moment
        told = mallory.python(NAMES, victor.address, host, f"{world.at.hub_sessions}:8081")
        if told["answered"]:
            break
    opaque = rf"{re.escape(world.name)}-s-[0-9a-f]{{16}}\.{re.escape(world.name)}-sessions"
    assert re.fullmatch(opaque, told["neighbour"]), told
    assert told["people"] == {"victor": False, "mallory": False, "session-victor": False}
    assert re.fullmatch(r"session-[0-9a-f]{8}", told["hostname"])
    assert told["hub"] == 200
    assert told["resolved"], f"{host} does not resolve in a session"
    assert told["answered"], f"{host} does not answer to a session"


def _registry() -> str:
    """Return the host of the package registry that pip is set up to use here."""
    script = (
        "from pip._internal.configuration import Configuration as C;"
        "from pip._internal.models.index import PyPI; c = C(isolated=False); c.load();"
        "print(dict(c.items()).get('global.index-url', PyPI.simple_url))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    found = re.fullmatch(r"\w+://(?:[^/@]*@)?([^/:]+).*", done.stdout.strip())
    assert found, done.stdout
    return found[1]
