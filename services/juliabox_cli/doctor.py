"""``juliabox doctor``: small checks of everything that an installation stands on."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from juliabox_cli import health, images, mounts
from juliabox_cli.compose import find_program, parts_of
from juliabox_cli.docker_engine import SESSION_LABEL, check_version
from juliabox_cli.installation import Installation
from juliabox_cli.login_checks import login_problems
from juliabox_cli.plugin_choice import choose
from juliabox_cli.units import show_size
from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.protocol import ImageInfo, ImageList, PoolInfo, PoolList

#: Seconds after which a mount that seemed to be nobody's is looked at again.
SETTLE_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    name: str
    ok: bool
    message: str
    #: What to do; empty when all is well.
    cure: str = ""

    def document(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {"name": self.name, "ok": self.ok, "message": self.message, "cure": self.cure}


class Broken(Exception):
    """A check's way to say what is wrong and what to do."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


Check = Callable[[Installation], str]


def examine(installation: Installation) -> list[Finding]:
    """Run every check; a check that fails, or cannot run, never keeps the others from running."""
    return list(_examine(installation))


def _examine(installation: Installation) -> Iterator[Finding]:
    for name, check in CHECKS.items():
        try:
            yield Finding(name, True, check(installation))
        except Broken as error:
            yield Finding(name, False, error.message, error.cure)
        except JuliaBoxError as error:
            yield Finding(name, False, error.message, "do what the message says, then repeat")
        except (requests.RequestException, OSError) as error:
            yield Finding(
                name,
                False,
                f"could not be checked: {error}",
                "mend the failures above first; see `juliabox --debug doctor`",
            )


def check_engine(installation: Installation) -> str:
    """The engine answers and is new enough."""
    version = installation.engine.version()
    check_version(version)
    program = find_program()
    if program is None:
        raise Broken("compose is not installed", "`apt-get install docker-compose`")
    return f"Docker {version['Version']}, API {version['ApiVersion']}, {' '.join(program)}"


def check_images(installation: Installation) -> str:
    """The images of this version of JuliaBox are on the engine."""
    missing = images.missing_images(installation.config, installation.engine)
    if missing:
        raise Broken(f"missing: {', '.join(missing)}", "`juliabox up` or `juliabox image build`")
    return f"{', '.join(images.USED)} are present"


def check_sockets(installation: Installation) -> str:
    """The service's port is ours, and the engine's socket is closed to others."""
    path = Path(installation.engine.socket)
    if path.stat().st_mode & 0o002:
        raise Broken(
            f"{path} may be written by everybody, who so becomes root", f"`chmod 660 {path}`"
        )
    config = installation.config
    with socket.socket() as probe:
        probe.settimeout(3)
        if probe.connect_ex((config.local_address, config.port)):
            raise Broken(
                f"nothing listens on {config.bind}:{config.port}",
                "`juliabox up`; if it fails, `juliabox logs proxy`",
            )
    return f"{path} is closed to others; the service listens on {config.bind}:{config.port}"


def check_mounts(installation: Installation) -> str:
    """The state folder is shared, and no home is mounted that no session uses."""
    root = installation.state.root
    if not mounts.is_shared(root):
        raise Broken(f"{root} is not a shared mount", "`juliabox up` makes it one")
    mounted, containers, stray = _look_at_mounts(installation)
    if stray:
        # a session that starts or ends has its home for a moment before and after its container
        time.sleep(SETTLE_SECONDS)
        mounted, containers, still = _look_at_mounts(installation)
        stray &= still
    if stray:
        raise Broken(
            f"{len(stray)} mounts without their session: {min(stray)}",
            "the manager undoes them within a minute; else `juliabox down`, then `juliabox up`",
        )
    loops = mounts.left_loops(root)
    if len(loops) > len(mounted):
        raise Broken(
            f"{len(loops)} loop devices for {len(mounted)} mounted homes",
            "the manager frees them within a minute; else `juliabox down`, then `juliabox up`",
        )
    return (
        f"{root} is shared; {len(mounted)} homes mounted; {len(containers)} containers, warm ones "
        "among them"
    )


def _look_at_mounts(
    installation: Installation,
) -> tuple[list[Path], list[dict[str, Any]], set[Path]]:
    """Return mounted homes, containers, and the mounts that belong to none of these."""
    root = installation.state.root
    points = mounts.left_mounts(root)
    containers = _session_containers(installation)
    sessions = {root / "slots" / one["Config"]["Labels"][SESSION_LABEL] for one in containers}
    mounted = [point for point in points if point.parent == root / "mounts"]
    # a home is mounted once, and shown in the slot of each of its sessions; warm ones have none
    shown = [point for point in points if root / "slots" in point.parents]
    stray = {point for point in shown if sessions.isdisjoint(point.parents)}
    return mounted, containers, stray | set(() if shown else mounted)


def check_policy(installation: Installation) -> str:
    """Every running session's network namespace holds our table of rules."""
    running = [one for one in _session_containers(installation) if one["State"].get("Running")]
    for one in running:
        done = mounts.run_in_network(
            int(one["State"]["Pid"]), "nft", "list", "table", "inet", "juliabox"
        )
        if done is None:
            raise Broken("the program nft is missing", "`apt-get install nftables`")
        if not done:
            raise Broken(
                f"session {one['Name'].lstrip('/')} runs without its network policy",
                f"`docker rm -f {one['Name'].lstrip('/')}`; then look at `juliabox logs manager`",
            )
    return f"in place in {len(running)} containers, warm ones among them"


def check_disk(installation: Installation) -> str:
    """There is room for homes and images."""
    free = shutil.disk_usage(installation.state.root).free
    reserve = installation.config.capacity.disk_reserve
    if free < reserve:
        raise Broken(
            f"only {show_size(free)} free, less than capacity.disk_reserve ({show_size(reserve)}): "
            "no session can start",
            "free some space, or move the state folder to a larger disk",
        )
    return f"{show_size(free)} free"


def check_clock(installation: Installation) -> str:
    """The clock is not behind what was recorded, and not before this software was made."""
    install = installation.state.read_install()
    now = time.time()
    recorded = max(
        install.created if install else 0.0,
        *(path.stat().st_mtime for path in installation.state.run.glob("*")),
        0.0,
    )
    if now < recorded - 60:
        raise Broken(
            f"the clock is {recorded - now:.0f} s behind the newest file of the state folder",
            "set the clock (`timedatectl set-ntp true`); log-ins expire by it",
        )
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))


def check_logins(installation: Installation) -> str:
    """Each log-in of the file is installed, its settings are whole, and its secret is there."""
    config = installation.config
    problems = login_problems(config, installation.state, choose(config))
    if problems:
        raise Broken("; ".join(problems), "mend `plugins.settings` as told, then `juliabox up`")
    return f"{', '.join(config.authentication.login)} can be used"


def check_part(part: str) -> Check:
    """Return the check that one part does its work."""

    def check(installation: Installation) -> str:
        if part not in parts_of(installation.config):
            return "is switched off"
        seen = health.probe(installation.config, installation.engine, installation.manager)[part]
        if not seen.running:
            reason = seen.detail.get("reason") or f"its container is {seen.state}"
            raise Broken(str(reason), f"`juliabox up`; if it fails, `juliabox logs {part}`")
        return f"answers; restarted {seen.detail['restarts']} times"

    return check


def check_allow_list(installation: Installation) -> str:
    """The manager's session images are on the engine."""
    allowed: list[ImageInfo] = installation.manager.call(ImageList(), timeout=5.0)
    absent = [one.image for one in allowed if not one.present]
    if absent:
        raise Broken(f"not on the engine: {', '.join(absent)}", "`juliabox up` brings them back")
    return f"{', '.join(one.image for one in allowed)}"


def check_pools(installation: Installation) -> str:
    """Each pool of warm containers has what it wants, or is being filled."""
    pools: list[PoolInfo] = installation.manager.call(PoolList(), timeout=5.0)
    short = [f"{one.image}: {one.reason}" for one in pools if one.reason]
    if short:
        raise Broken(
            f"fewer warm containers than wanted, so sessions start cold ({'; '.join(short)})",
            "see docs/how-to/pools.md; less in `pool.size` or more in `pool.memory` helps, "
            "then `juliabox up`",
        )
    return f"{sum(one.ready for one in pools)} of {sum(one.wanted for one in pools)} are ready"


def _session_containers(installation: Installation) -> list[dict[str, Any]]:
    found = installation.engine.containers(installation.config.name)
    return [one for one in found if SESSION_LABEL in (one["Config"].get("Labels") or {})]


CHECKS: dict[str, Check] = {
    "engine": check_engine,
    "images": check_images,
    "sockets": check_sockets,
    "mounts": check_mounts,
    "network policy": check_policy,
    "disk": check_disk,
    "clock": check_clock,
    "manager": check_part("manager"),
    "hub": check_part("hub"),
    "log-ins": check_logins,
    "portal": check_part("portal"),
    "api": check_part("api"),
    "proxy": check_part("proxy"),
    "session images": check_allow_list,
    "pools": check_pools,
}
