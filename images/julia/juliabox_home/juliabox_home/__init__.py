"""Jupyter Server extension: a person's home as one file to download, and its Julia packages.

Both are read by the server itself, as the person's own uid: nothing else of JuliaBox ever opens a
file in a home.
"""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    # not needed by who reads archives or packages alone
    from juliabox_home.handlers import Home  # noqa: PLC0415

    return [{"module": "juliabox_home", "app": Home}]
