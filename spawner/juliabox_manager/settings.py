"""Settings of the manager: a JSON file that ``juliabox up`` renders from ``config.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from juliabox_ext.selection import PluginSelection
from juliabox_ext.settings_file import read_settings
from juliabox_manager.protocol import Limits
from juliabox_manager.records import Kind


class Client(Struct, frozen=True, forbid_unknown_fields=True):
    """A client that may connect: its CURVE public key (z85) and the verbs that it may use."""

    public_key: str
    #: Verb tags; an entry that ends in ``.*`` admits a family, ``*`` all.
    verbs: list[str]


class NetworkSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses that the network policy of every session is made of."""

    #: Docker network that sessions attach to, and its gateway's address.
    name: str
    gateway: str
    #: Addresses, on the sessions network, of the control parts that may reach a session's server.
    trusted: list[str]
    #: Address and port of the hub's API on the sessions network.
    hub: str
    hub_port: int
    #: ``address:port`` of further services on the sessions network that sessions may reach.
    services: list[str] = field(default_factory=list)
    #: Whether sessions may reach the internet.
    internet: bool = True
    #: CIDRs that sessions may reach although they are private (operator's exceptions).
    allow: list[str] = field(default_factory=list)
    #: CIDRs that sessions may never reach, beside the built-in private and metadata ranges.
    deny: list[str] = field(default_factory=list)


class CapacitySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Quotas: how many sessions, and how much memory may be promised."""

    sessions: int = 100
    sessions_per_owner: int = 5
    #: Bytes of memory that all sessions' limits may add up to; 0 means no bound.
    memory: int = 0
    #: Bytes that must stay free in the state folder, else starts are refused.
    disk_reserve: int = 1024**3


class PoolSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Warm containers: how many of each image, and what they may take."""

    #: ``demand``: as many as began at once at this hour of the last days, at least ``size``.
    rule: Literal["fixed", "demand"] = "demand"
    #: Warm containers of an image that ``sizes`` does not name; 0 for none.
    size: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    #: Most warm containers of all images together.
    maximum: int = 10
    #: Bytes that warm containers may hold in all.
    memory: int = 2 * 1024**3
    #: Memory limit of one.
    warm_memory: int = 512 * 1024**2
    #: Whether each has a Julia ready, too.
    kernel: bool = True


class ApiContainers(Struct, frozen=True, forbid_unknown_fields=True):
    """API containers: what they are made of, who reaches them, and how many there may be."""

    #: Name of their image, and its engine id (``sha256:…``). It is no image of sessions.
    image: str
    image_id: str
    #: Addresses of the API engine on the sessions network: nobody else reaches a worker.
    trusted: list[str]
    #: No API container gets more than this; its disk is 0.
    ceilings: Limits
    #: Whether functions may reach the internet. They reach nothing else in any case.
    internet: bool = False
    #: Most API containers of this instance, and of one publisher.
    containers: int = 50
    containers_per_publisher: int = 8
    #: Bytes of memory that their limits may add up to; 0 means no bound. Those of sessions are
    #: counted apart.
    memory: int = 0
    #: Warm containers that are nobody's, and the memory limit of one.
    pool: int = 1
    warm_memory: int = 256 * 1024**2


class ManagerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """All that the manager is told; it reads no other configuration."""

    #: Installation name; prefix and label of everything made on the engine.
    installation: str
    instance: str
    #: State folder: the same absolute path on the host and in the manager's container.
    state: Path
    #: Address to listen on for clients, such as ``tcp://10.64.16.3:9500``.
    listen: str
    #: TCP address and port for Prometheus metrics and the health check.
    metrics_address: str
    metrics_port: int
    #: CURVE secret key file (z85).
    secret_key: Path
    clients: dict[str, Client]
    #: Allow-list: image name -> engine image id (``sha256:…``).
    images: dict[str, str]
    #: No session gets more than this.
    ceilings: Limits
    network: NetworkSettings
    capacity: CapacitySettings = field(default_factory=CapacitySettings)
    #: Null: this instance runs none.
    api: ApiContainers | None = None
    pool: PoolSettings = field(default_factory=PoolSettings)
    #: Plugins that the manager may load: volumes, tasks, and the cloud features these need.
    plugins: PluginSelection = field(default_factory=PluginSelection)
    #: Seccomp profile for sessions (JSON file).
    seccomp: Path = Path("/usr/share/juliabox/seccomp.json")
    #: OCI runtime for sessions; empty means the engine's default.
    runtime: str = ""
    #: Seconds before a removed volume is deleted for good.
    volume_grace: float = 7 * 86400.0
    #: Inodes of a home volume per GiB.
    inodes_per_gib: int = 65536
    #: Bytes of the tmpfs on /tmp of a session.
    tmp_size: int = 256 * 1024**2
    #: Seconds between two reconciles.
    reconcile_interval: float = 60.0
    engine: str = "unix:///var/run/docker.sock"

    def warm_memory(self, kind: Kind) -> int:
        """Return the memory limit of a warm container of a kind."""
        if kind == "api" and self.api is not None:
            return self.api.warm_memory
        return self.pool.warm_memory


def load(path: Path) -> ManagerSettings:
    """Read settings from a file; raise ``ConfigurationError`` that names the file and the field."""
    return read_settings(path, ManagerSettings, "manager")
