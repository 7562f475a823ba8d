"""Schema of the operator's file, ``config.yaml``.

Every key has a default, so an empty file is a valid one. The meaning of each key for the operator
stands in :mod:`juliabox_cli.config_template`, which a test compares with this schema.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from juliabox_cli import plugin_sources, units
from juliabox_cli.units import Duration, Size
from juliabox_spawner import usernames

MIB = 1024**2

#: Image of a session unless a profile says otherwise.
SESSION_IMAGE = "juliabox/julia"
#: Image of the containers that carry out calls of published APIs; no image of sessions.
API_IMAGE = "juliabox/julia-api"


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError(
            "must be a network in CIDR notation with no host bits set, such as 192.168.10.0/24"
        ) from None


def _address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise ValueError("must be an IPv4 address, such as 127.0.0.1 or 0.0.0.0") from None


def _base_url(value: str) -> str:
    if not re.fullmatch(r"/([A-Za-z0-9._~-]+/)*", value):
        raise ValueError(
            "must start and end with a slash and have letters, digits and . _ ~ - between, such as "
            "/ or /julia/"
        )
    return value


def _user_name(value: str) -> str:
    reason = usernames.problem(usernames.normalize(value))
    if reason:
        raise ValueError(f"is no user name: {reason}")
    return usernames.normalize(value)


def _subnet(value: str) -> str:
    if value == "auto":
        return value
    network = ipaddress.IPv4Network(_network(value))
    if not 16 <= network.prefixlen <= 23:
        raise ValueError("must be auto, or an IPv4 network of a size from /16 to /23")
    return str(network)


def _auto_or_size(value: object) -> object:
    return value if value == "auto" else units.parse_size(value)


def _listed(value: object) -> object:
    """Let one word stand for a list of one."""
    return [value] if isinstance(value, str) else value


def _without_doubles(value: list[str]) -> list[str]:
    if len(set(value)) < len(value):
        raise ValueError("names a log-in twice")
    return value


def _text(value: object) -> object:
    """Let ``key:`` with nothing behind it mean the empty text."""
    return "" if value is None else value


UserName = Annotated[str, AfterValidator(_user_name)]
Cidr = Annotated[str, AfterValidator(_network)]
Text = Annotated[str, BeforeValidator(_text)]
Logins = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]],
    BeforeValidator(_listed),
    Field(min_length=1),
    AfterValidator(_without_doubles),
]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,63}$")]
Memory = Annotated[Size, Field(ge=64 * MIB, le=2**44)]
Cpu = Annotated[float, Field(ge=0.01, le=1024)]
Pids = Annotated[int, Field(ge=16, le=65536)]
Disk = Annotated[Size, Field(ge=16 * MIB, le=2**44)]
PoolMemory = Annotated[
    Literal["auto"] | Annotated[int, Field(ge=64 * MIB, le=2**44)], BeforeValidator(_auto_or_size)
]
PoolSize = Annotated[int, Field(ge=0, le=1000)]
Seconds = Annotated[Duration, Field(ge=1, le=86_400)]
ApiMemory = Annotated[Size, Field(ge=256 * MIB, le=2**44)]
Containers = Annotated[int, Field(ge=1, le=1000)]


class Section(BaseModel):
    """A mapping of the file; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)


class Https(Section):
    """Own certificate; HTTPS is on when both keys are set."""

    certificate: Text = ""
    key: Text = ""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key must be set together")
        return self


class Authentication(Section):
    """Who gets in."""

    login: Logins = Field(default_factory=lambda: ["native"])
    admin: UserName = "admin"
    signup: Literal["approval", "open", "closed"] = "approval"
    signup_rate: Annotated[int, Field(ge=0, le=100_000)] = 60
    failed_before_lock: Annotated[int, Field(ge=0, le=1000)] = 5
    lock_time: Duration = 300

    @property
    def native(self) -> bool:
        """Whether the hub keeps accounts with passwords."""
        return "native" in self.login


class Sessions(Section):
    """Limits and life of a session."""

    memory: Memory = 1024 * MIB
    cpu: Cpu = 1.0
    pids: Pids = 256
    disk: Disk = 2048 * MIB
    idle_timeout: Duration = 1800
    max_age: Duration = 0
    named_servers: Annotated[int, Field(ge=0, le=100)] = 3
    start_timeout: Annotated[Duration, Field(ge=10, le=3600)] = 120
    queue_timeout: Annotated[Duration, Field(ge=10, le=86_400)] = 600
    concurrent_starts: Annotated[int, Field(ge=0, le=1000)] = 0


class PartialLimits(Section):
    """Limits of which any may be left out."""

    memory: Memory | None = None
    cpu: Cpu | None = None
    pids: Pids | None = None
    disk: Disk | None = None


class Profile(PartialLimits):
    """A choice offered when a session starts."""

    slug: Slug
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    description: Text = ""
    default: bool = False
    image: str | None = None
    groups: list[str] = Field(default_factory=list)
    users: list[UserName] = Field(default_factory=list)
    pool: PoolSize | None = None


class Pool(Section):
    """Warm containers that wait for people."""

    rule: Literal["demand", "fixed"] = "demand"
    size: PoolSize = 2
    maximum: Annotated[int, Field(ge=1, le=1000)] = 10
    memory: PoolMemory = "auto"
    kernel: bool = True


class Capacity(Section):
    """How much the machine gives to all sessions together."""

    sessions: Annotated[int, Field(ge=1, le=100_000)] = 100
    sessions_per_owner: Annotated[int, Field(ge=1, le=1000)] = 5
    memory: Size = 0
    disk_reserve: Size = 1024 * MIB


class Network(Section):
    """What sessions may reach, and the addresses of this installation."""

    internet: bool = True
    allow: list[Cidr] = Field(default_factory=list)
    deny: list[Cidr] = Field(default_factory=list)
    subnet: Annotated[str, AfterValidator(_subnet)] = "auto"


class Volumes(Section):
    """Home volumes."""

    deletion_grace: Duration = 7 * 86400
    inodes_per_gib: Annotated[int, Field(ge=1024, le=1024**2)] = 65536


class Apis(Section):
    """Published APIs: whether there are any, their defaults, and what nobody may exceed."""

    enabled: bool = True
    internet: bool = False
    timeout: Seconds = 30
    longest_timeout: Seconds = 600
    memory: ApiMemory = 512 * MIB
    most_memory: ApiMemory = 2048 * MIB
    cpu: Cpu = 1.0
    pids: Pids = 128
    containers_per_api: Containers = 8
    containers_per_publisher: Containers = 8
    containers: Annotated[int, Field(ge=1, le=10_000)] = 50
    outstanding: Annotated[int, Field(ge=1, le=100_000)] = 200
    apis_per_publisher: Annotated[int, Field(ge=1, le=10_000)] = 20
    versions: Annotated[int, Field(ge=2, le=1000)] = 50
    body: Annotated[Size, Field(ge=1024, le=2**30)] = 4 * MIB
    result: Annotated[Size, Field(ge=1024, le=2**30)] = 16 * MIB
    rate: Annotated[int, Field(ge=1, le=10_000_000)] = 600
    idle: Annotated[Duration, Field(ge=1, le=86_400)] = 300
    load_timeout: Annotated[Duration, Field(ge=5, le=3600)] = 60


class Images(Section):
    """Where images come from."""

    julia_source: Literal["auto", "official", "debian"] = "auto"
    registry: Text = ""
    folder: Text = ""


def _plugin_source(value: str) -> str:
    problem = plugin_sources.problem(value)
    if problem:
        raise ValueError(problem)
    return value


PluginName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
PluginSource = Annotated[str, AfterValidator(_plugin_source)]


class Plugins(Section):
    """Plugins: which are used, their settings, and where those come from that are not built in."""

    enable: list[PluginName] = Field(default_factory=list)
    disable: list[PluginName] = Field(default_factory=list)
    required: list[PluginName] = Field(default_factory=list)
    settings: dict[PluginName, dict[str, Any]] = Field(default_factory=dict)
    install: list[PluginSource] = Field(default_factory=list)


class Config(Section):
    """The whole file."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")] = "juliabox"
    bind: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    public_url: Text = ""
    https: Https = Https()
    subdomain_host: Text = ""
    base_url: Annotated[str, AfterValidator(_base_url)] = "/"
    authentication: Authentication = Authentication()
    sessions: Sessions = Sessions()
    ceilings: PartialLimits = PartialLimits()
    capacity: Capacity = Capacity()
    pool: Pool = Pool()
    profiles: list[Profile] = Field(default_factory=list)
    groups: dict[str, PartialLimits] = Field(default_factory=dict)
    users: dict[UserName, PartialLimits] = Field(default_factory=dict)
    network: Network = Network()
    volumes: Volumes = Volumes()
    apis: Apis = Apis()
    images: Images = Images()
    plugins: Plugins = Plugins()
    announcement: Text = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return ipaddress.IPv4Address(self.bind).is_loopback

    @property
    def everywhere(self) -> bool:
        """Whether the service listens on all addresses of the host."""
        return ipaddress.IPv4Address(self.bind).is_unspecified

    @property
    def local_address(self) -> str:
        """Address at which this host itself reaches the service."""
        return "127.0.0.1" if self.everywhere else self.bind

    @property
    def https_on(self) -> bool:
        """Whether the proxy ends HTTPS."""
        return bool(self.https.certificate)
