"""A real hub and proxy on loopback, with a fake manager that speaks the real protocol.

The hub runs the project's own configuration; only the manager behind it has no engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec

from juliabox_manager.keys import make_key
from juliabox_manager.protocol import Limits
from juliabox_manager.server import Server
from juliabox_manager.settings import Client, ManagerSettings, NetworkSettings
from juliabox_spawner.settings import HubSettings, LimitSettings, LoginSettings, ManagerAddress
from support.fake_manager import FakeManager
from support.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "correct-horse-battery"  # of the admin of a stand
#: Modules that stand for what the images leave out: a hub of the tests starts as one in an image.
AS_IN_IMAGES = ROOT / "tests/support/as_in_images"
NODE_CACHE = Path(os.environ.get("JULIABOX_TEST_CACHE", Path.home() / ".cache/juliabox-tests"))


def proxy_program() -> Path:
    """Return configurable-http-proxy, installed from npm once for all runs."""
    found = shutil.which("configurable-http-proxy")
    if found:
        return Path(found)
    program = NODE_CACHE / "node_modules/.bin/configurable-http-proxy"
    NODE_CACHE.mkdir(parents=True, exist_ok=True)
    # two processes that installed at once would spoil each other's
    with (NODE_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", "configurable-http-proxy@^5.3"],
                cwd=NODE_CACHE,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                check=True,
                capture_output=True,
            )
    return program


class NoAnswers:
    """Records no answers: each request of a test comes once."""

    async def recorded_answer(self, client: str, request_id: str) -> bytes | None:
        """Return nothing."""
        return None

    async def record_answer(self, client: str, request_id: str, reply: bytes) -> None:
        """Keep nothing."""


class HubStand:
    """One hub, one proxy, one fake manager; everything in one folder."""

    def __init__(self, folder: Path, *, packages: Path | None = None, **settings: Any) -> None:
        self.folder = folder
        #: What comes before the packages that are installed.
        self.packages = packages
        self.port, self.api_port, self.hub_port, self.manager_port = (free_port() for _ in range(4))
        self.hub: subprocess.Popen[bytes] | None = None
        self.proxy: subprocess.Popen[bytes] | None = None
        self.tokens = {
            name: secrets.token_hex(16)
            for name in ("proxy_token", "operator_token", "routes_token", "cookie_secret")
        }
        #: Clients of the manager besides the hub.
        self.clients: dict[str, Client] = {}
        self.settings = self._write(settings)
        self.manager = FakeManager(free_port())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """Public address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What hub and proxy have printed."""
        return "".join((self.folder / name).read_text() for name in ("hub.log", "proxy.log"))

    def __enter__(self) -> HubStand:
        try:
            self._thread.start()
            self.on_manager(self._start_manager())
            self.start_proxy()
            self.start_hub()
            self.await_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.hub, self.proxy):
            if process is not None and process.poll() is None:
                self.kill(process)
        self._end_services()
        if self._thread.is_alive():
            self.on_manager(self._stop_manager())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def on_manager(self, work: Any) -> Any:
        """Run a coroutine where the fake manager runs and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def start_hub(self) -> None:
        """Start the hub as its container does."""
        self.hub = self._run("hub", ["-m", "juliabox_spawner.hub_start"])

    def start_proxy(self) -> None:
        """Start the proxy as its container does."""
        self.proxy = self._run("proxy", ["-m", "juliabox_spawner.proxy_start"])

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process and what it started, as a container's end does."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process is self.hub:
            self._end_services()

    def _end_services(self) -> None:
        """Kill the hub's own services: JupyterHub gives each a process group of its own."""
        for working in Path("/proc").glob("[0-9]*/cwd"):
            with contextlib.suppress(OSError):
                if working.readlink() == self.folder / "hub":
                    os.kill(int(working.parent.name), signal.SIGKILL)

    def await_ready(self, seconds: float = 90.0) -> None:
        """Wait until the hub answers through the proxy."""

        def ready() -> bool:
            assert self.hub is not None
            if self.hub.poll() is not None:
                raise RuntimeError(f"the hub ended:\n{self.log[-4000:]}")
            try:
                return httpx.get(f"{self.url}/hub/health", timeout=10).status_code == 200
            except httpx.HTTPError:
                return False

        self.wait_for(ready, seconds)

    def wait_for(self, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Return the first true value of a condition; the time is for what never comes."""
        end = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s; log:\n{self.log[-6000:]}")
            time.sleep(0.1)

    def api(self, method: str, path: str, token: str = "", **options: Any) -> httpx.Response:
        """Call the hub's REST API; with the operator's token unless another is given."""
        token = token or self.tokens["operator_token"]
        return httpx.request(
            method,
            f"{self.url}/hub/api{path}",
            headers={"Authorization": f"token {token}"},
            timeout=60,
            **options,
        )

    def _run(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "JULIABOX_HUB_SETTINGS": str(self.folder / "hub.json"),
            "JULIABOX_PROXY_API_ADDRESS": "127.0.0.1",
            "JULIABOX_PROXY_ADDRESS": "127.0.0.1",
            "JULIABOX_PROXY_PORT": str(self.port),
            "JULIABOX_PROXY_API_PORT": str(self.api_port),
            "JULIABOX_PROXY_SECRETS": str(self.folder / "secrets"),
            "JULIABOX_PROXY_PROGRAM": str(proxy_program()),
            "JULIABOX_HUB_URL": f"http://127.0.0.1:{self.hub_port}",
            "JULIABOX_BASE_URL": "/",
            "PYTHONPATH": os.pathsep.join(map(str, filter(None, (self.packages, AS_IN_IMAGES)))),
            **self._environment(),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                env=environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        """Return further variables of all processes."""
        return {}

    def _write(self, changes: dict[str, Any]) -> HubSettings:
        hidden = self.folder / "secrets"
        hidden.mkdir(mode=0o700)
        for name, value in {**self.tokens, "admin_password": PASSWORD}.items():
            (hidden / name).write_text(value)
            (hidden / name).chmod(0o600)
        server_key, self._client_key = (
            make_key(self.folder / "curve.key"),
            make_key(hidden / "manager.key"),
        )
        (self.folder / "hub").mkdir()
        (self.folder / "jupyterhub_config.d").mkdir()
        for name in ("hub.log", "proxy.log"):
            (self.folder / name).touch()
        login = {"admin_password": hidden / "admin_password", **changes.pop("login", {})}
        values: dict[str, Any] = {
            "installation": "stand",
            "public_url": self.url,
            "bind": "127.0.0.1",
            "folder": self.folder / "hub",
            "secrets": hidden,
            "proxy_api": f"http://127.0.0.1:{self.api_port}",
            "hub_bind": f"http://127.0.0.1:{self.hub_port}",
            "hub_connect_edge": f"http://127.0.0.1:{self.hub_port}",
            "hub_connect_sessions": f"http://127.0.0.1:{self.hub_port}",
            "manager": ManagerAddress(
                endpoint=f"tcp://127.0.0.1:{self.manager_port}",
                server_key=server_key.public,
                secret_key=hidden / "manager.key",
            ),
            "sessions_network": "stand-sessions",
            "image": "juliabox/julia",
            "limits": LimitSettings(memory=1024**3, cpu=1.0, pids=256, disk=1024**3),
            "login": LoginSettings(**login),
            "config_folder": self.folder / "jupyterhub_config.d",
            **changes,
        }
        settings = HubSettings(**values)
        (self.folder / "hub.json").write_bytes(msgspec.json.encode(settings, enc_hook=str))
        return settings

    async def _start_manager(self) -> None:
        settings = ManagerSettings(
            installation="stand",
            instance="stand",
            state=self.folder,
            listen=f"tcp://127.0.0.1:{self.manager_port}",
            metrics_address="127.0.0.1",
            metrics_port=0,
            secret_key=self.folder / "curve.key",
            clients={"hub": Client(self._client_key.public, ["*"]), **self.clients},
            images={},
            ceilings=Limits(memory=2**34, cpu=8, pids=4096, disk=2**34),
            network=NetworkSettings("stand-sessions", "127.0.0.1", [], "127.0.0.1", 8081),
        )
        self._server = Server(settings, self.manager.handle, NoAnswers())
        self._serving = asyncio.ensure_future(self._server.run())
        async with asyncio.timeout(30):
            await self._server.listening.wait()

    async def _stop_manager(self) -> None:
        await self.manager.close()
        await self._server.close()
        await asyncio.gather(self._serving, return_exceptions=True)
