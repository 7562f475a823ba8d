"""Install what the tests need of the distribution, and see that a Docker engine answers.

``make test`` runs this first, so that a machine with nothing on it passes.
"""

from __future__ import annotations

import os
import shutil
import sys

from juliabox_cli.engine_install import ensure_engine, install_packages

#: Command that shows whether a package is there -> the packages to install if it is not.
NEEDED = {
    "chromium": ("chromium", "fonts-dejavu-core"),
    "debootstrap": ("debootstrap",),
    "git": ("git",),
    "ip": ("iproute2",),
    "iptables": ("iptables",),
    "mkfs.ext4": ("e2fsprogs",),
    "nft": ("nftables",),
    "openssl": ("openssl",),
    "pg_ctlcluster": ("postgresql",),
    "runsv": ("runit",),
    "unshare": ("util-linux",),
}


def missing_packages() -> list[str]:
    """Return the packages whose command is not on the PATH."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [
        name
        for command, packages in NEEDED.items()
        if shutil.which(command, path=path) is None
        for name in packages
    ]


def main() -> None:
    """Install what is missing; say what is done, since it can take a minute."""
    if os.geteuid() != 0:
        sys.exit("The tests need root: they mount disks and enter network namespaces. Use sudo.")
    if packages := missing_packages():
        print(f"Installing {', '.join(packages)}", flush=True)
        install_packages(packages)
    print(f"Docker engine: {ensure_engine(lambda step, fraction: print(step, flush=True))}")


if __name__ == "__main__":
    main()
