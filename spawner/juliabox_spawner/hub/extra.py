"""The operator's own ``jupyterhub_config.d/*.py``, loaded last."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from juliabox_ext.errors import ConfigurationError
from juliabox_spawner.options import check_config


def load_extra_config(c: Any, folder: Path | None) -> None:
    """Run the files of a folder in order of name, with ``c`` and ``get_config`` as usual.

    Raise ``ConfigurationError`` that names file and line, and for options that cannot be honoured.
    """
    for path in sorted(folder.glob("*.py")) if folder and folder.is_dir() else []:
        _run(c, path)
    check_config(c)


def _run(c: Any, path: Path) -> None:
    names = {"c": c, "get_config": lambda: c, "__file__": str(path), "__name__": path.stem}
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), names)  # noqa: S102  # operator's file
    except SyntaxError as error:
        raise ConfigurationError(f"{path}, line {error.lineno}: {error.msg}") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(frames) if f.filename == str(path)), "?")
        raise ConfigurationError(f"{path}, line {line}: {type(error).__name__}: {error}") from error
