"""Debian to stand on: pulled where a registry answers, else made by debootstrap."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from juliabox_ext.errors import ConfigurationError, UnavailableError

SUITE = "bookworm"
ROOTFS = f"juliabox/rootfs:{SUITE}"
#: Seconds of silence after which a registry counts as out of reach.
PULL_TIMEOUT = 10
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Left out of the image: addresses of this machine's mirror, caches, texts nobody reads there.
LEFT_OUT = (
    "etc/apt/sources.list",
    "var/cache/apt/archives/*.deb",
    "var/cache/apt/*.bin",
    "var/lib/apt/lists/*",
    "var/log/*",
    "usr/share/doc/*/*[!t]",
    "usr/share/man/*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "dev/*",
    "etc/hostname",
    "etc/resolv.conf",
)


def ensure_rootfs(
    engine: docker.DockerClient,
    *,
    image: str,
    mirror: str,
    refresh: bool,
    report: Callable[[float], None],
) -> str:
    """Return the engine id of a Debian image; ``report`` gets the fraction done."""
    if not refresh:
        try:
            return str(engine.images.get(ROOTFS).id)
        except ImageNotFound:
            pass
    report(0.0)
    if image and _pull(engine, image):
        engine.images.get(image).tag(ROOTFS)
    else:
        _debootstrap(engine, mirror, report)
    report(1.0)
    return str(engine.images.get(ROOTFS).id)


def rootfs_mirror(engine: docker.DockerClient, mirror: str) -> str:
    """Return the Debian mirror for build stages; empty where the image names one itself."""
    labels = engine.images.get(ROOTFS).labels or {}
    if mirror or labels.get("juliabox.rootfs") != "debootstrap":
        return mirror
    script = Path(shutil.which("debootstrap") or "/usr/sbin/debootstrap")
    found = (
        re.search(r'^DEF_MIRROR="([^"]+)"', script.read_text(), re.M) if script.is_file() else None
    )
    if found is None:
        raise ConfigurationError(
            "the Debian image was made by debootstrap, which is gone, so that its mirror is not "
            "known; install debootstrap again, or set JULIABOX_APT_MIRROR"
        )
    return found[1]


def _pull(engine: docker.DockerClient, image: str) -> bool:
    """Pull with a client of its own that gives up after a short silence."""
    client = docker.APIClient(
        base_url=engine.api.base_url if engine.api.base_url.startswith("tcp") else _socket(),
        timeout=PULL_TIMEOUT,
        version="auto",
    )
    try:
        for line in client.pull(image, stream=True, decode=True):
            if "error" in line:
                return False
    except (APIError, DockerException, requests.RequestException):
        return False
    finally:
        client.close()
    return True


def _socket() -> str | None:
    return os.environ.get("DOCKER_HOST")


def _install_debootstrap() -> None:
    """Install debootstrap from the distribution, or say who must."""
    if shutil.which("debootstrap") and KEYRING.exists():
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ConfigurationError(
            "no registry gives debian:bookworm-slim and debootstrap is not installed; run as root "
            "on Debian or Ubuntu, install debootstrap, or load images (JULIABOX_IMAGES)"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-qq", "-y", "install", "--no-install-recommends"]
    packages = ["debootstrap", "debian-archive-keyring"]
    for attempt in (command, ["apt-get", "-qq", "update"], command):
        arguments = [*attempt, *packages] if attempt is command else attempt
        result = subprocess.run(
            arguments, env=environment, check=False, capture_output=True, text=True
        )
        if result.returncode == 0 and attempt is command:
            return
    raise UnavailableError(f"apt-get cannot install debootstrap: {result.stderr.strip()[-400:]}")


def _debootstrap(engine: docker.DockerClient, mirror: str, report: Callable[[float], None]) -> None:
    """Make a minimal Debian in a temporary folder and import it."""
    _install_debootstrap()
    # not in /tmp, which newer distributions mount without device files
    with tempfile.TemporaryDirectory(prefix="juliabox-debian-", dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        command = ["debootstrap", "--variant=minbase", f"--keyring={KEYRING}", SUITE, str(root)]
        _follow([*command, *([mirror] if mirror else [])], report)
        for pattern in LEFT_OUT:
            for path in root.glob(pattern):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        _import(engine, root)


def _follow(command: list[str], report: Callable[[float], None]) -> None:
    """Run debootstrap and turn its lines into a fraction."""
    expected, seen = 420, 0
    tail: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            seen += 1
            tail = [*tail[-5:], line.strip()]
            report(min(0.95, 0.95 * seen / expected))
    if process.returncode != 0:
        raise UnavailableError(
            "debootstrap cannot make the Debian image; is there a network, and a Debian mirror "
            f"(JULIABOX_APT_MIRROR)? It said: {' / '.join(tail)}"
        )


def _import(engine: docker.DockerClient, root: Path) -> None:
    """Stream the folder into the engine as an image with one layer."""
    changes = ["LABEL juliabox.rootfs=debootstrap", 'CMD ["bash"]']
    with subprocess.Popen(
        ["tar", "--numeric-owner", "--one-file-system", "-C", str(root), "-cf", "-", "."],
        stdout=subprocess.PIPE,
    ) as archive:
        repository, _, tag = ROOTFS.partition(":")
        engine.api.import_image_from_stream(
            archive.stdout, repository=repository, tag=tag, changes=changes
        )
