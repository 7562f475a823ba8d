"""Profiles: named choices of image and limits that a person picks at start.

``profile_list`` has the shape that KubeSpawner made known: a list of dictionaries with
``display_name``, ``slug``, ``description``, ``default`` and overrides, or a callable that takes
the spawner and returns one. A profile with ``groups`` is offered to their members alone, and
refused to everybody else, whatever the request says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import msgspec
from msgspec import Struct, field

from juliabox_ext.errors import ConfigurationError
from juliabox_spawner.failures import StartError
from juliabox_spawner.profile_access import admits

_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """One profile; limits in bytes, cores, processes and bytes, ``None`` leaves the default."""

    display_name: str
    slug: str = ""
    description: str = ""
    default: bool = False
    groups: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    image: str | None = None
    memory: int | None = None
    cpu: float | None = None
    pids: int | None = None
    disk: int | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def limits(self) -> dict[str, Any]:
        """Return the limits by name."""
        return {"memory": self.memory, "cpu": self.cpu, "pids": self.pids, "disk": self.disk}


def read(entries: Iterable[Mapping[str, Any]]) -> list[Profile]:
    """Return the profiles, with slugs made from names where none is given.

    Raise ``ConfigurationError`` that names the profile and the field.
    """
    profiles = []
    for number, entry in enumerate(entries, start=1):
        name = entry.get("display_name", f"number {number}") if hasattr(entry, "get") else number
        try:
            profile = msgspec.convert(dict(entry), Profile)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise ConfigurationError(f"profile {name!r}: {error}") from error
        slug = profile.slug or _NOT_SLUG.sub("-", profile.display_name.lower()).strip("-")[:63]
        if not _SLUG.match(slug):
            raise ConfigurationError(
                f"profile {name!r}: slug {slug!r} must be 1 to 63 of a-z, 0-9, - and _"
            )
        profiles.append(msgspec.structs.replace(profile, slug=slug))
    slugs = [profile.slug for profile in profiles]
    twice = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    if twice:
        raise ConfigurationError(f"profiles share the slug {', '.join(twice)}")
    return profiles


def offered(profiles: Iterable[Profile], name: str, groups: Iterable[str]) -> list[Profile]:
    """Return the profiles that a person, a member of the groups, may use."""
    mine = list(groups)
    return [profile for profile in profiles if admits(profile, name, mine)]


def default_of(profiles: list[Profile]) -> Profile | None:
    """Return the default profile: the first that says so, else the first."""
    return next((profile for profile in profiles if profile.default), None) or next(
        iter(profiles), None
    )


def choose(mine: list[Profile], options: Mapping[str, Any]) -> Profile | None:
    """Return the profile that ``user_options`` asks for, or the default one, or None.

    ``mine`` are those that the person may use. Raise ``StartError`` for another
    profile.
    """
    wanted = options.get("profile")
    if wanted is None or wanted == "":
        return default_of(mine)
    for profile in mine:
        if profile.slug == wanted:
            return profile
    names = ", ".join(profile.slug for profile in mine) or "none"
    raise StartError(
        f"There is no profile {str(wanted)[:63]!r} for you. Profiles: {names}.",
        reason="profile",
        status_code=400,
    )


def from_form(form: Mapping[str, list[str]]) -> dict[str, str]:
    """Return ``user_options`` of a form's fields; others than ours are left out."""
    return {name: str(form[name][0])[:255] for name in ("profile", "image") if form.get(name)}


def form(profiles: list[Profile], limits_text: Mapping[str, str]) -> str:
    """Return the profile cards of the spawn page, or nothing where there is no choice.

    ``limits_text`` has a line on the limits by slug.
    """
    if len(profiles) < 2:
        return ""
    chosen = default_of(profiles)
    cards = []
    for profile in profiles:
        checked = " checked" if profile is chosen else ""
        slug = escape(profile.slug)
        cards.append(
            f'<label class="jb-profile" for="profile-{slug}">'
            f'<input type="radio" name="profile" id="profile-{slug}" value="{slug}"{checked}>'
            '<span class="jb-profile-body">'
            f'<span class="jb-profile-name">{escape(profile.display_name)}</span>'
            f'<span class="jb-profile-text">{escape(profile.description)}</span>'
            f'<span class="jb-profile-limits">{escape(limits_text.get(profile.slug, ""))}</span>'
            "</span></label>"
        )
    return (
        '<fieldset class="jb-profiles"><legend class="visually-hidden">Profile</legend>'
        + "".join(cards)
        + "</fieldset>"
    )
