"""Entries of ``plugins.install``: requirements, and wheel files with their digest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

_WHEEL = re.compile(r"(?P<path>[^#\s]+\.whl)(#sha256=(?P<digest>[0-9a-f]{64}))?")


@dataclass(frozen=True)
class Source:
    """One entry: ``text`` as it stands in the file, and the distribution that it brings."""

    text: str
    distribution: str
    #: Of a wheel file alone: its path, relative to the state folder's ``plugins``, and its digest.
    wheel: Path | None = None
    digest: str = ""


def problem(text: str) -> str:
    """Return what is wrong with an entry; empty if nothing is."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return ""


def parse(text: str) -> Source:
    """Return an entry; raise ``ValueError`` with a sentence for one that cannot be read."""
    wheel = _WHEEL.fullmatch(text)
    if wheel is not None:
        path = Path(wheel["path"])
        try:
            name, *_ = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            raise ValueError(
                "must be named as wheel files are, such as name-1.0-py3-none-any.whl"
            ) from None
        return Source(text, str(name), path, wheel["digest"] or "")
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise ValueError(
            "must be a requirement, such as juliabox-greeting==1.0, or a wheel file, such as "
            "juliabox_greeting-1.0-py3-none-any.whl"
        ) from None
    return Source(text, canonicalize_name(requirement.name))
