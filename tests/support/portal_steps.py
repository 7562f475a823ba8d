"""What several tests do in the portal."""

from __future__ import annotations

from typing import Any

from support.portal_stand import Guest, PortalStand


def run_server(stand: PortalStand, guest: Guest, server: str = "") -> dict[str, Any]:
    """Start a server and wait until it runs; return what the portal shows of it."""
    answer = guest.api("POST", "servers/start", json={"server": server})
    assert answer.status_code == 202, answer.text

    def running() -> dict[str, Any] | None:
        sessions = guest.api("GET", "home").json()["sessions"]
        return next((one for one in sessions if one["server"] == server and one["gauges"]), None)

    found: dict[str, Any] = stand.wait_for(running)
    return found
