"""From ``config.yaml`` to what each part reads: settings files and compose variables.

Pure functions of their arguments, so that the same input gives the same bytes and compose replaces
only the parts whose digest changed.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import yaml
from pydantic import BaseModel

from juliabox_cli import plugin_secrets
from juliabox_cli.addresses import Addresses
from juliabox_cli.atomic_files import write_bytes, write_text
from juliabox_cli.compose import PARTS
from juliabox_cli.compose_hostdir import overlay
from juliabox_cli.config import SESSION_IMAGE, Config
from juliabox_cli.config_rules import LIMITS
from juliabox_cli.images import Images
from juliabox_cli.plugin_choice import Choice
from juliabox_cli.ports import (
    HUB_PORT,
    MANAGER_PORT,
    METRICS_PORT,
    PORTAL_METRICS_PORT,
    PORTAL_PORT,
    PROXY_API_PORT,
    PROXY_PORT,
)
from juliabox_cli.rendering_api import (
    API_VERBS,
    api_address,
    api_containers,
    api_settings,
    engine_url,
    reached_by_sessions,
)
from juliabox_cli.rendering_pool import pool_settings
from juliabox_cli.secret_files import public_key
from juliabox_cli.state import CONTROL_UID, State
from juliabox_ext.errors import ConfigurationError
from juliabox_ext.registry import FEATURES_FILE
from juliabox_manager.logs import hide_secrets
from juliabox_manager.protocol import Limits
from juliabox_manager.settings import (
    CapacitySettings,
    Client,
    ManagerSettings,
    NetworkSettings,
)
from juliabox_services.api.settings import ApiSettings
from juliabox_services.portal.settings import PortalSettings, portal_host
from juliabox_spawner.settings import (
    GroupSettings,
    HubSettings,
    LimitSettings,
    LoginSettings,
    ManagerAddress,
    PortalAddress,
    ProfileSettings,
)

Settings = ManagerSettings | HubSettings | PortalSettings | ApiSettings

#: Verbs that the hub's key admits; the operator's key admits all.
HUB_VERBS = ["session.*", "image.*", "volume.*", "stats", "events", "ping"]

#: Verbs that the portal's key admits: it looks, and changes nothing.
PORTAL_VERBS = [
    "session.list",
    "session.inspect",
    "session.usage",
    "session.usages",
    "volume.list",
    "image.list",
    "pool.list",
    "task.list",
    "task.results",
    "stats",
    "events",
    "ping",
]


NO_PLUGINS = Choice()


def public_url(config: Config) -> str:
    """Return the address that people type."""
    chosen = config.public_url or config.subdomain_host
    if chosen:
        return chosen.rstrip("/").removesuffix(config.base_url.rstrip("/")) + config.base_url
    scheme, usual = ("https", 443) if config.https_on else ("http", 80)
    host = socket.gethostname() if config.everywhere else config.bind
    port = "" if config.port == usual else f":{config.port}"
    return f"{scheme}://{host}{port}{config.base_url}"


def ceilings(config: Config) -> Limits:
    """Return the ceilings: what the file sets, else the largest limit configured anywhere."""
    values = {}
    for limit in LIMITS:
        places = [
            config.sessions, *config.profiles, *config.groups.values(), *config.users.values()
        ]  # fmt: skip
        given = [getattr(place, limit) for place in places]
        largest = max(value for value in given if value is not None)
        explicit = getattr(config.ceilings, limit)
        values[limit] = largest if explicit is None else explicit
    return Limits(**values)


def manager_settings(
    config: Config, state: State, addresses: Addresses, images: Images, choice: Choice = NO_PLUGINS
) -> ManagerSettings:
    """Return what the manager is told."""
    return ManagerSettings(
        installation=config.name,
        instance=config.name,
        state=state.root,
        listen=f"tcp://{addresses.manager_control}:{MANAGER_PORT}",
        metrics_address=addresses.manager_control,
        metrics_port=METRICS_PORT,
        secret_key=state.secrets / "manager" / "curve.key",
        clients={
            "hub": Client(public_key(state.secrets / "hub" / "manager.key"), HUB_VERBS),
            "portal": Client(public_key(state.secrets / "portal" / "manager.key"), PORTAL_VERBS),
            "api": Client(public_key(state.secrets / "api" / "manager.key"), API_VERBS),
            "operator": Client(public_key(state.secrets / "operator" / "manager.key"), ["*"]),
        },
        images=images.sessions,
        ceilings=ceilings(config),
        network=NetworkSettings(
            name=f"{config.name}-sessions",
            gateway=addresses.sessions_gateway,
            trusted=[addresses.proxy_sessions, addresses.hub_sessions],
            hub=addresses.hub_sessions,
            hub_port=HUB_PORT,
            services=reached_by_sessions(config, addresses),
            internet=config.network.internet,
            allow=config.network.allow,
            deny=config.network.deny,
        ),
        capacity=CapacitySettings(
            sessions=config.capacity.sessions,
            sessions_per_owner=config.capacity.sessions_per_owner,
            memory=config.capacity.memory,
            disk_reserve=config.capacity.disk_reserve,
        ),
        pool=pool_settings(config),
        api=api_containers(config, addresses, images.api),
        volume_grace=float(config.volumes.deletion_grace),
        inodes_per_gib=config.volumes.inodes_per_gib,
        plugins=choice.selection("manager", config.plugins.settings),
    )


def hub_settings(
    config: Config, state: State, addresses: Addresses, choice: Choice = NO_PLUGINS
) -> HubSettings:
    """Return what the hub is told."""
    return HubSettings(
        installation=config.name,
        public_url=public_url(config),
        bind=config.bind,
        folder=state.hub,
        secrets=state.secrets / "hub",
        proxy_api=f"http://{addresses.proxy_edge}:{PROXY_API_PORT}",
        hub_bind=f"http://0.0.0.0:{HUB_PORT}",
        hub_connect_edge=f"http://{addresses.hub_edge}:{HUB_PORT}",
        hub_connect_sessions=f"http://{addresses.hub_sessions}:{HUB_PORT}",
        manager=ManagerAddress(
            endpoint=f"tcp://{addresses.manager_control}:{MANAGER_PORT}",
            server_key=public_key(state.secrets / "manager" / "curve.key"),
            secret_key=state.secrets / "hub" / "manager.key",
        ),
        sessions_network=f"{config.name}-sessions",
        image=SESSION_IMAGE,
        limits=LimitSettings(**{limit: getattr(config.sessions, limit) for limit in LIMITS}),
        login=_login(config, state, choice),
        profiles=[_profile(profile.model_dump()) for profile in config.profiles],
        groups={name: GroupSettings(**group.model_dump()) for name, group in config.groups.items()},
        users={name: GroupSettings(**user.model_dump()) for name, user in config.users.items()},
        https=config.https_on,
        subdomain_host=config.subdomain_host,
        base_url=config.base_url,
        named_servers=config.sessions.named_servers,
        idle_timeout=config.sessions.idle_timeout,
        max_age=config.sessions.max_age,
        start_timeout=config.sessions.start_timeout,
        queue_timeout=config.sessions.queue_timeout,
        concurrent_starts=config.sessions.concurrent_starts,
        config_folder=state.config_folder,
        announcement=config.announcement,
        portal=PortalAddress(
            url=f"http://{addresses.portal_edge}:{PORTAL_PORT}",
            host=portal_host(config.subdomain_host),
        ),
        api=api_address(config, addresses),
        plugins=choice.selection("hub", config.plugins.settings),
    )


def portal_settings(
    config: Config, state: State, addresses: Addresses, choice: Choice = NO_PLUGINS
) -> PortalSettings:
    """Return what the portal is told."""
    secure = "https" if config.https_on else "http"
    return PortalSettings(
        installation=config.name,
        public_url=public_url(config),
        address=addresses.portal_edge,
        port=PORTAL_PORT,
        metrics_address=addresses.portal_control,
        metrics_port=PORTAL_METRICS_PORT,
        folder=state.portal,
        secrets=state.secrets / "portal",
        hub_api=f"http://{addresses.hub_edge}:{HUB_PORT}{config.base_url}hub/api",
        proxy=f"{secure}://{addresses.proxy_edge}:{PROXY_PORT}",
        api_url=engine_url(config, addresses.api_edge),
        manager=ManagerAddress(
            endpoint=f"tcp://{addresses.manager_control}:{MANAGER_PORT}",
            server_key=public_key(state.secrets / "manager" / "curve.key"),
            secret_key=state.secrets / "portal" / "manager.key",
        ),
        limits=LimitSettings(**{limit: getattr(config.sessions, limit) for limit in LIMITS}),
        base_url=config.base_url,
        https=config.https_on,
        hub_host=config.subdomain_host,
        portal_host=portal_host(config.subdomain_host),
        idle_timeout=config.sessions.idle_timeout,
        max_age=config.sessions.max_age,
        named_servers=config.sessions.named_servers,
        plugins=choice.selection("portal", config.plugins.settings),
        profiles=[_profile(profile.model_dump()) for profile in config.profiles],
        configuration=shown(config, choice),
        configuration_path=str(state.config),
        configuration_changed=sorted(_set_keys(config)),
    )


def shown(config: Config, choice: Choice) -> str:
    """Return the operator's file, defaults included, as an admin may see it: secrets hidden."""
    document = hide_secrets(None, "", plugin_secrets.shown(config, choice.probed))
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True)


def _set_keys(section: BaseModel, before: str = "") -> Iterator[str]:
    """Yield the dotted keys that the operator set."""
    for name in section.model_fields_set:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _set_keys(value, f"{before}{name}.")
        else:
            yield f"{before}{name}"


def _login(config: Config, state: State, choice: Choice) -> LoginSettings:
    native = config.authentication.native
    return LoginSettings(
        logins=choice.working_logins(config.authentication.login),
        admins=[config.authentication.admin],
        admin_password=state.secrets / "hub" / "admin_password" if native else None,
        signup=config.authentication.signup,
        signup_rate=config.authentication.signup_rate,
        failed_before_lock=config.authentication.failed_before_lock,
        lock_seconds=config.authentication.lock_time,
    )


def _profile(given: dict[str, object]) -> ProfileSettings:
    values = dict(given)
    values["display_name"] = values.pop("name")
    del values["pool"]  # the manager's business
    return msgspec.convert(values, ProfileSettings)


def render(
    config: Config,
    state: State,
    addresses: Addresses,
    images: Images,
    docker_socket: str,
    *,
    choice: Choice = NO_PLUGINS,
) -> list[str]:
    """Write settings and variables; return the names of the files that changed."""
    _refuse_closed(state.config_folder)
    manager = manager_settings(config, state, addresses, images, choice)
    hub = hub_settings(config, state, addresses, choice)
    portal = portal_settings(config, state, addresses, choice)
    api = api_settings(config, state, addresses, public_url(config), choice)
    variables = {
        "JULIABOX_NAME": config.name,
        "JULIABOX_STATE": str(state.root),
        **{f"JULIABOX_{part.upper()}_IMAGE": images.part(part) for part in PARTS},
        "JULIABOX_PROXY_CONTENT": images.proxy,
        "JULIABOX_UID": str(CONTROL_UID),
        "JULIABOX_BIND": config.bind,
        "JULIABOX_PORT": str(config.port),
        "JULIABOX_BASE_URL": config.base_url,
        "JULIABOX_HTTPS": "1" if config.https_on else "",
        "JULIABOX_SUBDOMAIN_HOST": config.subdomain_host,
        "JULIABOX_APIS": "1" if config.apis.enabled else "",
        "JULIABOX_LOG_LEVEL": config.log_level,
        "JULIABOX_DOCKER_SOCKET": docker_socket,
        "JULIABOX_MANAGER_DIGEST": digest(concern(manager), *_files(state.secrets / "manager")),
        "JULIABOX_HUB_DIGEST": digest(
            concern(hub), *_files(state.secrets / "hub"), *_files(state.config_folder)
        ),
        "JULIABOX_PORTAL_DIGEST": digest(concern(portal), *_files(state.secrets / "portal")),
        "JULIABOX_API_DIGEST": digest(concern(api), *_files(state.secrets / "api")),
        "JULIABOX_PROXY_DIGEST": digest(*_files(state.secrets / "proxy")),
        **addresses.variables(),
    }
    lines = "".join(f"{name}={value}\n" for name, value in sorted(variables.items()))
    written = {
        # settings of plugins have passwords: each file is for its reader alone
        "manager.json": write_bytes(state.run / "manager.json", encode(manager), mode=0o600),
        "hub.json": write_bytes(state.run / "hub.json", encode(hub), mode=0o600, owner=CONTROL_UID),
        "portal.json": write_bytes(
            state.run / "portal.json", encode(portal), mode=0o600, owner=CONTROL_UID
        ),
        "api.json": write_bytes(state.run / "api.json", encode(api), mode=0o600, owner=CONTROL_UID),
        "features.json": write_bytes(
            state.features / FEATURES_FILE,
            msgspec.json.format(msgspec.json.encode(choice.features), indent=2) + b"\n",
            mode=0o644,
        ),
        "compose.env": write_text(state.compose_env, lines, mode=0o600),
    }
    more = overlay(config)
    if more:
        written["compose.more.yaml"] = write_text(state.compose_more, more, mode=0o600)
    else:
        state.compose_more.unlink(missing_ok=True)
    return [name for name, changed in written.items() if changed]


def encode(settings: Settings) -> bytes:
    """Encode settings readably, with keys in a fixed order."""
    content = msgspec.json.encode(settings, enc_hook=str, order="sorted")
    return msgspec.json.format(content, indent=2) + b"\n"


def concern(settings: Settings) -> bytes:
    """Return what a part must be replaced for when it changes.

    What plugins of other parts provide is not among it: a part sees that without a start.
    """
    plugins = msgspec.structs.replace(settings.plugins, features={})
    return encode(msgspec.structs.replace(settings, plugins=plugins))


def digest(*contents: bytes) -> str:
    """Return a short digest that changes with any of the contents."""
    whole = hashlib.sha256()
    for content in contents:
        whole.update(hashlib.sha256(content).digest())
    return whole.hexdigest()[:16]


def _refuse_closed(folder: Path) -> None:
    """Refuse files of traits that the hub, which is not root, could not read."""
    for path in sorted(folder.glob("*.py")) if folder.is_dir() else []:
        status = path.stat()
        if not status.st_mode & 0o004 and CONTROL_UID not in (status.st_uid, status.st_gid):
            raise ConfigurationError(
                f"the hub cannot read {path}: `chmod 644 {path}`", code="configuration.invalid"
            )


def _files(folder: Path) -> list[bytes]:
    """Return names and contents of a folder's regular files, in order of name."""
    found: list[bytes] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            found += [path.name.encode(), path.read_bytes()]
    return found
