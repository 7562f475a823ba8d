"""A real portal on loopback, behind the real hub and proxy of a :class:`HubStand`."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

import httpx
import msgspec
import zmq

from juliabox_ext.selection import PluginSelection
from juliabox_manager.keys import make_key
from juliabox_manager.settings import Client
from juliabox_services.portal.settings import PortalSettings
from juliabox_spawner.settings import ApiAddress, LimitSettings, ManagerAddress, PortalAddress
from support import portal_stranger
from support.hub_stand import PASSWORD, HubStand
from support.ports import free_port
from support.visitor import Visitor

PREFIX = "/services/portal/"
FEATURES = {"ui.session.head": ["stand-piece"], "db": ["rdbms"]}
_PAGE = re.compile(r'<script type="application/json" id="juliabox-page">(.*?)</script>', re.S)


class PortalStand(HubStand):
    """One hub, proxy and portal; the manager behind them is fake."""

    def __init__(self, folder: Path, *, portal: dict[str, Any] | None = None, **hub: Any) -> None:
        self.portal_port, self.figures_port = free_port(), free_port()
        self.portal: subprocess.Popen[bytes] | None = None
        self._portal_changes = dict(portal or {})
        address = PortalAddress(f"http://127.0.0.1:{self.portal_port}")
        engine = str(self._portal_changes.get("api_url", "")).partition("/services/")[0]
        if engine:
            hub["api"] = ApiAddress(engine, sessions_url=self._portal_changes["api_url"])
        super().__init__(folder, portal=address, **hub)

    def start_hub(self) -> None:
        """Start the portal before the hub, as compose does."""
        if self.portal is None:
            self.start_portal()
        super().start_hub()

    def start_portal(self) -> None:
        """Start the portal as its container does."""
        self.portal = self._run("portal", ["-m", "juliabox_services.portal.main"])

    def restart_portal(self) -> None:
        """Kill the portal and start another."""
        if self.portal is not None and self.portal.poll() is None:
            self.kill(self.portal)
        self.start_portal()
        self.wait_for(self.portal_answers)

    def portal_answers(self) -> bool:
        """Whether the portal's health page answers through the proxy."""
        if self.portal is not None and self.portal.poll() is not None:
            raise RuntimeError(f"the portal ended:\n{self.portal_log[-4000:]}")
        try:
            return httpx.get(f"{self.url}{PREFIX}health", timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    def await_ready(self, seconds: float = 90.0) -> None:
        """Wait until hub and portal answer through the proxy."""
        super().await_ready(seconds)
        self.wait_for(self.portal_answers, seconds)

    def __exit__(self, *details: object) -> None:
        if self.portal is not None and self.portal.poll() is None:
            self.kill(self.portal)
        super().__exit__(*details)

    @property
    def portal_log(self) -> str:
        """What the portal has printed."""
        return (self.folder / "portal.log").read_text()

    def _environment(self) -> dict[str, str]:
        return {
            "JULIABOX_PORTAL_SETTINGS": str(self.folder / "portal.json"),
            "PYTHONPATH": portal_stranger.install(self.folder / "stranger"),
        }

    def _write(self, changes: dict[str, Any]) -> Any:
        for service in ("portal", "api"):
            self.tokens[f"{service}_token"] = secrets.token_hex(16)
        settings = super()._write(changes)
        hidden = self.folder / "portal-secrets"
        hidden.mkdir(mode=0o700)
        (hidden / "api_token").write_text(self.tokens["portal_token"])
        (hidden / "cookie_secret").write_text(secrets.token_hex(32))
        key = make_key(hidden / "manager.key")
        self.clients["portal"] = Client(key.public, ["*"])
        (self.folder / "portal").mkdir(mode=0o700)
        (self.folder / "portal.log").touch()
        values: dict[str, Any] = {
            "installation": "stand",
            "public_url": f"{self.url}/",
            "address": "127.0.0.1",
            "port": self.portal_port,
            "metrics_address": "127.0.0.1",
            "metrics_port": self.figures_port,
            "folder": self.folder / "portal",
            "secrets": hidden,
            "hub_api": f"http://127.0.0.1:{self.hub_port}/hub/api",
            "proxy": self.url,
            "manager": ManagerAddress(
                endpoint=f"tcp://127.0.0.1:{self.manager_port}",
                server_key=zmq.curve_public(
                    (self.folder / "curve.key").read_bytes().strip()
                ).decode(),
                secret_key=hidden / "manager.key",
            ),
            "limits": LimitSettings(memory=1024**3, cpu=1.0, pids=256, disk=1024**3),
            "plugins": PluginSelection(
                enabled=portal_stranger.NAMES,
                features=FEATURES,
                settings={"rdbms": {"timeout": 2.0}},
            ),
            **self._portal_changes,
        }
        content = msgspec.json.encode(PortalSettings(**values), enc_hook=str)
        (self.folder / "portal.json").write_bytes(content)
        return settings


class Guest(Visitor):
    """A person at the portal, without a browser."""

    def open(self, path: str = "") -> httpx.Response:
        """Open a page of the portal, logging in by the hub on the way."""
        return self.follow(f"{PREFIX}{path}")

    def follow(self, path: str) -> httpx.Response:
        """Open an address as a browser does, redirects included."""
        return self.http.get(path, headers={"Sec-Fetch-Mode": "navigate"}, follow_redirects=True)

    def enter(self, name: str, password: str = PASSWORD) -> Guest:
        """Log in at the hub, open the portal, and keep its XSRF token."""
        self.name = name
        assert self.log_in(name, password).status_code == 302
        page = self.open()
        assert page.status_code == 200, page.text
        self.xsrf = str(page_of(page.text)["xsrf_token"])
        return self

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call a route as a script of the portal's pages does."""
        headers = {
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Site": "same-origin",
            "X-XSRFToken": self.xsrf,
            **options.pop("headers", {}),
        }
        return self.http.request(method, f"{PREFIX}api/{path}", headers=headers, **options)


def page_of(html: str) -> dict[str, Any]:
    """Return what a page of the portal tells its scripts."""
    found = _PAGE.search(html)
    assert found, html
    page: dict[str, Any] = json.loads(found.group(1))
    return page
