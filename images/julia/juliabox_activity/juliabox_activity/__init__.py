"""Jupyter Server extension that counts a running computation as activity.

JupyterHub asks the server when it last did something. A cell that computes for hours and prints
nothing does not count there, so the idle culler would end it. While a kernel is busy or starting,
or a program runs in a terminal, this extension keeps the server's last activity fresh.
"""

from typing import Any

from juliabox_activity.watch import Activity

__all__ = ["Activity"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "juliabox_activity", "app": Activity}]
