"""Settings of the hub: a JSON file that ``juliabox up`` renders from ``config.yaml``.

The hub's ``jupyterhub_config.py`` reads it and nothing else of the operator's, apart from
``jupyterhub_config.d/*.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from juliabox_ext.selection import PluginSelection
from juliabox_ext.settings_file import read_settings


class ProfileSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A profile that a person picks at start; ``None`` leaves the default."""

    slug: str
    display_name: str
    description: str = ""
    default: bool = False
    image: str | None = None
    memory: int | None = None
    cpu: float | None = None
    pids: int | None = None
    disk: int | None = None
    #: Groups that may use the profile; everybody may if neither groups nor users are named.
    groups: list[str] = field(default_factory=list)
    #: People who may use the profile, beside the members of the groups.
    users: list[str] = field(default_factory=list)


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a session (bytes, cores, processes, bytes)."""

    memory: int
    cpu: float
    pids: int
    disk: int


class GroupSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits for members of a group, of whose groups the highest counts; or for one person."""

    memory: int | None = None
    cpu: float | None = None
    pids: int | None = None
    disk: int | None = None


class ManagerAddress(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the manager listens and how to know it."""

    endpoint: str
    server_key: str
    #: File with this client's CURVE secret key (z85).
    secret_key: Path


class PortalAddress(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the portal listens for the proxy."""

    url: str
    #: Scheme and host that people reach it at, with subdomains; else empty.
    host: str = ""


class ApiAddress(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the API engine listens for the proxy, and for sessions."""

    url: str
    #: Scheme and host that people reach it at, with subdomains; else empty.
    host: str = ""
    #: Folder of all APIs as sessions reach it, such as ``http://10.64.17.5:8010/services/api/``.
    sessions_url: str = ""


class LoginSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets in."""

    #: Log-in plugins, in the order of the page.
    logins: list[str] = field(default_factory=lambda: ["native"])
    #: Admins among the hub's own accounts.
    admins: list[str] = field(default_factory=lambda: ["admin"])
    #: File with the generated password of the first admin.
    admin_password: Path | None = None
    #: Whether new people may sign up, and whether an admin must authorise them.
    signup: Literal["approval", "open", "closed"] = "approval"
    #: Accounts per hour that open sign-up lets in at once; 0 means no bound.
    signup_rate: int = 60
    failed_before_lock: int = 5
    lock_seconds: int = 300


class HubSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """All that the hub is told."""

    installation: str
    #: Address that people reach the service at, as printed by ``juliabox up``.
    public_url: str
    #: Address on the host that the proxy binds to; "zero" login needs a loopback one.
    bind: str
    #: Folder for the hub's database and its backups.
    folder: Path
    #: Folder with secrets of the hub: cookie_secret, proxy_token, service tokens.
    secrets: Path
    #: Proxy's API on the edge network, and the hub's own addresses.
    proxy_api: str
    hub_bind: str
    #: URL of the hub's API as the proxy reaches it, and as sessions reach it.
    hub_connect_edge: str
    hub_connect_sessions: str
    manager: ManagerAddress
    sessions_network: str
    image: str
    limits: LimitSettings
    login: LoginSettings
    plugins: PluginSelection = field(default_factory=PluginSelection)
    profiles: list[ProfileSettings] = field(default_factory=list)
    groups: dict[str, GroupSettings] = field(default_factory=dict)
    #: Limits of single people, which replace those of their groups.
    users: dict[str, GroupSettings] = field(default_factory=dict)
    https: bool = False
    subdomain_host: str = ""
    base_url: str = "/"
    #: Named servers per person; 0 turns them off.
    named_servers: int = 3
    #: Seconds without activity after which a session is stopped; 0 turns culling off.
    idle_timeout: int = 1800
    #: Seconds a session may live; 0 means no bound.
    max_age: int = 0
    start_timeout: int = 120
    #: Seconds that a start waits for its turn or for room; starts that work at once, 0 by the
    #: number of processors.
    queue_timeout: int = 600
    concurrent_starts: int = 0
    #: Extra traits: files of this folder are loaded last, in order of name.
    config_folder: Path | None = None
    #: Text shown above every page; empty for none.
    announcement: str = ""
    #: The portal, a service of the hub; None for a hub without one.
    portal: PortalAddress | None = None
    #: The API engine, a service of the hub; None for a hub without one.
    api: ApiAddress | None = None


def load(path: Path) -> HubSettings:
    """Read settings from a file; raise ``ConfigurationError`` that names the file and the field."""
    return read_settings(path, HubSettings, "hub")
