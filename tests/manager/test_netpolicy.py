"""Who reaches whom under the network policy, between real namespaces and containers (S9 to S12)."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import docker
import msgspec
import pytest

from juliabox_ext.errors import ConfigurationError, NotFoundError, PolicyError, UnavailableError
from juliabox_manager import surroundings
from juliabox_manager.netpolicy import NetworkPolicy
from juliabox_manager.protocol import Limits
from juliabox_manager.ruleset import CONNECTIONS_AT_ONCE, MAILS_AT_ONCE, MAILS_PER_MINUTE
from juliabox_manager.settings import ApiContainers, NetworkSettings
from juliabox_manager.surroundings import EngineHost
from support.manager_process import docker_cli, make_network
from support.namespaces import Bridge, Namespace, bridge

pytestmark = pytest.mark.engine

SETTINGS = NetworkSettings(
    name="jbt-transport-sessions",
    gateway="10.201.0.1",
    trusted=["10.201.0.2", "10.201.0.3"],
    hub="10.201.0.2",
    hub_port=8081,
)
PORTS = (22, 53, 80, 443, 2375, 5432, 8000, 8001, 8081, 8888, 9500, 9501)
PRIVATE = ("10.77.0.1", "172.30.0.1", "192.168.77.1", "100.64.1.1", "198.18.0.1", "fd77::1")
METADATA = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254")
INTERNET = ("198.51.100.7", "2001:db8:7::7")


def policy(**changes: Any) -> NetworkPolicy:
    return NetworkPolicy(msgspec.structs.replace(SETTINGS, **changes))


def resolvers() -> tuple[str, ...]:
    found = EngineHost("unix:///var/run/docker.sock").look().resolvers
    return tuple(address for address in found if not address.startswith("127."))


@pytest.fixture(scope="module")
def net() -> Iterator[Bridge]:
    with bridge() as made:
        for name, number in (("hub", 2), ("proxy", 3), ("ada", 10), ("eve", 11)):
            made.join(name, number).listen(*PORTS)
        made.gateway.listen(*PORTS, 25, 587)
        made.lend(*PRIVATE, *METADATA, *INTERNET, *resolvers())
        yield made


@pytest.fixture
def ada(net: Bridge) -> Iterator[Namespace]:
    """A session without a policy yet; so is Eve, who is root in her namespace."""
    yield net.members["ada"]
    for name in ("ada", "eve"):
        net.members[name].run("nft", "delete", "table", "inet", "juliabox", check=False)


async def datagrams(number: int, *places: tuple[Namespace, int]) -> int:
    """Return how many datagrams came to ports; wait a while for so many."""
    came = 0
    for _ in range(3000):
        came += sum(namespace.datagrams(port) for namespace, port in places)
        if came >= number:
            break
        await asyncio.sleep(0.01)
    return came


def targets(net: Bridge) -> dict[str, list[tuple[str, int]]]:
    """Return what is tried from a session, by the part that stands there."""
    addresses = {
        "hub": ["10.201.0.2", "fd01:201::2", net.link_local("hub")],
        "proxy": ["10.201.0.3", "fd01:201::3", net.link_local("proxy")],
        "session": ["10.201.0.11", "fd01:201::11", net.link_local("eve")],
        "gateway": ["10.201.0.1", "fd01:201::1"],
        "private": list(PRIVATE),
        "metadata": list(METADATA),
        "internet": list(INTERNET),
        "resolver": list(resolvers()),
    }
    return {part: [(a, p) for a in found for p in PORTS] for part, found in addresses.items()}


def reached(
    source: Namespace, net: Bridge, *expected: Iterable[tuple[str, int]]
) -> dict[str, set[tuple[str, int]]]:
    """Return what is reached, by part; wait a while for what is expected."""
    wanted = targets(net)
    every = [target for tried in wanted.values() for target in tried]
    found = source.reached(every, seconds=1, expected=set[tuple[str, int]]().union(*expected))
    return {part: found & set(tried) for part, tried in wanted.items()}


async def test_the_matrix_of_what_a_session_reaches(net: Bridge, ada: Namespace) -> None:
    before = reached(ada, net, *targets(net).values())
    assert all(before[part] == set(tried) for part, tried in targets(net).items()), (
        "without a policy all must answer, else the matrix below shows nothing"
    )
    await policy().apply(ada.pid)
    expected = {
        "hub": {("10.201.0.2", 8081)},
        "proxy": set(),
        "session": set(),
        "gateway": set(),
        "private": set(),
        "metadata": set(),
        "internet": set(targets(net)["internet"]),
        "resolver": {(address, 53) for address in resolvers()},
    }
    assert reached(ada, net, *expected.values()) == expected


async def test_the_matrix_without_internet(net: Bridge, ada: Namespace) -> None:
    await policy(internet=False).apply(ada.pid)
    hub, resolver = {("10.201.0.2", 8081)}, {(address, 53) for address in resolvers()}
    after = reached(ada, net, hub, resolver)
    assert after.pop("hub") == hub
    assert after.pop("resolver") == resolver
    assert not any(after.values())


async def test_a_session_reaches_a_service_at_its_port_alone(net: Bridge, ada: Namespace) -> None:
    await policy(internet=False, services=["10.201.0.3:8000", "[fd01:201::3]:9500"]).apply(ada.pid)
    hub, proxy = {("10.201.0.2", 8081)}, {("10.201.0.3", 8000), ("fd01:201::3", 9500)}
    after = reached(ada, net, hub, proxy)
    assert after["proxy"] == proxy
    assert after["hub"] == hub
    assert not any(after[part] for part in ("session", "gateway", "private", "internet"))


async def test_who_reaches_a_session(net: Bridge, ada: Namespace) -> None:
    """Only Ada has a policy: hers alone must keep others out."""
    await policy().apply(ada.pid)
    own = ["10.201.0.10", "fd01:201::10", net.link_local("ada")]
    found = who_reaches(net, own, PORTS, {"hub": {8888}, "proxy": {8888}})
    assert found == {("hub", own[0], 8888), ("proxy", own[0], 8888)}


def who_reaches(
    net: Bridge, own: list[str], ports: Iterable[int], expected: dict[str, set[int]]
) -> set[tuple[str, str, int]]:
    """Return who reaches which of Ada's addresses and ports; wait for the expected ones."""
    found = set()
    for source in (net.members["hub"], net.members["proxy"], net.members["eve"], net.gateway):
        zone = "%bridge0" if source is net.gateway else "%eth0"
        tried = [(address.replace("%eth0", zone), port) for address in own for port in ports]
        awaited = [(own[0], port) for port in expected.get(source.name, ())]
        seen = source.reached(tried, expected=awaited)
        found |= {(source.name, *target) for target in seen}
    return found


async def test_datagrams_neither_leave_nor_arrive(net: Bridge, ada: Namespace) -> None:
    eve = net.members["eve"]
    ada.send("10.201.0.11", 9500)
    eve.send("10.201.0.10", 9500)
    eve.send("10.201.0.10", 8888)
    assert await datagrams(3, (eve, 9500), (ada, 9500), (ada, 8888)) == 3
    await policy().apply(ada.pid)
    ada.send("10.201.0.11", 9500)
    ada.send("ff02::1%eth0", 9500)
    ada.send("224.0.0.1", 9500)
    ada.send("169.254.169.254", 80)
    eve.send("10.201.0.10", 9500)
    eve.send("10.201.0.10", 8888)
    net.members["hub"].send("10.201.0.10", 8888)
    await asyncio.sleep(0.1)
    assert eve.datagrams(9500) == ada.datagrams(9500) == ada.datagrams(8888) == 0
    assert net.gateway.datagrams(80) == net.gateway.datagrams(9500) == 0
    for address in resolvers():
        ada.send(address, 53)
    assert await datagrams(len(resolvers()), (net.gateway, 53)) == len(resolvers())


async def test_a_session_reaches_itself(ada: Namespace) -> None:
    await policy(internet=False).apply(ada.pid)
    for address in ("127.0.0.1", "127.0.0.11", "::1", "10.201.0.10"):
        assert ada.reaches(address, 8888)


async def test_a_forged_source_address_is_dropped(net: Bridge, ada: Namespace) -> None:
    hub = net.members["hub"]
    # the datagram is admitted by its target alone, so that only its source can stop it
    chosen = policy(allow=["10.77.0.1/32"])
    ada.send("10.77.0.1", 9501, source="10.201.0.3")
    assert await datagrams(1, (net.gateway, 9501)) == 1
    await chosen.apply(ada.pid)
    ada.send("10.77.0.1", 9501, source="10.201.0.3")
    ada.send("10.77.0.1", 9501)
    assert await datagrams(1, (net.gateway, 9501)) == 1
    assert hub.datagrams(9501) == 0


async def test_the_operators_exceptions_open_private_ranges_and_nothing_more(
    net: Bridge, ada: Namespace
) -> None:
    chosen = policy(
        allow=["10.0.0.0/8", "169.254.0.0/16", "fd77::/64", "198.51.100.0/24", "fd01:201::/64"],
        deny=["10.78.0.0/16", "2001:db8:7::/48"],
        internet=False,
    )
    net.lend("10.78.0.1")
    await chosen.apply(ada.pid)
    assert ada.reaches("10.77.0.1", 22)
    assert ada.reaches("fd77::1", 22)
    assert ada.reaches("198.51.100.7", 22)
    assert not ada.reaches("10.78.0.1", 22)
    for address in ("10.201.0.1", "10.201.0.11", "fd01:201::11", "10.201.0.3", "169.254.169.254"):
        assert not ada.reaches(address, 80)


async def test_denied_addresses_of_the_internet_are_closed(ada: Namespace) -> None:
    await policy(deny=["198.51.100.0/24"]).apply(ada.pid)
    assert not ada.reaches("198.51.100.7", 443)
    assert ada.reaches("2001:db8:7::7", 443)


async def test_a_flood_of_new_connections_is_cut(ada: Namespace) -> None:
    await policy().apply(ada.pid)

    def flood() -> None:
        for _ in range(CONNECTIONS_AT_ONCE + 300):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, suppress(OSError):
                sender.sendto(b"x", ("198.51.100.7", 9))
        socket.create_connection(("198.51.100.7", 443), 20).close()

    with pytest.raises(OSError, match="refused"):
        for _ in range(20):  # one that is held up for long gets connections meanwhile
            ada.inside(flood)
    await asyncio.sleep(1)
    assert ada.reaches("198.51.100.7", 443)


async def test_mail_is_slow_and_the_rest_is_not(ada: Namespace) -> None:
    for _ in range(5):  # a machine that stands still for seconds is given one more meanwhile
        await policy(allow=["10.77.0.0/24"]).apply(ada.pid)
        begun = time.monotonic()
        sent = [ada.reaches("198.51.100.7", 25) for _ in range(8)]
        if time.monotonic() - begun < 60 / MAILS_PER_MINUTE:
            break
    assert sent.count(True) == MAILS_AT_ONCE
    assert not ada.reaches("10.77.0.1", 587)
    assert ada.reaches("198.51.100.7", 443)


async def test_the_hosts_public_addresses_are_no_internet(
    ada: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = EngineHost("unix:///var/run/docker.sock").look()
    host = seen._replace(addresses=INTERNET)
    monkeypatch.setattr(EngineHost, "look", lambda _: host)
    await policy(allow=["198.51.100.0/24"]).apply(ada.pid)
    assert not any(ada.reaches(address, 443) for address in INTERNET)


async def test_an_engine_that_cannot_be_looked_at_leaves_no_guess(
    ada: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "_view", _fail)
    with pytest.raises(UnavailableError, match="juliabox doctor"):
        await NetworkPolicy(SETTINGS, "unix:///nowhere.sock").apply(ada.pid)


def _fail(process: Path) -> None:
    raise PermissionError(process)


# -- API containers ------------------------------------------------------------------------------

APIS = ApiContainers(
    image="juliabox/julia-api",
    image_id="sha256:api",
    trusted=["10.201.0.3"],
    ceilings=Limits(memory=2**29, cpu=1.0, pids=64, disk=0),
)


def policy_of_apis(*, internet: bool = False, **changes: Any) -> NetworkPolicy:
    """Return a policy whose API containers are reached by what is the proxy in other tests."""
    settings = msgspec.structs.replace(SETTINGS, **changes)
    return NetworkPolicy(settings, api=msgspec.structs.replace(APIS, internet=internet))


async def test_an_api_container_reaches_nothing_at_all(net: Bridge, ada: Namespace) -> None:
    chosen = policy_of_apis(allow=["10.77.0.0/16"], services=["10.201.0.3:8000"])
    await chosen.apply(ada.pid, "api")
    assert not any(reached(ada, net).values())
    for address in resolvers():
        ada.send(address, 53)
    await asyncio.sleep(0.1)
    assert net.gateway.datagrams(53) == 0


async def test_an_api_container_reaches_the_internet_alone_if_apis_may(
    net: Bridge, ada: Namespace
) -> None:
    await policy_of_apis(internet=True, allow=["10.77.0.0/16"]).apply(ada.pid, "api")
    internet, resolver = targets(net)["internet"], {(address, 53) for address in resolvers()}
    after = reached(ada, net, internet, resolver)
    assert after.pop("internet") == set(internet)
    assert after.pop("resolver") == resolver
    assert not any(after.values())


async def test_only_the_api_engine_reaches_the_workers_of_an_api_container(
    net: Bridge, ada: Namespace
) -> None:
    ada.listen(8889, 8903, 8904)
    await policy_of_apis().apply(ada.pid, "api")
    own = ["10.201.0.10", "fd01:201::10", net.link_local("ada")]
    ports = (*PORTS, 8889, 8903, 8904)
    found = who_reaches(net, own, ports, {"proxy": {8888, 8889, 8903}})
    assert found == {("proxy", own[0], port) for port in (8888, 8889, 8903)}


async def test_the_policy_of_a_session_is_none_for_an_api_container(ada: Namespace) -> None:
    chosen = policy_of_apis()
    await chosen.apply(ada.pid)
    assert await chosen.in_place(ada.pid)
    assert not await chosen.in_place(ada.pid, "api")
    await chosen.apply(ada.pid, "api")
    assert await chosen.in_place(ada.pid, "api")
    assert not await chosen.in_place(ada.pid)


async def test_without_apis_there_is_no_policy_for_them(ada: Namespace) -> None:
    with pytest.raises(PolicyError, match="API container"):
        await policy().apply(ada.pid, "api")


# -- S12 -----------------------------------------------------------------------------------------

CHANGES = {
    "flushed": "flush ruleset",
    "emptied": "flush table inet juliabox",
    "deleted": "delete table inet juliabox",
    "one chain emptied": "flush chain inet juliabox output",
    "policy turned": "add chain inet juliabox input { policy accept; }",
    "a rule in front": "insert rule inet juliabox input accept",
    "a rule behind": "add rule inet juliabox output accept",
    "a chain more": "add chain inet juliabox more",
    "dormant": "add table inet juliabox { flags dormant; }",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_changed_table_is_noticed_and_set_again(ada: Namespace, change: str) -> None:
    chosen = policy()
    assert not await chosen.in_place(ada.pid)
    await chosen.apply(ada.pid)
    assert await chosen.in_place(ada.pid)
    ada.run("nft", "-f", "-", text=CHANGES[change] + "\n")
    assert not await chosen.in_place(ada.pid)
    await chosen.apply(ada.pid)
    assert await chosen.in_place(ada.pid)


async def test_another_managers_process_recognises_the_policy(ada: Namespace) -> None:
    await policy().apply(ada.pid)
    assert await policy().in_place(ada.pid)
    assert not await policy(internet=False).in_place(ada.pid)


_DOCKERS_TABLE = """table ip nat {
chain o { type nat hook output priority -100
ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:40000
}
}
"""


async def test_what_was_opened_while_the_table_was_missing_is_closed_with_it(
    net: Bridge, ada: Namespace
) -> None:
    eve, hub = net.members["eve"], net.members["hub"]
    chosen = policy()
    # as Docker's resolver does, this keeps connections tracked while our table is missing
    ada.run("nft", "-f", "-", text=_DOCKERS_TABLE)
    await chosen.apply(ada.pid)
    wanted = hub.connect("10.201.0.10", 8888)
    ada.run("nft", "delete", "table", "inet", "juliabox")
    outgoing, incoming = ada.connect("10.201.0.11", 22), eve.connect("10.201.0.10", 22)
    await chosen.apply(ada.pid)
    for connection in (outgoing, incoming, wanted):
        connection.send(b"x")
    await acknowledged(wanted)
    await asyncio.sleep(0.3)
    unacknowledged = {c: _unacknowledged(c) for c in (outgoing, incoming, wanted)}
    for connection in (outgoing, incoming, wanted):
        connection.close()
    ada.run("nft", "delete", "table", "ip", "nat")
    assert unacknowledged[wanted] == 0
    assert unacknowledged[incoming] > 0
    assert unacknowledged[outgoing] != 0


def _unacknowledged(connection: Any) -> int:
    """Return tcpi_unacked, or -1 for a connection that was reset."""
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return -1 if information[0] == 7 else struct.unpack_from("I", information, 24)[0]


async def acknowledged(connection: Any) -> None:
    """Wait a while until all that was sent is acknowledged."""
    for _ in range(3000):
        if _unacknowledged(connection) == 0:
            return
        await asyncio.sleep(0.01)


async def test_applying_again_cuts_no_admitted_connection(net: Bridge, ada: Namespace) -> None:
    chosen = policy()
    await chosen.apply(ada.pid)
    connection = net.members["hub"].connect("10.201.0.10", 8888)
    for _ in range(5):
        await chosen.apply(ada.pid)
        connection.send(b"x")
    await acknowledged(connection)
    assert _unacknowledged(connection) == 0
    connection.close()


async def test_rules_of_others_are_left_alone(ada: Namespace) -> None:
    """Docker's resolver lives by a nat table in the container's namespace."""
    ada.run("nft", "-f", "-", text=_DOCKERS_TABLE)
    before = ada.run("nft", "list", "table", "ip", "nat")
    await policy().apply(ada.pid)
    await policy().apply(ada.pid)
    assert ada.run("nft", "list", "table", "ip", "nat") == before
    ada.run("nft", "delete", "table", "ip", "nat")


async def test_a_process_that_ended_is_not_found() -> None:
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    for call in (policy().apply, policy().in_place):
        with pytest.raises(NotFoundError, match="has ended"):
            await call(gone.pid)


async def test_the_hosts_own_network_is_never_touched() -> None:
    with pytest.raises(PolicyError, match="host"):
        await policy().apply(os.getpid())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gateway", "10.201.0.1; flush ruleset"),
        ("trusted", ["10.201.0.2\n"]),
        ("trusted", ["10.201.0.0/24"]),
        ("hub", "hub"),
        ("hub", "fe80::1%eth0; accept"),
        ("hub_port", 0),
        ("hub_port", 65536),
        ("services", ["10.201.0.3"]),
        ("services", ["10.201.0.3:0"]),
        ("services", ["10.201.0.3:65536"]),
        ("services", ["10.201.0.3:80 accept"]),
        ("services", ["10.201.0.0/24:80"]),
        ("services", ["fd01:201::3:80"]),
        ("services", ["[10.201.0.3]:80"]),
        ("services", ["[fe80::1%eth0; accept]:80"]),
        ("services", ["api:80"]),
        ("allow", ["0.0.0.0/0 } accept"]),
        ("allow", ["10.0.0.1/8"]),
        ("deny", ["any"]),
    ],
)
def test_anything_but_an_address_is_a_configuration_error(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"network.{field}"):
        policy(**{field: value})


# -- real containers -----------------------------------------------------------------------------

_PROBE = """
import socket, sys, time
def tries(address, port):
    try:
        socket.create_connection((address, port), 10).close()
    except OSError:
        return False
    return True
def resolves(name):
    try:
        return socket.gethostbyname(name)
    except OSError as error:
        return ""
def raw():
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    except PermissionError:
        return False
    return True
for _ in range(int(sys.argv[1])):
    if tries("neighbour", 8888):
        break
    time.sleep(0.2)
print(resolves("neighbour"), tries("neighbour", 8888), tries(sys.argv[2], 22), raw())
"""


#: This run's own: one that was cut off may have left its network behind.
NETWORK = f"jbt-policy-{os.getpid()}"


@pytest.fixture
def subnet() -> Iterator[IPv4Network]:
    """Make the Docker network, and give its addresses."""
    yield IPv4Network(make_network(NETWORK, 24))
    docker_cli("network", "rm", NETWORK)


@pytest.fixture
def containers(tiny: str, subnet: IPv4Network) -> Iterator[dict[str, Any]]:
    """Two containers on a Docker network; the first has the hardening of a session."""
    client = docker.from_env()
    network = client.networks.get(NETWORK)
    made: dict[str, Any] = {}
    try:
        for name in ("session", "neighbour"):
            made[name] = client.containers.run(
                *(
                    tiny,
                    [
                        "-c",
                        "import http.server as s; s.test(s.SimpleHTTPRequestHandler, port=8888)",
                    ],
                ),
                entrypoint=["/usr/bin/python3.11"],
                name=f"{NETWORK}-{name}",
                network=NETWORK,
                detach=True,
                cap_drop=["ALL"],
                user="1000",
                security_opt=["no-new-privileges"],
            )
        network.disconnect(made["neighbour"])
        network.connect(made["neighbour"], aliases=["neighbour"])
        yield made
    finally:
        for container in made.values():
            container.remove(force=True)
        client.close()


async def test_a_container_resolves_names_and_reaches_no_neighbour(
    containers: dict[str, Any], subnet: IPv4Network
) -> None:
    session = containers["session"]
    # the engine takes the first address that containers may have
    gateway, hub = str(list(subnet.subnets())[1][0]), str(subnet[2])
    chosen = policy(gateway=gateway, trusted=[hub], hub=hub)

    def probe(patience: str = "0") -> list[str]:
        command = ["/usr/bin/python3.11", "-c", _PROBE, patience, gateway]
        return session.exec_run(command).output.decode().split()  # type: ignore[no-any-return]

    def pid() -> int:
        session.reload()
        return int(session.attrs["State"]["Pid"])

    name, neighbour, _, raw = await asyncio.to_thread(probe, "50")
    assert IPv4Address(name) in subnet
    assert (neighbour, raw) == ("True", "False")
    await chosen.apply(pid())
    assert await chosen.in_place(pid())
    assert await asyncio.to_thread(probe) == [name, "False", "False", "False"]
    await asyncio.to_thread(session.restart, timeout=0)
    assert not await chosen.in_place(pid())
