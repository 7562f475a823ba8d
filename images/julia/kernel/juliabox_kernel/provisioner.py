"""Gives the next notebook the kernel that was started ahead."""

import os
import sys
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

from juliabox_kernel.warm import take

#: What a start may ask for that the kernel started ahead can give.
GIVEN = {"cwd", "env", "extra_arguments", "kernel_id"}


def connection_file(command: list[str]) -> str | None:
    """Return the argument of a command that is this kernel's own, None for any other."""
    start = [sys.executable, "-m", "juliabox_kernel", "-f"]
    return command[-1] if command[:-1] == start else None


def is_folder(path: str) -> bool:
    """Whether a kernel can start there."""
    return Path(path).is_dir()


class WarmProvisioner(LocalProvisioner):
    """Starts a kernel as usual, or takes the one that was started ahead and owns it alike."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Take the kernel that was started ahead; start one where there is none that fits."""
        file = connection_file(cmd)
        folder = str(kwargs.get("cwd") or Path.cwd())
        fits = file is not None and set(kwargs) <= GIVEN and is_folder(folder)
        warm = take() if fits else None
        environment = dict(kwargs.get("env") or os.environ)
        environment["JPY_PARENT_PID"] = str(os.getpid())
        if file is None or warm is None or not warm.hand_over(file, folder, environment):
            return await super().launch_kernel(cmd, **kwargs)
        self.process = warm.process
        self.pid = self.pgid = warm.process.pid  # the leader of a session of its own
        self.cwd = Path(folder)
        return self.connection_info
