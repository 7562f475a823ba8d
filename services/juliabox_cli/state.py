"""The state folder of one installation: its paths, its record, and its lock."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from juliabox_cli.atomic_files import ensure_folder, write_bytes
from juliabox_ext.errors import ConfigurationError, ConflictError, UnavailableError

#: Uid and gid of the control parts without root: proxy, hub, portal and API engine.
CONTROL_UID = 900

#: A slot's socket path must stay under 108 bytes: STATE/slots/<16>/entry.sock.
_LONGEST_STATE = 70

#: What a state folder holds. Whatever else is found in it is somebody else's.
LAYOUT = (
    "config.yaml",
    "install.json",
    "run",
    "secrets",
    "hub",
    "portal",
    "api",
    "plugins",
    "manager",
    "volumes",
    "mounts",
    "slots",
)


class Install(msgspec.Struct, forbid_unknown_fields=False):
    """What was decided at the first start and must stay: ``install.json``."""

    name: str
    #: Block of addresses that the installation's networks are cut from.
    subnet: str
    created: float
    version: int = 1
    #: Whether the admin's password was shown once.
    announced: bool = False


@dataclass(frozen=True)
class State:
    """Paths under the state folder; an absolute path that means the same in the manager."""

    root: Path

    @property
    def config(self) -> Path:
        """The operator's file."""
        return self.root / "config.yaml"

    @property
    def install(self) -> Path:
        """The record of decisions."""
        return self.root / "install.json"

    @property
    def run(self) -> Path:
        """Rendered settings."""
        return self.root / "run"

    @property
    def compose_env(self) -> Path:
        """Variables of ``compose.yaml``."""
        return self.run / "compose.env"

    @property
    def compose_more(self) -> Path:
        """A second compose file, where plugins need more than ``compose.yaml`` gives."""
        return self.run / "compose.more.yaml"

    @property
    def secrets(self) -> Path:
        """Folder of secrets, one folder per holder."""
        return self.root / "secrets"

    @property
    def hub(self) -> Path:
        """Database of the hub and its backups."""
        return self.root / "hub"

    @property
    def portal(self) -> Path:
        """What the portal's plugins keep: the database of usage, among others."""
        return self.root / "portal"

    @property
    def api(self) -> Path:
        """What the API engine's plugins keep: the database of what is published."""
        return self.root / "api"

    @property
    def plugins(self) -> Path:
        """Wheel files of plugins."""
        return self.root / "plugins"

    @property
    def features(self) -> Path:
        """Folder with the answer to which features there are; every part sees it."""
        return self.run / "features"

    @property
    def config_folder(self) -> Path:
        """Files with further traits, loaded last."""
        return self.hub / "jupyterhub_config.d"

    def read_install(self) -> Install | None:
        """Return the record, or None before the first start."""
        try:
            return msgspec.json.decode(self.install.read_bytes(), type=Install)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise ConfigurationError(
                f"{self.install} cannot be read: {error}. Restore it from a copy, or delete it: "
                "addresses are then chosen anew"
            ) from None

    def write_install(self, install: Install) -> None:
        """Replace the record."""
        content = json.dumps(msgspec.to_builtins(install), indent=2) + "\n"
        write_bytes(self.install, content.encode(), mode=0o600)


def find_state() -> State:
    """Return the state folder that ``JULIABOX_STATE`` names, or the default."""
    given = Path(os.environ.get("JULIABOX_STATE") or "/var/lib/juliabox")
    root = (Path.cwd() / given).resolve()
    # the path stands in URLs, in variables of compose and in the kernel's list of mounts
    if len(os.fsencode(root)) > _LONGEST_STATE or not re.fullmatch(r"[\w./+@=~-]+", str(root)):
        raise ConfigurationError(
            f"the state folder {root} must be a path of at most {_LONGEST_STATE} bytes that has "
            "letters, digits and . _ - + @ = ~ only; set JULIABOX_STATE"
        )
    return State(root)


def refuse_foreign(state: State) -> None:
    """Refuse a folder that holds others' files and no configuration of JuliaBox.

    Its mode would be changed, and a slip such as ``JULIABOX_STATE=/tmp`` would hurt the host.
    """
    if not state.root.is_dir() or state.config.exists() or state.install.exists():
        return
    ours = {*LAYOUT, "lost+found"}
    others = sorted(
        path.name
        for path in state.root.iterdir()
        if path.name not in ours and not path.name.startswith(f".{state.config.name}.")
    )
    if others:
        raise ConfigurationError(
            f"{state.root} is not a state folder of JuliaBox: it holds {others[0]} and no "
            "config.yaml. Set JULIABOX_STATE to a folder that is new or empty",
            code="state.foreign",
        )


def require_access(state: State) -> None:
    """Raise ``UnavailableError`` for somebody who may not look into the folder."""
    if state.root.exists() and not os.access(state.root, os.R_OK | os.X_OK):
        raise UnavailableError(
            f"no access to the state folder {state.root}: it belongs to root. Repeat with sudo",
            code="not_root",
        )


def delete(state: State) -> list[str]:
    """Delete what JuliaBox keeps in the folder, and the folder; return what else it holds."""
    for path in list(state.root.iterdir()):
        if not any(path.name == name or path.name.startswith(f".{name}.") for name in LAYOUT):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    with contextlib.suppress(OSError):  # a disk of its own, or others' files
        state.root.rmdir()
        return []
    return sorted(path.name for path in state.root.iterdir())


def make_folders(state: State) -> None:
    """Make the folders of the layout with their modes and owners; mend what exists."""
    ensure_folder(state.root, mode=0o700)
    for name in ("run", "secrets", "plugins", "manager", "volumes", "mounts", "slots"):
        ensure_folder(state.root / name, mode=0o700)
    ensure_folder(state.run, mode=0o755)
    ensure_folder(state.features, mode=0o755)
    ensure_folder(state.secrets, mode=0o711)
    for name in ("volumes/home", "volumes/removed"):
        ensure_folder(state.root / name, mode=0o700)
    for name in ("manager", "operator"):
        ensure_folder(state.secrets / name, mode=0o700)
    for name in ("hub", "proxy", "portal", "api"):
        ensure_folder(state.secrets / name, mode=0o700, owner=CONTROL_UID)
    ensure_folder(state.hub, mode=0o700, owner=CONTROL_UID)
    ensure_folder(state.hub / "backups", mode=0o700, owner=CONTROL_UID)
    ensure_folder(state.portal, mode=0o700, owner=CONTROL_UID)
    ensure_folder(state.api, mode=0o700, owner=CONTROL_UID)
    ensure_folder(state.config_folder, mode=0o755, owner=0)


@contextlib.contextmanager
def exclusive(state: State, wait: float = 600.0) -> Iterator[None]:
    """Keep a second ``up`` or ``down`` of the same installation out, waiting for a running one."""
    # not in the state folder: an open file there would keep `down` from unmounting it
    folder = Path("/run/juliabox")
    folder.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(str(state.root).encode()).hexdigest()[:16]
    deadline = time.monotonic() + wait
    with (folder / f"{name}.lock").open("w") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConflictError(
                        f"another juliabox command works on {state.root}; wait for it, then repeat"
                    ) from None
                time.sleep(0.2)
        yield
