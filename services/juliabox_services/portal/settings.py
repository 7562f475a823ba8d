"""Settings of the portal: a JSON file that ``juliabox up`` renders from ``config.yaml``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct, field

from juliabox_ext.errors import ConfigurationError
from juliabox_ext.selection import PluginSelection
from juliabox_ext.settings_file import read_settings
from juliabox_services.api.settings import SERVICE as APIS
from juliabox_spawner.settings import LimitSettings, ManagerAddress, ProfileSettings

#: Name of the hub's service, of its OAuth client, and of the folder in addresses.
SERVICE = "portal"
CLIENT_ID = f"service-{SERVICE}"


class PortalSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """All that the portal is told."""

    installation: str
    #: Address that people reach the service at, as printed by ``juliabox up``.
    public_url: str
    #: Where pages are served (edge network), and health and metrics (control network).
    address: str
    port: int
    metrics_address: str
    metrics_port: int
    #: Folder that the portal and its plugins may write, and the folder of its secrets:
    #: ``api_token``, ``cookie_secret``, ``manager.key``.
    folder: Path
    secrets: Path
    #: The hub's API, and the proxy's public port, both on the edge network.
    hub_api: str
    proxy: str
    manager: ManagerAddress
    limits: LimitSettings
    #: The engine of published APIs on the edge network, such as
    #: ``http://10.64.16.5:8093/services/api/``; empty: this installation has none.
    api_url: str = ""
    base_url: str = "/"
    https: bool = False
    #: With subdomains: the hub's own host and the portal's; else empty.
    hub_host: str = ""
    portal_host: str = ""
    #: Seconds without activity after which a session is stopped, and that it may live; 0 never.
    idle_timeout: int = 1800
    max_age: int = 0
    #: Further servers that a person may name.
    named_servers: int = 3
    #: Choices at the start of a session.
    profiles: list[ProfileSettings] = field(default_factory=list)
    #: Days that failures and past messages are kept.
    retention_days: int = 30
    plugins: PluginSelection = field(default_factory=PluginSelection)
    #: The operator's file with defaults, as YAML and with secrets hidden; where it is on the host,
    #: and the dotted keys that are set there.
    configuration: str = ""
    configuration_path: str = ""
    configuration_changed: list[str] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        """Path under which the portal lives."""
        return f"{self.base_url}services/{SERVICE}/"

    @property
    def api_host(self) -> str:
        """The engine's own scheme and host with subdomains; else empty."""
        return service_host(self.hub_host, APIS)


def service_host(subdomain_host: str, service: str) -> str:
    """Return a service's own scheme and host; empty without subdomains.

    It is the one that JupyterHub makes of a service's name: its ``subdomain_hook_idna``.
    """
    if not subdomain_host:
        return ""
    parts = urlsplit(subdomain_host)
    return f"{parts.scheme}://{service}--service.{parts.netloc}"


def portal_host(subdomain_host: str) -> str:
    """Return the portal's own scheme and host; empty without subdomains."""
    return service_host(subdomain_host, SERVICE)


def load(path: Path) -> PortalSettings:
    """Read settings from a file; raise ``ConfigurationError`` that names the file and the field."""
    return read_settings(path, PortalSettings, "portal")


def read_secret(path: Path) -> str:
    """Return a secret; raise ``ConfigurationError`` without its content."""
    try:
        content = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"secret {path}: {type(error).__name__}") from None
    if not content:
        raise ConfigurationError(f"secret {path} is empty: run `juliabox up`")
    return content
