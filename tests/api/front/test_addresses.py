"""Where a caller comes from: what the proxy says, and nothing that the caller says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.api_front import FrontStand


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[FrontStand]:
    """Return a front behind a proxy, with one call in a minute for each address."""
    made = FrontStand(tmp_path, proxied=True, rate=1)
    made.publish()
    yield made
    await made.close()


async def statuses(stand: FrontStand, *headers: dict[str, str]) -> list[int]:
    return [(await stand.get("ada/sums/echo", headers=one)).status_code for one in headers]


async def test_each_address_that_the_proxy_names_has_a_rate_of_its_own(
    behind: FrontStand,
) -> None:
    one, other = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    assert await statuses(behind, one, one, other, other) == [200, 429, 200, 429]


async def test_what_a_caller_adds_before_the_proxy_counts_for_nothing(behind: FrontStand) -> None:
    made_up = [
        {"X-Forwarded-For": "192.0.2.9"},
        {"X-Forwarded-For": "198.51.100.1, 192.0.2.9"},
        {"X-Forwarded-For": "198.51.100.2,192.0.2.9", "X-Real-Ip": "198.51.100.3"},
        {"X-Forwarded-For": "::ffff:192.0.2.9", "Forwarded": "for=198.51.100.4"},
    ]
    assert await statuses(behind, *made_up) == [200, 429, 429, 429]


async def test_an_ipv6_caller_is_a_network(behind: FrontStand) -> None:
    found = [{"X-Forwarded-For": f"2001:db8::{one}"} for one in range(1, 4)]
    assert await statuses(behind, *found) == [200, 429, 429]


async def test_without_a_proxy_the_connection_tells(tmp_path: Path) -> None:
    stand = FrontStand(tmp_path, rate=1)
    stand.publish()
    try:
        made_up = [{"X-Forwarded-For": f"192.0.2.{one}"} for one in range(3)]
        assert await statuses(stand, *made_up) == [200, 429, 429]
    finally:
        await stand.close()


async def test_what_is_no_address_is_one_caller(behind: FrontStand) -> None:
    odd = [{"X-Forwarded-For": text} for text in ("x", "", "192.0.2.1.5")]
    assert await statuses(behind, *odd) == [200, 429, 429]
