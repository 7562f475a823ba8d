"""What the engine tells of each container of a real installation, and that no secret is told."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker.errors import NotFound

from support.fresh_http import FreshConnections
from support.hub_stand import PASSWORD
from support.inside import Inside, inspect
from support.installation import Installation
from support.warm import Pools

pytestmark = pytest.mark.engine

PARTS = ("api", "hub", "manager", "portal", "proxy")
ENVIRONMENT = Path(__file__).parent / "inside" / "environment.py"
MANAGER_CAPABILITIES = {"SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"}


@pytest.fixture(scope="module")
def told(mallory: Inside, victor: Inside, pools: Pools) -> dict[str, dict[str, Any]]:
    """What ``docker inspect`` gives for each container of the installation, by what it is.

    ``session`` was warm, ``neighbour`` was started cold, and ``warm`` is nobody's yet.
    """
    name = mallory.person.installation.name
    parts = {part: inspect(f"{name}-{part}") for part in PARTS}
    pools.await_ready()
    (warm, *_) = pools.containers()
    sessions = {"session": mallory.inspected, "neighbour": victor.inspected}
    return {**parts, **sessions, "warm": warm}


def _status(container: dict[str, Any]) -> dict[str, str]:
    lines = Path(f"/proc/{container['State']['Pid']}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@pytest.mark.parametrize("what", ["session", "neighbour"])
def test_a_session_is_confined_as_the_engine_tells(
    told: dict[str, dict[str, Any]], installation: Installation, what: str
) -> None:
    session = told[what]
    host, limits = session["HostConfig"], installation.limits
    assert int(session["Config"]["User"].split(":")[0]) != 0
    assert (host["Privileged"], host["CapDrop"], host["CapAdd"]) == (False, ["ALL"], [])
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["ReadonlyRootfs"] is True
    assert (host["Memory"], host["MemorySwap"]) == (limits.memory, limits.memory)
    assert (host["PidsLimit"], host["CpuQuota"]) == (limits.pids, limits.cpu * 100_000)
    assert not host["PortBindings"] and not host["PublishAllPorts"]
    assert not any(session["NetworkSettings"]["Ports"].values())
    assert list(session["NetworkSettings"]["Networks"]) == [f"{installation.name}-sessions"]
    (mount,) = session["Mounts"]
    assert Path(mount["Source"]).is_relative_to(installation.state / "slots")
    assert mount["RW"] is False
    assert not host["Binds"] and not host["Devices"] and not host["VolumesFrom"]
    status = _status(session)
    assert not any(int(status[field], 16) for field in ("CapPrm", "CapEff", "CapBnd", "CapAmb"))


@pytest.mark.parametrize("part", ["api", "hub", "portal", "proxy"])
def test_hub_and_proxy_have_no_power_over_the_engine(
    told: dict[str, dict[str, Any]], installation: Installation, part: str
) -> None:
    container = told[part]
    status = _status(container)
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    assert not any(int(status[field], 16) for field in ("CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"] and not host["Privileged"] and not host["CapAdd"]
    for mount in container["Mounts"]:
        assert "docker" not in mount["Source"], mount
        assert Path(mount["Source"]).is_relative_to(installation.state), mount
        assert mount["RW"] is (mount["Source"] == str(installation.state / part)), mount
    assert not _sockets_of_the_engine(container["State"]["Pid"])
    # and what the host has of it is closed to that uid
    for path in ("/var/run/docker.sock", "/var/lib/docker", str(installation.state / "manager")):
        code = f"import os, sys; sys.exit(os.access({path!r}, os.R_OK))"
        subprocess.run(["python3", "-c", code], user=900, group=900, extra_groups=[], check=True)


def _sockets_of_the_engine(pid: int) -> list[str]:
    root = Path(f"/proc/{pid}/root")
    # not by way of /var/run, a link that would lead to the host's own
    return [str(path) for path in (root / "run").rglob("*.sock")]


def test_the_manager_has_the_named_capabilities_and_no_other(
    told: dict[str, dict[str, Any]], installation: Installation
) -> None:
    container = told["manager"]
    host, status = container["HostConfig"], _status(container)
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert {name.removeprefix("CAP_") for name in host["CapAdd"]} == MANAGER_CAPABILITIES
    assert bin(int(status["CapBnd"], 16)).count("1") == len(MANAGER_CAPABILITIES)
    assert status["NoNewPrivs"] == "1"
    assert host["ReadonlyRootfs"] is True
    assert sorted(host["DeviceCgroupRules"]) == ["b 7:* rwm", "c 10:237 rwm"]
    assert {mount["Destination"] for mount in container["Mounts"]} == {
        "/dev", "/var/run/docker.sock", "/etc/juliabox/manager.json", str(installation.state),
    }  # fmt: skip
    assert not any(container["NetworkSettings"]["Ports"].values())


def test_only_the_proxy_s_port_is_published_and_at_the_configured_address(
    told: dict[str, dict[str, Any]], installation: Installation
) -> None:
    published = {
        (what, inner, one["HostIp"], int(one["HostPort"]))
        for what, container in told.items()
        for inner, outer in container["NetworkSettings"]["Ports"].items()
        for one in outer or []
    }
    assert published == {("proxy", "8000/tcp", "127.0.0.1", installation.port)}


# -- S38 -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def canaries(
    mallory: Inside, victor: Inside, installation: Installation
) -> Iterator[dict[str, str]]:
    """Every secret of this run, after each has been used once."""
    found = {}
    for path in (installation.state / "secrets").rglob("*"):
        if path.is_file() and path.suffix != ".crt":
            for number, line in enumerate(path.read_text(errors="replace").splitlines()):
                if len(line.strip()) >= 16:
                    found[f"{path.name}:{number}"] = line.strip()
    for name, inside in (("mallory", mallory), ("victor", victor)):
        for variable, value in inside.python(ENVIRONMENT).items():
            if re.search("TOKEN|SECRET|KEY|PASSWORD|COOKIE", variable) and len(value) >= 16:
                found[f"{name}:{variable}"] = value
    assert {"mallory:JUPYTERHUB_API_TOKEN", "victor:JUPYTERHUB_API_TOKEN"} <= set(found)
    found["token of mallory"] = mallory.person.own["Authorization"].split()[1]
    password = installation.add_user("canary")
    found["password"], found["wrong password"] = password, f"wrong-{PASSWORD}"
    fresh = FreshConnections()  # the proxy ends idle ones after 5 s, perhaps as one is taken
    with httpx.Client(base_url=installation.url, timeout=60, transport=fresh) as browser:
        for word in (found["wrong password"], password):
            page = browser.get("/hub/login", headers={"Sec-Fetch-Mode": "navigate"})
            token = re.findall(r'name="_xsrf" value="([^"]+)"', page.text)[0]
            form = {"username": "canary", "password": word, "_xsrf": token}
            browser.post("/hub/login", data=form)
        # a token in an address is what a careless person makes
        browser.get("/hub/api/user", params={"token": found["token of mallory"]})
        browser.get("/user/mallory/api/status", params={"token": found["token of mallory"]})
        for cookie in browser.cookies.jar:
            if cookie.name != "_xsrf" and len(cookie.value or "") >= 16:
                found[f"cookie {cookie.name}"] = str(cookie.value).strip('"')
    assert any(name.startswith("cookie ") for name in found)
    yield found


def test_no_secret_is_in_what_the_engine_tells_or_in_a_log_or_in_arguments(
    canaries: dict[str, str], installation: Installation
) -> None:
    client = docker.from_env().api
    labels = {"label": f"juliabox.installation={installation.name}"}
    places: dict[str, str] = {}
    try:
        for item in client.containers(all=True, filters=labels):
            with contextlib.suppress(NotFound):  # warm containers come and go
                found = client.inspect_container(item["Id"])
                places[f"inspect {found['Name']}"] = json.dumps(found)
                places[f"log {found['Name']}"] = client.logs(item["Id"]).decode(errors="replace")
    finally:
        client.close()
    for path in (one for one in (installation.state / "run").rglob("*") if one.is_file()):
        places[f"file {path.name}"] = path.read_text()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            places[f"arguments {path.parent.name}"] = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
    assert sum(place.startswith("log ") for place in places) >= 5
    assert any("mallory" in text for place, text in places.items() if place.startswith("log"))
    leaks = [
        f"{what} in {place}"
        for place, text in places.items()
        for what, secret in canaries.items()
        if secret in text
    ]
    assert leaks == []


def test_no_session_holds_a_secret_of_anybody_else(
    canaries: dict[str, str], mallory: Inside
) -> None:
    own = mallory.python(ENVIRONMENT)
    held = {what for what, secret in canaries.items() if secret in own.values()}
    assert held and all(what.startswith("mallory:") for what in held), held


# -- Docker's own list of checks -----------------------------------------------------------------

Check = Callable[[dict[str, Any]], bool]


def _host(key: str, *good: Any) -> Check:
    return lambda container: container["HostConfig"].get(key) in good


def _option(text: str) -> Check:
    return lambda container: all(
        not one.startswith(text) or one.split("=")[-1].split(":")[-1] != "unconfined"
        for one in container["HostConfig"]["SecurityOpt"]
    )


def _mounts(*sensitive: str) -> Check:
    return lambda container: not {mount["Source"] for mount in container["Mounts"]} & set(sensitive)


def _ports(good: Callable[[dict[str, str]], bool]) -> Check:
    return lambda container: all(
        good(one) for outer in container["NetworkSettings"]["Ports"].values() for one in outer or []
    )


#: Section 5 of the benchmark, as far as it can be read from what the engine tells.
BENCHMARK: dict[str, Check] = {
    "5.1 AppArmor is not turned off": _option("apparmor"),
    "5.3 capabilities are restricted": lambda container: (
        container["HostConfig"]["CapDrop"] == ["ALL"] and not container["HostConfig"]["CapAdd"]
    ),
    "5.4 not privileged": _host("Privileged", False),
    "5.5 no sensitive host folder": _mounts(
        "/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr", "/var", "/run", "/var/run"
    ),
    "5.7 no privileged port": _ports(lambda one: int(one["HostPort"]) >= 1024),
    "5.9 not the host's network": lambda container: (
        container["HostConfig"]["NetworkMode"] not in {"host", "default", "bridge"}
    ),
    "5.10 memory is limited": lambda container: container["HostConfig"]["Memory"] > 0,
    "5.11 CPU is limited or weighed": lambda container: any(
        container["HostConfig"].get(key) for key in ("CpuShares", "CpuQuota", "NanoCpus")
    ),
    "5.12 read-only root": _host("ReadonlyRootfs", True),
    "5.13 ports at one address": _ports(
        lambda one: not ipaddress.ip_address(one["HostIp"]).is_unspecified
    ),
    "5.14 restarts are few": lambda container: (
        container["HostConfig"]["RestartPolicy"]["Name"] in {"no", "", "on-failure"}
    ),
    "5.15 not the host's processes": lambda c: c["HostConfig"]["PidMode"] != "host",
    "5.16 not the host's IPC": _host("IpcMode", "private", "none"),
    "5.17 no host device": lambda container: not container["HostConfig"]["Devices"],
    "5.18 resource limits": lambda container: (
        not container["HostConfig"]["Ulimits"]
        or all(one["Hard"] <= 65_536 for one in container["HostConfig"]["Ulimits"])
    ),
    "5.19 no shared mount": lambda container: (
        not any(mount.get("Propagation") in {"shared", "rshared"} for mount in container["Mounts"])
    ),
    "5.20 not the host's name": lambda c: c["HostConfig"]["UTSMode"] != "host",
    "5.21 seccomp is not turned off": _option("seccomp"),
    "5.24 its own control group": lambda c: not c["HostConfig"]["CgroupParent"],
    "5.25 no new privileges": lambda container: (
        "no-new-privileges:true" in container["HostConfig"]["SecurityOpt"]
    ),
    "5.26 a health check": lambda container: (
        (container["Config"].get("Healthcheck") or {"Test": ["NONE"]})["Test"][0] != "NONE"
    ),
    "5.28 processes are limited": lambda c: (c["HostConfig"]["PidsLimit"] or 0) > 0,
    "5.29 not Docker's own bridge": lambda container: (
        "bridge" not in container["NetworkSettings"]["Networks"]
    ),
    "5.30 no host user namespace": lambda c: c["HostConfig"]["UsernsMode"] != "host",
    "5.31 no engine socket": lambda container: (
        not any(mount["Source"].endswith("docker.sock") for mount in container["Mounts"])
    ),
}

_MANAGER = "what the manager is for; docs/explanation/security.md says what that means"

#: Warnings that stay, each with its reason.
EXCEPTIONS: dict[tuple[str, str], str] = {
    **{("5.14", part): "a part that dies must come back, however often" for part in PARTS},
    **{
        (number, "manager"): _MANAGER
        for number in ("5.1", "5.3", "5.5", "5.15", "5.19", "5.21", "5.31")
    },
    **{
        ("5.26", session): "the proxy and the hub see whether it answers; a check inside would "
        "count against the person's limits"
        for session in ("session", "neighbour", "warm")
    },
}


def test_the_benchmark_of_containers_warns_of_nothing_but_what_is_meant(
    told: dict[str, dict[str, Any]],
) -> None:
    warned = {
        (check.split()[0], what)
        for check, passes in BENCHMARK.items()
        for what, container in told.items()
        if not passes(container)
    }
    assert warned == set(EXCEPTIONS)
