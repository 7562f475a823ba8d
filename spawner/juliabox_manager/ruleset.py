"""Text of the nftables policy of one container: who may reach it, and whom it may reach.

Everything that is interpolated went through :mod:`ipaddress` or ``int``. Order of the outgoing
rules: own loopback, answers, the hub's API and other services, port 53 of the engine's resolvers,
then what is never reached (other sessions, the gateway and the host, metadata, the operator's
``deny``), the operator's ``allow``, private ranges, the internet.

An API container is reached by the API engine on the ports of its workers; it does not reach the
hub, nor anything that the operator allows to sessions, and the internet only if APIs may.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Network,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import NamedTuple

import msgspec

from juliabox_ext.errors import ConfigurationError
from juliabox_manager.protocol import MOST_WORKERS, SESSION_PORT, WORKER_PORT
from juliabox_manager.settings import ApiContainers, NetworkSettings

Network = IPv4Network | IPv6Network

TABLE = "inet juliabox"

#: Conntrack mark of connections that the policy admitted. Without it, what was opened while the
#: table was missing would live on as "established" after the table is back.
_ADMITTED = "0x6a620001"
_ADMIT = f"ct mark set {_ADMITTED} accept"
#: Protocols by number: their names need /etc/protocols, which a small image lacks.
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58

#: New connections of one session per second, and at once; a notebook that installs packages stays
#: far below, a scan or flood does not (S13).
CONNECTIONS_PER_SECOND, CONNECTIONS_AT_ONCE = 100, 500
#: Connections to a mail port per minute, and at once: enough for a person, not for spam.
MAILS_PER_MINUTE, MAILS_AT_ONCE = 10, 5

#: Never reached, whatever the operator allows: metadata services, link-local, multicast, loopback.
NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "::ffff:0:0/96",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)

_PRIVATE4 = (
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
)


def _through_nat64(network: IPv4Network) -> IPv6Network:
    """Return what an IPv4 network becomes behind NAT64's well-known prefix."""
    base = int(ip_address("64:ff9b::")) | int(network.network_address)
    return IPv6Network((base, 96 + network.prefixlen))


#: Reached only if the operator allows it.
PRIVATE: tuple[Network, ...] = (
    *(ip_network(text) for text in _PRIVATE4),
    # unique local addresses, local NAT64, and the tunnels that carry an IPv4 address inside
    *(ip_network(text) for text in ("fc00::/7", "64:ff9b:1::/48", "2001::/32", "2002::/16")),
    *(_through_nat64(IPv4Network(text)) for text in _PRIVATE4),
    *(_through_nat64(network) for network in NEVER if isinstance(network, IPv4Network)),
)


class Surroundings(NamedTuple):
    """What the policy depends on beside the settings, as found on the machine."""

    #: The engine's upstream resolvers; loopback ones are asked by the engine itself.
    resolvers: tuple[str, ...]
    #: Networks that the session is attached to.
    attached: tuple[str, ...]
    #: Addresses of the host outside private ranges.
    host: tuple[str, ...]


class Addresses:
    """The addresses of the settings, checked; a wrong one is a ``ConfigurationError``.

    They are those of sessions; :meth:`of_apis` gives those of API containers.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        self.trusted = [_address("trusted", text) for text in settings.trusted]
        #: Ports that these may reach.
        self.ports = str(SESSION_PORT)
        self.hub = [_address("hub", settings.hub)]
        #: Whether names are looked up outside.
        self.resolve = True
        self.gateway = _address("gateway", settings.gateway)
        self.allow = [_network("allow", text) for text in settings.allow]
        self.deny = [_network("deny", text) for text in settings.deny]
        self.hub_port = settings.hub_port
        self.internet = settings.internet
        if not 0 < settings.hub_port < 65536:
            raise ConfigurationError(f"network.hub_port: {settings.hub_port} is not a TCP port")
        #: Addresses by port.
        self.services: dict[int, list[Network]] = {}
        for text in settings.services:
            address, port = _service(text)
            self.services.setdefault(port, []).append(address)

    @classmethod
    def of_apis(cls, settings: NetworkSettings, api: ApiContainers) -> Addresses:
        """Take the addresses of API containers: they serve the API engine, and nobody serves them.

        Without the internet they ask no resolver either, which could be made to carry data out.
        """
        own = {"trusted": api.trusted, "internet": api.internet, "allow": [], "services": []}
        made = cls(msgspec.structs.replace(settings, **own))
        made.ports = f"{WORKER_PORT}-{WORKER_PORT + MOST_WORKERS - 1}"
        made.hub = []
        made.resolve = api.internet
        return made


def _service(text: str) -> tuple[Network, int]:
    """Return address and port of ``address:port``; an IPv6 address is in brackets."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigurationError(f"network.services: {text!r} does not end in a colon and a port")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (":" in inner) != (inner is not host):
        raise ConfigurationError(f"network.services: {text!r} needs brackets for IPv6 alone")
    return _address("services", inner), int(port)


def _address(field: str, text: str) -> Network:
    found = _network(field, text)
    if found.num_addresses != 1:
        raise ConfigurationError(f"network.{field}: {text!r} is not one address")
    return found


def _network(field: str, text: str) -> Network:
    try:
        if "%" in text:
            # ipaddress admits any text as the zone of an IPv6 address
            raise ValueError(f"{text!r} has a zone")
        return ip_network(text)
    except ValueError as error:
        raise ConfigurationError(f"network.{field}: {error}") from None


def render(addresses: Addresses, found: Surroundings) -> str:
    """Return an nft script that replaces our table, and nothing else, in one transaction."""
    lines = [
        f"add table {TABLE}",
        f"delete table {TABLE}",
        f"table {TABLE} {{",
        *_input(addresses),
        *_output(addresses, found),
        "chain forward { type filter hook forward priority filter; policy drop; }",
        "}",
    ]
    return "\n".join(lines) + "\n"


#: Answers within admitted connections, and ICMP errors about them.
_ANSWERS = (
    f"ct state established ct mark {_ADMITTED} accept",
    f"meta l4proto {{ {_ICMP}, {_ICMPV6} }} ct state related ct mark {_ADMITTED} accept",
    "ct state invalid drop",
)


def _input(addresses: Addresses) -> list[str]:
    return [
        "chain input {",
        "type filter hook input priority filter; policy drop",
        'iifname "lo" accept',
        *_ANSWERS,
        *_each_family("saddr", addresses.trusted, f"tcp dport {addresses.ports} {_ADMIT}"),
        *_neighbours("nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert"),
        "}",
    ]


def _output(addresses: Addresses, found: Surroundings) -> list[str]:
    resolvers = [
        address
        for address in (ip_network(ip_address(text)) for text in found.resolvers)
        if addresses.resolve and not address.is_loopback
    ]
    never = [
        *(ip_network(text) for text in found.attached),
        *(ip_network(ip_address(text)) for text in found.host),
        *NEVER,
        addresses.gateway,
        *addresses.deny,
    ]
    burst = f"{CONNECTIONS_PER_SECOND}/second burst {CONNECTIONS_AT_ONCE} packets"
    mails = f"{MAILS_PER_MINUTE}/minute burst {MAILS_AT_ONCE} packets"
    internet = _ADMIT if addresses.internet else "goto refuse"
    return [
        "chain refuse {",
        f"meta l4proto {_TCP} reject with tcp reset",
        "reject with icmpx admin-prohibited",
        "}",
        "chain output {",
        "type filter hook output priority filter; policy drop",
        'oifname "lo" accept',
        *_ANSWERS,
        *_neighbours("nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit"),
        # a source address that is not the session's own is never answered for
        "fib saddr type != local drop",
        f"limit rate over {burst} goto refuse",
        *_each_family("daddr", addresses.hub, f"tcp dport {addresses.hub_port} {_ADMIT}"),
        *(
            rule
            for port, found_there in sorted(addresses.services.items())
            for rule in _each_family("daddr", found_there, f"tcp dport {port} {_ADMIT}")
        ),
        *_each_family(
            "daddr", resolvers, f"meta l4proto {{ {_TCP}, {_UDP} }} th dport 53 {_ADMIT}"
        ),
        *_each_family("daddr", never, "goto refuse"),
        f"tcp dport {{ 25, 465, 587 }} limit rate over {mails} goto refuse",
        *_each_family("daddr", addresses.allow, _ADMIT),
        *_each_family("daddr", PRIVATE, "goto refuse"),
        f"meta nfproto {{ ipv4, ipv6 }} {internet}",
        "}",
    ]


def _neighbours(kinds: str) -> list[str]:
    return [f"icmpv6 type {{ {kinds} }} ip6 hoplimit 255 accept"]


def _each_family(field: str, networks: Iterable[Network], verdict: str) -> list[str]:
    """Return one rule for IPv4 and one for IPv6, each only if there is an address for it."""
    chosen = list(networks)
    four = collapse_addresses(net for net in chosen if isinstance(net, IPv4Network))
    six = collapse_addresses(net for net in chosen if isinstance(net, IPv6Network))
    rules = []
    for family, members in (("ip", list(four)), ("ip6", list(six))):
        if members:
            listed = ", ".join(str(member) for member in members)
            rules.append(f"{family} {field} {{ {listed} }} {verdict}")
    return rules
