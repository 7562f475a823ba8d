"""``juliabox-proxy``: become configurable-http-proxy, and have the hub fill in its routes.

A proxy starts without routes. The hub looks every few seconds, but whoever comes at that moment
sees an error, so a helper process asks the hub at once, with a token that can do only that.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from juliabox_ext.errors import ConfigurationError

SECRETS = "/run/secrets/juliabox"
PROGRAM = "configurable-http-proxy"
PRELOADED = Path(__file__).with_name("proxy_answers.cjs")
PORT = 8000
API_PORT = 8001

#: The proxy's words for levels. At debug it prints each address, tokens in it included.
LEVELS = {"debug": "info", "info": "info", "warning": "warn", "error": "error"}

#: Seconds for which the helper asks for routes; the hub's own check comes sooner or later.
PATIENCE = 300.0


@dataclass(frozen=True)
class ProxySettings:
    """What the proxy is told by its environment."""

    api_address: str
    hub_url: str
    base_url: str
    secrets: Path
    address: str = ""
    port: int = PORT
    api_port: int = API_PORT
    https: bool = False
    subdomains: bool = False
    log_level: str = "info"


def read_settings(environ: Mapping[str, str]) -> ProxySettings:
    """Return the settings of an environment; raise ``ConfigurationError`` that names what lacks."""
    try:
        return ProxySettings(
            api_address=environ["JULIABOX_PROXY_API_ADDRESS"],
            hub_url=environ["JULIABOX_HUB_URL"].rstrip("/"),
            base_url="/" + environ.get("JULIABOX_BASE_URL", "/").strip("/"),
            secrets=Path(environ.get("JULIABOX_PROXY_SECRETS", SECRETS)),
            address=environ.get("JULIABOX_PROXY_ADDRESS", ""),
            port=int(environ.get("JULIABOX_PROXY_PORT", PORT)),
            api_port=int(environ.get("JULIABOX_PROXY_API_PORT", API_PORT)),
            https=environ.get("JULIABOX_HTTPS") == "1",
            subdomains=bool(environ.get("JULIABOX_SUBDOMAIN_HOST")),
            log_level=LEVELS.get(environ.get("JULIABOX_LOG_LEVEL", ""), "info"),
        )
    except KeyError as error:
        raise ConfigurationError(f"the proxy needs {error.args[0]} in its environment") from None
    except ValueError as error:
        raise ConfigurationError(f"a port of the proxy is not a number: {error}") from None


def command(program: str, settings: ProxySettings) -> list[str]:
    """Return configurable-http-proxy's command line; it carries no secret."""
    line = [
        program,
        "--ip",
        settings.address,
        "--port",
        str(settings.port),
        # the API is reachable on the edge network alone, never by sessions
        "--api-ip",
        settings.api_address,
        "--api-port",
        str(settings.api_port),
        "--error-target",
        hub_path(settings, "hub/error"),
        "--log-level",
        settings.log_level,
    ]
    if settings.subdomains:
        line.append("--host-routing")
    if settings.https:
        line += [
            "--ssl-key",
            str(settings.secrets / "tls.key"),
            "--ssl-cert",
            str(settings.secrets / "tls.crt"),
        ]
    return line


def hub_path(settings: ProxySettings, path: str) -> str:
    """Return a URL of the hub."""
    return f"{settings.hub_url}{settings.base_url.rstrip('/')}/{path}"


def main() -> None:
    """Start the proxy."""
    os.umask(0o077)
    try:
        settings = read_settings(os.environ)
        tokens = {
            name: _secret(settings.secrets / name) for name in ("proxy_token", "routes_token")
        }
        missing = [
            str(settings.secrets / name)
            for name in (("tls.key", "tls.crt") if settings.https else ())
            if not (settings.secrets / name).is_file()
        ]
        if missing:
            raise ConfigurationError(f"https is on, but {' and '.join(missing)} do not exist")
        program = shutil.which(os.environ.get("JULIABOX_PROXY_PROGRAM", PROGRAM))
        if program is None:
            raise ConfigurationError(f"{PROGRAM} is not installed in this image")
    except ConfigurationError as error:
        _say(error.message)
        raise SystemExit(78) from None
    _detached(lambda: ask_for_routes(settings, tokens["proxy_token"], tokens["routes_token"]))
    environment = dict(
        os.environ,
        CONFIGPROXY_AUTH_TOKEN=tokens["proxy_token"],
        NODE_OPTIONS=f"--require={json.dumps(str(PRELOADED))}",
    )
    line = command(program, settings)
    os.execve(program, line, environment)  # noqa: S606  # becomes the proxy, as intended


def ask_for_routes(
    settings: ProxySettings, proxy_token: str, routes_token: str, patience: float = PATIENCE
) -> bool:
    """Wait for the proxy, then ask the hub for its routes; return whether it filled them in."""
    end = time.monotonic() + patience
    api = f"http://{_bracketed(settings.api_address)}:{settings.api_port}/api/routes"
    while not _answers(api, proxy_token, "GET"):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    # a hub that starts after the proxy adds its routes itself; asking goes on because either may
    # be restarted
    while not _answers(hub_path(settings, "hub/api/proxy"), routes_token, "POST"):
        if time.monotonic() > end:
            _say("the hub did not answer; it adds the routes when it is back")
            return False
        time.sleep(0.5)
    _say("the hub has filled in the routes")
    return True


def _answers(url: str, token: str, method: str) -> bool:
    request = urllib.request.Request(  # noqa: S310  # http to a fixed address
        url, method=method, headers={"Authorization": f"token {token}"}, data=None
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return bool(200 <= answer.status < 300)
    except (OSError, urllib.error.URLError):
        return False


def _detached(work: Callable[[], object]) -> None:
    """Run work in a process that init reaps, since the proxy reaps no children."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)
    try:
        os.setsid()
        work()
    finally:
        os._exit(0)


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(f"secret {path}: {error.strerror}") from None


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _say(message: str) -> None:
    print(f"juliabox-proxy: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
