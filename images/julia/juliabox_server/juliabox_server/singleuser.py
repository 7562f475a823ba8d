"""JupyterHub's single-user server; it asks less of the hub at first, and tells when it listens.

It is changed in place: a class of our own would be another extension, loaded in another order.
"""

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.paths import jupyter_path
from jupyter_server.serverapp import ServerApp
from jupyterhub.singleuser.extension import JupyterHubSingleUser

from juliabox_server import remembered

_keep_activity_updated = JupyterHubSingleUser.keep_activity_updated


async def check_hub_version(_: JupyterHubSingleUser) -> None:
    """Leave it to the hub, which compares the versions by the header of the first answer."""


async def keep_activity_updated(server: JupyterHubSingleUser) -> None:
    """Tell the hub of activity, but not at once: it has just started this server."""
    await asyncio.sleep(server.hub_activity_interval * random.uniform(0.5, 1))  # noqa: S311
    await _keep_activity_updated(server)


def run(listening: Callable[[], None]) -> None:
    """Start with the environment's identity, and run until it ends.

    ``listening`` is called when the port is open and the loop runs.
    """

    async def started(*_: Any) -> None:
        listening()

    change()
    JupyterHubSingleUser._start_jupyter_server_extension = started
    JupyterHubSingleUser.launch_instance()


def prepare() -> ServerApp:
    """Make a server as :func:`run` does, without a port and without metrics of the process."""
    change()
    server = JupyterHubSingleUser.make_serverapp(jpserver_extensions={"jupyterhub": True})
    server.aliases.update(JupyterHubSingleUser.aliases)
    server.init_metrics = lambda: None
    server.initialize(argv=[], starter_extension=JupyterHubSingleUser.name, new_httpserver=False)
    return server


def kernel_dirs(_: KernelSpecManager) -> list[str]:
    """Name the folders of kernel specs as by default, where IPython is loaded to name its own."""
    ipython = os.environ.get("IPYTHONDIR") or str(Path.home() / ".ipython")
    return [*jupyter_path("kernels"), os.path.join(ipython, "kernels")]  # noqa: PTH118


def change() -> None:
    """Change the class, and the libraries for the environment's prefix."""
    KernelSpecManager._kernel_dirs_default = kernel_dirs
    JupyterHubSingleUser.check_hub_version = check_hub_version
    JupyterHubSingleUser.keep_activity_updated = keep_activity_updated
    remembered.install(os.environ.get("JUPYTERHUB_SERVICE_PREFIX", ""))
