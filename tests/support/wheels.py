"""Wheels of strangers, built as their authors would."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "juliabox-greeting"


def build(source: Path, folder: Path) -> Path:
    """Build the wheel of a project, from a copy of it, with the tools that are here."""
    copy = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "build", "dist")
    shutil.copytree(source, copy, ignore=ignored)
    command = ["build", "--wheel", "--no-isolation", "--outdir", str(folder), str(copy)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def small(folder: Path, name: str, code: str, entry: str = "", requires: str = "") -> Path:
    """Build the wheel of a package with one module; ``entry`` is ``group: name = Class``."""
    module = name.replace("-", "_")
    source = folder / f"{module}-project"
    source.mkdir(parents=True)
    (source / f"{module}.py").write_text(textwrap.dedent(code))
    group, _, rest = entry.partition(": ")
    plugin, _, target = rest.partition(" = ")
    entries = f'[project.entry-points."{group}"]\n{plugin} = "{module}:{target}"\n' if entry else ""
    needed = f'dependencies = ["{requires}"]\n' if requires else ""
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\n{needed}{entries}'
        f'[tool.setuptools]\npy-modules = ["{module}"]\n'
    )
    made = folder / name
    made.mkdir()
    return build(source, made)
