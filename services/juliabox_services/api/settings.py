"""Settings of the API engine: a JSON file that ``juliabox up`` renders from ``config.yaml``."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field

from juliabox_ext.selection import PluginSelection
from juliabox_ext.settings_file import read_settings
from juliabox_spawner.settings import ManagerAddress

#: Name of the hub's service, of its OAuth client, and of the folder in addresses.
SERVICE = "api"
CLIENT_ID = f"service-{SERVICE}"

#: First part of a path that is the interface's, so no publisher's.
INTERFACE = "_"


class Bounds(Struct, frozen=True, forbid_unknown_fields=True):
    """What the operator gives: defaults and ceilings of APIs (section ``apis`` of the file)."""

    #: Seconds for one call unless the API says so, and at most.
    timeout: float = 30.0
    longest_timeout: float = 600.0
    #: Bytes of memory of a container, and at most; its cores, processes and threads.
    memory: int = 512 * 1024**2
    most_memory: int = 2 * 1024**3
    cpu: float = 1.0
    pids: int = 128
    #: Containers of an API unless it says so; of one publisher; and of all.
    containers_per_api: int = 8
    containers_per_publisher: int = 8
    containers: int = 50
    #: Calls of one publisher's APIs that may wait or run at one time.
    outstanding: int = 200
    #: APIs of one publisher, and versions that are kept of each.
    apis_per_publisher: int = 20
    versions: int = 50
    #: Bytes of a request's body and of a result.
    body: int = 4 * 1024**2
    result: int = 16 * 1024**2
    #: Calls of one caller in a minute.
    rate: int = 600
    #: Seconds without a call after which a container goes.
    idle: float = 300.0
    #: Seconds for a source to load.
    load_timeout: float = 60.0


class ApiSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """All that the engine is told."""

    installation: str
    #: Address that people reach the service at, as printed by ``juliabox up``.
    public_url: str
    #: Where calls are served: by way of the proxy (edge network), and to sessions (theirs).
    addresses: list[str]
    port: int
    #: Health and metrics (control network).
    metrics_address: str
    metrics_port: int
    #: Folder that the engine and its plugins may write, and the folder of its secrets:
    #: ``api_token``, ``cookie_secret``, ``manager.key``.
    folder: Path
    secrets: Path
    #: The hub's API on the edge network.
    hub_api: str
    manager: ManagerAddress
    base_url: str = "/"
    https: bool = False
    #: With subdomains: the hub's own host and the engine's; else empty.
    hub_host: str = ""
    api_host: str = ""
    bounds: Bounds = field(default_factory=Bounds)
    #: Days that logs, figures and the audit are kept.
    retention_days: int = 30
    #: Seconds for calls under way when the engine is stopped.
    drain: float = 25.0
    plugins: PluginSelection = field(default_factory=PluginSelection)

    @property
    def prefix(self) -> str:
        """Path under which all APIs live."""
        return f"{self.base_url}services/{SERVICE}/"


def load(path: Path) -> ApiSettings:
    """Read settings from a file; raise ``ConfigurationError`` that names the file and the field."""
    return read_settings(path, ApiSettings, "API")
