"""Sessions: the spawner, its limits, profiles and groups."""

from __future__ import annotations

from typing import Any

import msgspec

from juliabox_spawner.settings import GroupSettings, HubSettings, ProfileSettings

#: Seconds between two looks at a running session, and seconds that a server whose port is open has
#: to answer over HTTP.
POLL_INTERVAL = 10
HTTP_TIMEOUT = 60

#: Seconds that JupyterHub waits longer for a start than the spawner, whose failures say more.
SPARE = 15


def configure_sessions(c: Any, settings: HubSettings) -> None:
    """Set JuliaBoxSpawner and what it may give."""
    limits = settings.limits
    c.JupyterHub.spawner_class = "juliabox"
    c.JupyterHub.allow_named_servers = settings.named_servers > 0
    c.JupyterHub.named_server_limit_per_user = settings.named_servers
    # the spawner has a queue; JupyterHub's own limit sends people away with 429
    c.JupyterHub.concurrent_spawn_limit = 0
    spawner = c.JuliaBoxSpawner
    spawner.manager_endpoint = settings.manager.endpoint
    spawner.manager_server_key = settings.manager.server_key
    spawner.manager_secret_key_file = str(settings.manager.secret_key)
    spawner.hub_connect_url = settings.hub_connect_sessions
    spawner.network_name = settings.sessions_network
    if settings.api is not None:
        spawner.api_url = settings.api.sessions_url
    spawner.image = settings.image
    spawner.mem_limit = limits.memory
    spawner.cpu_limit = limits.cpu
    spawner.pids_limit = limits.pids
    spawner.disk_limit = limits.disk
    spawner.start_limit = settings.start_timeout
    spawner.queue_timeout = settings.queue_timeout
    spawner.concurrent_starts = settings.concurrent_starts
    spawner.start_timeout = settings.start_timeout + settings.queue_timeout + SPARE
    spawner.http_timeout = HTTP_TIMEOUT
    spawner.poll_interval = POLL_INTERVAL
    spawner.default_url = "/lab"
    # failures say why; the hub never ends because some starts failed
    spawner.consecutive_failure_limit = 0
    spawner.group_limits = _given(settings.groups)
    spawner.user_limits = _given(settings.users)
    spawner.profile_list = [profile_entry(profile) for profile in settings.profiles]


def _given(sections: dict[str, GroupSettings]) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in msgspec.structs.asdict(section).items() if value}
        for name, section in sections.items()
    }


def profile_entry(profile: ProfileSettings) -> dict[str, Any]:
    """Return a profile as the spawner's ``profile_list`` has it."""
    entry = msgspec.structs.asdict(profile)
    return {key: value for key, value in entry.items() if value not in (None, [], "")}
