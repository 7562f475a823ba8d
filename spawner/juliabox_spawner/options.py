"""DockerSpawner's options that JuliaBox cannot honour: refused with a reason, never dropped.

Most ask for something of the host that the container manager has no verb for. The others choose
what JuliaBox fixes: the command, the network's kind, and that stopped containers are removed.
"""

from __future__ import annotations

from typing import Any

from juliabox_ext.errors import ConfigurationError

_NO_ENGINE = "the hub never talks to a Docker engine; set the manager's address instead"
_NO_HOST = "the container manager accepts no host paths; each person has a home volume"
_NO_RAW = (
    "raw Docker options cannot be asked for; use mem_limit, cpu_limit, pids_limit, disk_limit "
    "and profile_list, or the manager's settings"
)
_NO_COMMAND = (
    "a session always runs the entry program of its image; use environment, default_url "
    "or an image of your own"
)
_NO_CERTS = (
    "the hub and its sessions talk over a network that only they share; "
    "use https in config.yaml for the way to the browser"
)
_NAMES = "the container manager chooses container names; see `juliabox session list`"

#: Option -> what to do instead.
REFUSED: dict[str, str] = {
    "extra_host_config": _NO_RAW,
    "extra_create_kwargs": _NO_RAW,
    "volumes": _NO_HOST,
    "read_only_volumes": _NO_HOST,
    "mounts": _NO_HOST,
    "format_volume_name": _NO_HOST,
    "certs_volume_name": _NO_CERTS,
    "move_certs_image": _NO_CERTS,
    "ssl_alt_names": _NO_CERTS,
    "ssl_alt_names_include_local": _NO_CERTS,
    "links": "sessions are not linked; the hub is reached at its address on the sessions network",
    "post_start_cmd": (
        "nothing is run in a session from outside; put it into the image's entry or start-up files"
    ),
    "client_kwargs": _NO_ENGINE,
    "use_docker_client_env": _NO_ENGINE,
    "tls": _NO_ENGINE,
    "tls_verify": _NO_ENGINE,
    "tls_ca": _NO_ENGINE,
    "tls_cert": _NO_ENGINE,
    "tls_key": _NO_ENGINE,
    "tls_assert_hostname": _NO_ENGINE,
    "tls_config": _NO_ENGINE,
    "network_mode": "sessions attach to the sessions network alone",
    "host_ip": "no port of a session is published on the host",
    "container_ip": "no port of a session is published on the host",
    "container_port": "a session's server always listens on port 8888",
    "port": "a session's server always listens on port 8888",
    "ip": "a session's server always listens on its address of the sessions network",
    "use_internal_hostname": "sessions are reached by address",
    "hub_ip_connect": "set hub_connect_url",
    "cmd": _NO_COMMAND,
    "args": _NO_COMMAND,
    "env_keep": "sessions inherit nothing of the hub's environment; use environment",
    "name_template": _NAMES,
    "container_name_template": _NAMES,
    "prefix": _NAMES,
    "container_prefix": _NAMES,
    "escape": _NAMES,
    "container_image": "use image",
    "image_whitelist": "use allowed_images",
    "mem_guarantee": "the manager promises each session its mem_limit",
    "cpu_guarantee": "sessions share the processors; cpu_limit bounds each",
}

#: Options with one value that JuliaBox works with.
FIXED: dict[str, tuple[Any, str]] = {
    "remove": (True, "a stopped session's container is always removed; files live in its volume"),
    "remove_containers": (True, "a stopped session's container is always removed"),
    "use_internal_ip": (True, "no port of a session is published on the host"),
}

#: Sections of a configuration whose options reach the spawner.
SECTIONS = ("JuliaBoxSpawner", "DockerSpawner", "Spawner")


def check_config(config: Any) -> None:
    """Raise ``ConfigurationError`` that names every option which cannot be honoured."""
    problems = []
    for section in SECTIONS:
        if section not in config:
            continue
        for name in sorted(config[section]):
            problem = _problem(name, config[section][name])
            if problem:
                problems.append(f"c.{section}.{name}: {problem}")
    if "JupyterHub" in config and config["JupyterHub"].get("internal_ssl"):
        problems.append(f"c.JupyterHub.internal_ssl: {_NO_CERTS}")
    if problems:
        raise ConfigurationError(
            "options that JuliaBox cannot honour:\n  " + "\n  ".join(problems),
            code="configuration.option",
        )


def check_spawner(spawner: Any) -> None:
    """Raise ``ConfigurationError`` where an option was set later, by a hook or an override."""
    problems = []
    for name in (*REFUSED, *FIXED):
        if not spawner.has_trait(name):
            continue
        # a value that was merely read is there too, as the default or as an empty container
        value = spawner._trait_values.get(name)
        if value and name not in _COMPUTED and value != spawner.traits()[name].default_value:
            problem = _problem(name, value)
            if problem:
                problems.append(f"{name}: {problem}")
    if getattr(spawner, "internal_ssl", False):
        problems.append(f"internal_ssl: {_NO_CERTS}")
    if problems:
        raise ConfigurationError(
            "options that JuliaBox cannot honour:\n  " + "\n  ".join(problems),
            code="configuration.option",
        )


#: Options whose default DockerSpawner or JupyterHub computes at first use.
_COMPUTED = frozenset(
    {
        "cmd",
        "port",
        "ip",
        "env_keep",
        "host_ip",
        "escape",
        "name_template",
        "format_volume_name",
        "ssl_alt_names",
        "use_internal_hostname",
        "use_internal_ip",
        "remove",
        "hub_ip_connect",
    }
)


def _problem(name: str, value: Any) -> str:
    if name in REFUSED:
        return REFUSED[name]
    if name in FIXED and value != FIXED[name][0]:
        return f"must be {FIXED[name][0]!r}: {FIXED[name][1]}"
    return ""
