"""What the operator may choose about images."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from juliabox_ext.errors import ConfigurationError

JULIA_SOURCES = ("auto", "official", "debian")


def _host_ca_bundle() -> Path | None:
    """Return the CA bundle that the host's own tools are told to use, if any."""
    for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        value = os.environ.get(name)
        if value and Path(value).is_file():
            return Path(value)
    return None


@dataclass(frozen=True)
class BuildOptions:
    """What the operator may choose; ``from_environment`` reads the ``JULIABOX_*`` variables.

    Mirrors, indexes and the CA bundle are used by build stages only and never reach an image.
    """

    #: ``auto``, ``official`` or ``debian``.
    julia_source: str = "auto"
    #: Image that is tried first for Debian; empty: make it with debootstrap at once.
    debian_image: str = "debian:bookworm-slim"
    #: Base URL of a Debian mirror, http or https; empty: Debian's default.
    apt_mirror: str = ""
    #: URLs of a Python index and an npm registry; empty: the tools' defaults.
    pip_index: str = ""
    npm_registry: str = ""
    #: PEM file that build stages trust; none: Debian's own.
    ca_bundle: Path | None = None
    #: Folder with ``*.tar`` made by ``docker save``, loaded before anything is built.
    folder: Path | None = None
    #: Registry prefix, such as ``registry.example.org/team``, pulled from before building.
    registry: str = ""
    #: Proxy variables, which the engine keeps out of an image's history.
    proxies: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> BuildOptions:
        """Read ``JULIA_SOURCE``, ``JULIABOX_*`` and the host's CA, index and proxy variables."""
        get = os.environ.get
        folder = get("JULIABOX_IMAGES")
        names = ("http_proxy", "https_proxy", "no_proxy")
        proxies = {n: v for n in (*names, *map(str.upper, names)) if (v := get(n))}
        return cls(
            julia_source=get("JULIA_SOURCE", "auto"),
            debian_image=get("JULIABOX_DEBIAN_IMAGE", "debian:bookworm-slim"),
            apt_mirror=get("JULIABOX_APT_MIRROR", ""),
            pip_index=get("PIP_INDEX_URL", ""),
            npm_registry=get("NPM_CONFIG_REGISTRY", ""),
            ca_bundle=_host_ca_bundle(),
            folder=Path(folder) if folder else None,
            registry=get("JULIABOX_REGISTRY", ""),
            proxies=proxies,
        )

    def check(self) -> None:
        """Raise ``ConfigurationError`` for a value that cannot be honoured."""
        if self.julia_source not in JULIA_SOURCES:
            raise ConfigurationError(
                f"JULIA_SOURCE is {self.julia_source!r}; it must be one of "
                f"{', '.join(JULIA_SOURCES)}"
            )
        if self.folder is not None and not self.folder.is_dir():
            raise ConfigurationError(f"JULIABOX_IMAGES: there is no folder {self.folder}")
