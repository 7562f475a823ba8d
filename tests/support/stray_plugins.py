"""A package of plugins as a stranger would install it, laid out in a folder of its own."""

from __future__ import annotations

from pathlib import Path


def lay_out(
    folder: Path, source: str, *, name: str = "jbt-stray", version: str = "1.0", **plugins: str
) -> Path:
    """Write a distribution with one module of tasks; return the folder to put on the path.

    ``plugins`` maps names to class names; an underscore in a name stands for a hyphen.
    """
    module = name.replace("-", "_")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    entries = "".join(
        f"{plugin.replace('_', '-')} = {module}:{class_}\n" for plugin, class_ in plugins.items()
    )
    (info / "entry_points.txt").write_text(f"[juliabox.task]\n{entries}")
    return folder
