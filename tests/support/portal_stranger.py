"""A stranger's distribution of plugins, as ``pip`` would lay it out, for a process's PYTHONPATH."""

from __future__ import annotations

import shutil
from pathlib import Path

ENTRY_POINTS = """\
[juliabox.handler]
stand-pages = stand_plugins:Pages
stand-broken-pages = stand_plugins:BrokenPages
stand-outside = stand_plugins:Outside

[juliabox.ui]
stand-piece = stand_plugins:Piece
stand-broken-piece = stand_plugins:BrokenPiece

[juliabox.cloud]
stand-no-compute = stand_plugins:NoCompute
"""

#: All of them, and the built-in ones that the portal's own pages need.
NAMES = ["rdbms", "usage"] + [
    line.partition(" = ")[0] for line in ENTRY_POINTS.splitlines() if line.startswith("stand-")
]


def install(folder: Path) -> str:
    """Lay the distribution out in a folder; return the PYTHONPATH that makes it installed."""
    info = folder / "stranger-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    package = folder / "stand_plugins"
    if not package.exists():
        shutil.copytree(Path(__file__).parent / "stand_plugins", package)
        # a way out of the folder that is served
        (package / "static" / "out.txt").symlink_to(package / "__init__.py")
    return str(folder)
