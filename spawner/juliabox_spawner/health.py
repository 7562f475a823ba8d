"""``juliabox-health {hub,manager,portal,proxy}``: whether a part answers, for health checks."""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from juliabox_ext.errors import ConfigurationError
from juliabox_spawner import hub_start, proxy_start
from juliabox_spawner.settings import load

PORTAL_SETTINGS = "/etc/juliabox/portal.json"
MANAGER_SETTINGS = "/etc/juliabox/manager.json"

_TIMEOUT = 4.0


def main() -> None:
    """Exit with 0 if the named part answers, with 1 and a reason if not, with 2 for bad use."""
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in CHECKS:
        print(f"usage: juliabox-health {{{','.join(sorted(CHECKS))}}}", file=sys.stderr)
        raise SystemExit(2)
    try:
        CHECKS[name]()
    except (OSError, ValueError, KeyError, ConfigurationError) as error:
        print(f"juliabox-health: {name}: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def check_hub() -> None:
    """Ask the hub for its health page."""
    settings = load(Path(os.environ.get("JULIABOX_HUB_SETTINGS", hub_start.SETTINGS)))
    parts = urlsplit(settings.hub_bind)
    everywhere = {None, "", "0.0.0.0", "::"}  # noqa: S104  # compared, not bound
    host = "127.0.0.1" if parts.hostname in everywhere else parts.hostname
    base = "/" + settings.base_url.strip("/")
    _get(f"http://{host}:{parts.port or 80}{base.rstrip('/')}/hub/health")


def check_manager() -> None:
    """Ask the manager for its health page."""
    path = Path(os.environ.get("JULIABOX_MANAGER_SETTINGS", MANAGER_SETTINGS))
    settings = json.loads(path.read_bytes())
    _get(f"http://{settings['metrics_address']}:{settings['metrics_port']}/healthz")


def check_portal() -> None:
    """Ask the portal for its health page."""
    path = Path(os.environ.get("JULIABOX_PORTAL_SETTINGS", PORTAL_SETTINGS))
    settings = json.loads(path.read_bytes())
    _get(f"http://{settings['metrics_address']}:{settings['metrics_port']}/healthz")


def check_proxy() -> None:
    """Ask the proxy's API for its routes, and see that its public port accepts."""
    settings = proxy_start.read_settings(os.environ)
    token = (settings.secrets / "proxy_token").read_text(encoding="ascii").strip()
    api = f"http://{settings.api_address}:{settings.api_port}/api/routes"
    _get(api, {"Authorization": f"token {token}"})
    address = settings.address or "127.0.0.1"
    socket.create_connection((address, settings.port), timeout=_TIMEOUT).close()


def _get(url: str, headers: dict[str, str] | None = None) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers=headers or {})  # noqa: S310  # our own address
    with opener.open(request, timeout=_TIMEOUT) as answer:
        answer.read(65536)


CHECKS: dict[str, Callable[[], None]] = {
    "hub": check_hub,
    "manager": check_manager,
    "portal": check_portal,
    "proxy": check_proxy,
}

if __name__ == "__main__":
    main()
