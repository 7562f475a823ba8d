"""Addresses never overlap what is there, and the parts' never reach the sessions' range."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juliabox_cli import addresses
from juliabox_cli.addresses import Addresses
from juliabox_ext.errors import ConfigurationError

networks = st.builds(
    lambda number, prefix: IPv4Network((number, prefix), strict=False),
    st.integers(int(IPv4Address("10.0.0.0")), int(IPv4Address("10.255.255.255"))),
    st.integers(10, 28),
)


@given(st.text(max_size=40), st.lists(networks, max_size=30))
def test_a_chosen_block_overlaps_nothing_that_is_taken(
    identity: str, taken: list[IPv4Network]
) -> None:
    try:
        block = addresses.choose(identity, taken)
    except ConfigurationError:
        pool = IPv4Network("10.64.0.0/10")
        blocks = pool.subnets(new_prefix=20)
        assert all(any(block.overlaps(other) for other in taken) for block in blocks)
    else:
        assert block.subnet_of(IPv4Network("10.64.0.0/10"))
        assert addresses.overlap(block, taken) is None


def test_installations_of_one_host_differ_though_none_is_up() -> None:
    chosen = {addresses.choose(f"name /var/lib/juliabox-{n}", []) for n in range(20)}
    assert len(chosen) >= 19


def test_the_same_installation_is_given_the_same_block_again() -> None:
    assert addresses.choose("a /b", []) == addresses.choose("a /b", [])


def test_no_block_left_is_a_readable_error() -> None:
    with pytest.raises(ConfigurationError, match=r"set network\.subnet"):
        addresses.choose("a", [IPv4Network("10.0.0.0/8")])


@pytest.mark.parametrize("prefix", [16, 20, 23])
def test_networks_of_a_block_are_apart_and_parts_are_out_of_the_sessions_range(prefix: int) -> None:
    one = Addresses(IPv4Network(("10.64.0.0", prefix)))
    nets = [one.edge, one.control, one.egress, one.sessions]
    assert all(net.subnet_of(one.block) for net in nets)
    assert not any(left.overlaps(right) for left, right in combinations(nets, 2))
    assert one.sessions_range.subnet_of(one.sessions)
    for address in (one.proxy_sessions, one.hub_sessions, one.sessions_gateway):
        assert IPv4Address(address) in one.sessions
        assert IPv4Address(address) not in one.sessions_range
    fixed = [value for value in one.variables().values() if "/" not in value]
    assert len(set(fixed)) == len(fixed)


def test_the_hosts_networks_hold_its_own_routes_and_addresses() -> None:
    found = addresses.host_networks()
    assert IPv4Network("127.0.0.0/8") in found
    assert IPv4Network("0.0.0.0/0") not in found
