"""Which frames the portal's pages may hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from juliabox_services.portal.base import POLICY, policy


def settings(hub_host: str) -> Any:
    return SimpleNamespace(hub_host=hub_host)


def test_on_one_host_a_page_holds_frames_of_that_host_alone() -> None:
    assert policy(settings("")) == POLICY
    assert "default-src 'self'" in POLICY and "frame-src" not in POLICY


def test_with_subdomains_a_session_and_the_log_in_on_the_way_to_it_are_admitted() -> None:
    host = "https://julia.example.org:8443"
    wanted = "frame-src 'self' https://julia.example.org:8443 https://*.julia.example.org:8443"
    assert policy(settings(host)) == f"{POLICY}; {wanted}"
