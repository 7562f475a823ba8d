"""The extension application: looks at kernels and terminals, and notes activity."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from tornado.ioloop import PeriodicCallback
from traitlets import Bool, Float

#: `ServerWebApplication.last_activity` takes the newest setting with this ending.
SETTING = "juliabox_last_activity"

COMPUTING = {"busy", "starting", "restarting"}


class Activity(ExtensionApp):
    """Keeps `last_activity` fresh while something computes."""

    name = "juliabox_activity"

    interval = Float(
        20,
        help="Seconds between two looks at kernels and terminals.\n\n"
        "Must be well below the idle culler's time-out.",
    ).tag(config=True)
    terminals = Bool(
        True,
        help="Whether a program that runs in a terminal's foreground counts.\n\n"
        "A shell that waits at its prompt never does.",
    ).tag(config=True)

    def initialize_settings(self) -> None:
        """Start looking, on the server's event loop."""
        self._timer = PeriodicCallback(self.look, self.interval * 1000)
        self._timer.start()

    async def stop_extension(self) -> None:
        """Stop looking."""
        self._timer.stop()

    def look(self) -> None:
        """Note activity if anything computes now."""
        server = self.serverapp
        if server is not None and any(self._computing(server)):
            server.web_app.settings[SETTING] = datetime.now(UTC)

    def _computing(self, server: ServerApp) -> Iterator[bool]:
        kernels = server.kernel_manager
        for kernel_id in list(kernels.list_kernel_ids()):
            kernel = kernels.get_kernel(kernel_id)
            yield getattr(kernel, "execution_state", "idle") in COMPUTING
        manager = server.web_app.settings.get("terminal_manager")
        if self.terminals and manager:
            for terminal in list(manager.terminals.values()):
                yield has_foreground_program(terminal)


def has_foreground_program(terminal: Any) -> bool:
    """Say whether a terminal's foreground is anything but its shell."""
    process = getattr(terminal, "ptyproc", None)
    if process is None:
        return False
    try:
        return os.tcgetpgrp(process.fd) != os.getpgid(process.pid)
    except OSError:
        return False
