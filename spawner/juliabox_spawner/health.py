"""``juliabox-health {api,hub,manager,portal,proxy}``: whether a part answers, for health checks.

It runs in each part every few seconds for ever, so it imports next to nothing: with all that the
parts themselves import, four checks took a tenth of a processor.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

API_SETTINGS = "/etc/juliabox/api.json"
HUB_SETTINGS = "/etc/juliabox/hub.json"
PORTAL_SETTINGS = "/etc/juliabox/portal.json"
MANAGER_SETTINGS = "/etc/juliabox/manager.json"
PROXY_SECRETS = "/run/secrets/juliabox"

_TIMEOUT = 4.0


def main() -> None:
    """Exit with 0 if the named part answers, with 1 and a reason if not, with 2 for bad use."""
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in CHECKS:
        print(f"usage: juliabox-health {{{','.join(sorted(CHECKS))}}}", file=sys.stderr)
        raise SystemExit(2)
    try:
        CHECKS[name]()
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        print(f"juliabox-health: {name}: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def check_hub() -> None:
    """Ask the hub for its health page."""
    settings = _settings("JULIABOX_HUB_SETTINGS", HUB_SETTINGS)
    parts = urlsplit(settings["hub_bind"])
    everywhere = {None, "", "0.0.0.0", "::"}  # noqa: S104  # compared, not bound
    host = "127.0.0.1" if parts.hostname in everywhere else str(parts.hostname)
    base = "/" + settings.get("base_url", "/").strip("/")
    _get(host, parts.port or 80, f"{base.rstrip('/')}/hub/health")


def check_manager() -> None:
    """Ask the manager for its health page."""
    settings = _settings("JULIABOX_MANAGER_SETTINGS", MANAGER_SETTINGS)
    _get(settings["metrics_address"], settings["metrics_port"], "/healthz")


def check_portal() -> None:
    """Ask the portal for its health page."""
    settings = _settings("JULIABOX_PORTAL_SETTINGS", PORTAL_SETTINGS)
    _get(settings["metrics_address"], settings["metrics_port"], "/healthz")


def check_api() -> None:
    """Ask the API engine for its health page."""
    settings = _settings("JULIABOX_API_SETTINGS", API_SETTINGS)
    _get(settings["metrics_address"], settings["metrics_port"], "/healthz")


def check_proxy() -> None:
    """Ask the proxy's API for its routes, and see that its public port accepts."""
    secrets = Path(os.environ.get("JULIABOX_PROXY_SECRETS", PROXY_SECRETS))
    token = (secrets / "proxy_token").read_text(encoding="ascii").strip()
    api = os.environ["JULIABOX_PROXY_API_ADDRESS"]
    api_port = int(os.environ.get("JULIABOX_PROXY_API_PORT", "8001"))
    _get(api, api_port, "/api/routes", {"Authorization": f"token {token}"})
    address = os.environ.get("JULIABOX_PROXY_ADDRESS") or "127.0.0.1"
    port = int(os.environ.get("JULIABOX_PROXY_PORT", "8000"))
    socket.create_connection((address, port), timeout=_TIMEOUT).close()


def _settings(variable: str, path: str) -> dict[str, Any]:
    return dict(json.loads(Path(os.environ.get(variable, path)).read_bytes()))


def _get(host: str, port: int, path: str, headers: Mapping[str, str] | None = None) -> None:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        answer.read(65536)
    finally:
        connection.close()
    if answer.status >= 400:
        raise ValueError(f"{path} answers {answer.status}")


CHECKS: dict[str, Callable[[], None]] = {
    "api": check_api,
    "hub": check_hub,
    "manager": check_manager,
    "portal": check_portal,
    "proxy": check_proxy,
}

if __name__ == "__main__":
    main()
