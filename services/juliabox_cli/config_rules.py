"""Rules of ``config.yaml`` that look at more than one key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from juliabox_cli.config import SESSION_IMAGE, Config
from juliabox_cli.units import show_size
from juliabox_ext import catalog

#: A place in the file and what is wrong there.
Finding = tuple[tuple[str | int, ...], str]

LIMITS = ("memory", "cpu", "pids", "disk")


def findings(config: Config) -> Iterator[Finding]:
    """Yield each broken rule with the key to point at."""
    yield from _login(config)
    yield from _limits(config)
    yield from _profiles(config)
    yield from _pool(config)
    yield from _apis(config)
    yield from _addresses(config)
    yield from _plugins(config)


def _login(config: Config) -> Iterator[Finding]:
    installed = {one.name for one in catalog.available(["juliabox.handler"])}
    for index, name in enumerate(config.authentication.login):
        if name not in installed:
            yield (
                ("authentication", "login", index),
                f"there is no plugin {name!r} for it; installed are {', '.join(sorted(installed))}",
            )
    if "zero" in config.authentication.login and not config.loopback:
        yield (
            ("authentication", "login"),
            f"zero lets anybody in without a password, so it works on a loopback address only; "
            f"bind is {config.bind}. Set bind to 127.0.0.1, or login to native",
        )


def _limits(config: Config) -> Iterator[Finding]:
    places: list[tuple[tuple[str | int, ...], object]] = [(("sessions",), config.sessions)]
    places += [(("profiles", i), profile) for i, profile in enumerate(config.profiles)]
    places += [(("groups", name), group) for name, group in config.groups.items()]
    places += [(("users", name), user) for name, user in config.users.items()]
    for place, section in places:
        for limit in LIMITS:
            ceiling, value = getattr(config.ceilings, limit), getattr(section, limit)
            if ceiling is not None and value is not None and value > ceiling:
                shown = show_size(ceiling) if limit in ("memory", "disk") else ceiling
                yield (*place, limit), f"must not be over ceilings.{limit}, {shown}"


def _profiles(config: Config) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, profile in enumerate(config.profiles):
        if profile.slug in seen:
            yield ("profiles", index, "slug"), "is used by two profiles; each needs its own"
        seen.add(profile.slug)
    defaults = [index for index, profile in enumerate(config.profiles) if profile.default]
    for index in defaults[1:]:
        yield ("profiles", index, "default"), "only one profile can be the default"


def _pool(config: Config) -> Iterator[Finding]:
    if config.pool.size > config.pool.maximum:
        yield ("pool", "size"), f"must not be over pool.maximum, {config.pool.maximum}"
    sizes: dict[str, int] = {}
    for index, profile in enumerate(config.profiles):
        if profile.pool is None:
            continue
        place = ("profiles", index, "pool")
        image = profile.image or SESSION_IMAGE
        if profile.pool > config.pool.maximum:
            yield place, f"must not be over pool.maximum, {config.pool.maximum}"
        if sizes.setdefault(image, profile.pool) != profile.pool:
            yield place, f"differs from another profile's: all profiles of {image} share one pool"


def _apis(config: Config) -> Iterator[Finding]:
    apis = config.apis
    for key, most in (("timeout", "longest_timeout"), ("memory", "most_memory")):
        if getattr(apis, key) > getattr(apis, most):
            yield ("apis", key), f"must not be over apis.{most}"
    for key in ("containers_per_api", "containers_per_publisher"):
        if getattr(apis, key) > apis.containers:
            yield ("apis", key), f"must not be over apis.containers, {apis.containers}"


def _plugins(config: Config) -> Iterator[Finding]:
    for key in ("enable", "required"):
        for index, name in enumerate(getattr(config.plugins, key)):
            if name in config.plugins.disable:
                yield ("plugins", key, index), f"{name} is in plugins.disable, too; take one out"


def _addresses(config: Config) -> Iterator[Finding]:
    for key in ("public_url", "subdomain_host"):
        value = getattr(config, key)
        if not value:
            continue
        parts = urlsplit(value)
        if not re.fullmatch(r"https?://[^\s/?#@$'\"\\]+(/\S*)?", value) or not parts.hostname:
            yield (key,), "must be a URL with http or https and a host, or empty"
        elif config.https_on and parts.scheme != "https":
            yield (key,), "must start with https:// since https.certificate is set"
        elif value.removeprefix(f"{parts.scheme}://{parts.netloc}") not in _paths(key, config):
            yield (key,), "must end with the host or port; a path goes into base_url"


def _paths(key: str, config: Config) -> set[str]:
    """Return what may follow the host."""
    base = {config.base_url, config.base_url.rstrip("/")} if key == "public_url" else set()
    return {"", "/", *base}
