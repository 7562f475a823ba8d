"""Entries of ``plugins.install``: requirements, and wheel files with their digest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from juliabox_cli.atomic_files import write_bytes
from juliabox_ext.errors import ConfigurationError

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


def adopt(folder: Path, text: str) -> Source:
    """Return an entry for what a person names; a wheel file is copied into the folder first.

    Raise ``ConfigurationError`` for what is neither a requirement nor a wheel file that is there.
    """
    try:
        source = parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{text}: {error}", code="plugin.source") from None
    if source.wheel is None:
        return source
    content = _read(source.wheel)
    digest = hashlib.sha256(content).hexdigest()
    if source.digest not in ("", digest):
        raise ConfigurationError(
            f"{source.wheel} has the digest {digest}, not the one that was given",
            code="plugin.wheel",
        )
    write_bytes(folder / source.wheel.name, content, mode=0o600, owner=0)
    return parse(f"{source.wheel.name}#sha256={digest}")


def wheel_path(folder: Path, source: Source) -> Path:
    """Return where the wheel file of an entry lies, its digest checked."""
    if source.wheel is None:
        raise ValueError(source.text)
    path = folder / source.wheel
    digest = hashlib.sha256(_read(path)).hexdigest()
    if source.digest not in ("", digest):
        raise ConfigurationError(
            f"{path} was changed: its digest is not the one in plugins.install. Install it again "
            "with `juliabox plugin install`",
            code="plugin.wheel",
        )
    return path


def pinned(source: Source, version: str) -> Source:
    """Return a requirement that names no exact version with the one that was installed.

    The image gets the same version as the environment of the command line.
    """
    if source.wheel is not None:
        return source
    requirement = Requirement(source.text)
    exact = any(one.operator in ("==", "===") for one in requirement.specifier)
    if requirement.url or (exact and "*" not in str(requirement.specifier)):
        return source
    requirement.specifier = SpecifierSet(f"=={version}")
    return parse(str(requirement))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", code="plugin.wheel") from None
