"""A distribution of somebody else's with plugins in it, as pip would install it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent


def stranger(folder: Path, source: str, entry_points: Mapping[str, str]) -> Path:
    """Write the distribution ``strange`` and return the folder to put on the path.

    ``entry_points`` maps ``group/name`` to a class of the module ``strange``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "strange.py").write_text(dedent(source))
    info = folder / "strange-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    lines = []
    for key, name in entry_points.items():
        group, _, plugin = key.partition("/")
        lines.append(f"[{group}]\n{plugin} = strange:{name}\n")
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder
