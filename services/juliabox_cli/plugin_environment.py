"""Packages of plugins in the environment of the command line, beside JuliaBox's own packages."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from juliabox_cli.plugin_sources import Source, wheel_path
from juliabox_cli.state import State
from juliabox_ext.errors import UnavailableError

#: Seconds for one run of pip.
_PATIENCE = 600


def versions() -> dict[str, str]:
    """Return what is installed: canonical name -> version."""
    importlib.invalidate_caches()
    found: dict[str, str] = {}
    for one in importlib.metadata.distributions():
        found.setdefault(canonicalize_name(one.name), one.version)
    return found


def has(source: Source) -> bool:
    """Return whether a package of ``plugins.install`` is installed, in the version it names."""
    try:
        found = importlib.metadata.distribution(source.distribution)
    except PackageNotFoundError:
        return False
    if source.wheel is not None:
        return not source.digest or _digest(found) == source.digest
    requirement = Requirement(source.text)
    return requirement.specifier.contains(found.version, prereleases=True)


def ensure(state: State, sources: Sequence[Source]) -> list[str]:
    """Install what is missing of some packages; return the names of their distributions."""
    missing = [source for source in sources if not has(source)]
    if missing:
        install(state, missing)
    return [source.distribution for source in missing]


def install(state: State, sources: Sequence[Source]) -> None:
    """Install packages; no package that JuliaBox itself needs changes its version.

    Raise ``UnavailableError`` with what pip said if that cannot be.
    """
    own = own_packages()
    names = {source.distribution for source in sources}
    kept = {name: version for name, version in versions().items() if name in own - names}
    with _constraints(kept) as constraints:
        given = [_argument(state, source) for source in sources]
        _pip("install", "--constraint", constraints, *given)
    for source in sources:
        if not has(source) and source.wheel is not None:  # the same version with other content
            _pip("install", "--force-reinstall", "--no-deps", _argument(state, source))


def uninstall(names: Iterable[str]) -> None:
    """Uninstall distributions."""
    present = versions()
    gone = sorted(name for name in names if name in present)
    if gone:
        _pip("uninstall", "--yes", *gone)


def restore(state: State, before: dict[str, str], sources: Sequence[Source]) -> None:
    """Take away what was installed since, and bring packages back that were replaced."""
    uninstall([name for name in versions() if name not in before])
    ensure(state, sources)


def own_packages() -> set[str]:
    """Return the canonical names of JuliaBox and of all that it needs, for tests too."""
    found: set[str] = set()
    open_ends = [("juliabox", True)]
    while open_ends:
        name, extras = open_ends.pop()
        if name in found:
            continue
        try:
            requires = importlib.metadata.requires(name) or []
        except PackageNotFoundError:
            continue
        found.add(name)
        for text in requires:
            requirement = Requirement(text)
            if extras or "extra ==" not in str(requirement.marker):
                open_ends.append((canonicalize_name(requirement.name), bool(requirement.extras)))
    return found


def _digest(found: Distribution) -> str:
    """Return the digest of the wheel file that a distribution was installed from; empty if none."""
    recorded = json.loads(found.read_text("direct_url.json") or "{}")
    return str(recorded.get("archive_info", {}).get("hashes", {}).get("sha256", ""))


def _argument(state: State, source: Source) -> str:
    return str(wheel_path(state.plugins, source)) if source.wheel is not None else source.text


@contextlib.contextmanager
def _constraints(kept: dict[str, str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="juliabox-plugins-") as folder:
        path = Path(folder) / "constraints.txt"
        path.write_text("".join(f"{name}=={version}\n" for name, version in sorted(kept.items())))
        yield str(path)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-P", "-m", "pip", *arguments, "--quiet", "--no-input"]
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **quiet},
            timeout=_PATIENCE,
        )
        said = (done.stderr or done.stdout).strip()
        failed = bool(done.returncode)
    except subprocess.TimeoutExpired:
        failed, said = True, f"not done within {_PATIENCE} s"
    if failed:
        lines = "\n".join(said.splitlines()[-12:])
        raise UnavailableError(
            f"pip {arguments[0]} failed; nothing was changed:\n{lines}", code="plugin.install"
        )
    importlib.invalidate_caches()
