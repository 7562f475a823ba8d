"""Configuration of the single-user server in the session image.

The user's own files in ~/.jupyter come on top. Addresses, names and tokens come from the hub.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

c = get_config()

HOME = "/home/juser"
RUNTIME = os.environ.get("JUPYTER_RUNTIME_DIR", "/run/juliabox/jupyter")


def limit(name: str) -> float:
    """Return a limit that the manager put into the environment; 0 means none."""
    try:
        return float(os.environ.get(name) or 0)
    except ValueError:
        return 0


def julia_kernel() -> str:
    """Return the name of the image's Julia kernel."""
    folders = sorted(Path("/opt/venv/share/jupyter/kernels").glob("julia*"))
    return folders[-1].name if folders else "python3"


def portal_origin() -> str:
    """Return who may show this server in a frame: the portal's origin, as a source of CSP.

    Without subdomains that is this server's own; with them it is the service's host, which the
    hub names after the service.
    """
    parts = urlsplit(os.environ.get("JUPYTERHUB_HOST", ""))
    return f"{parts.scheme}://portal--service.{parts.netloc}" if parts.netloc else "'self'"


# a line for each extension and request would pass through the engine, which is slower than the rest
c.Application.log_level = "WARN"
# JupyterHub's extension would refuse every frame
c.ServerApp.tornado_settings = {
    "headers": {"Content-Security-Policy": f"frame-ancestors {portal_origin()}"}
}
# the path of the session's cookies: JupyterHub takes it from the environment when it is imported,
# which the entry program does before there is one
c.HubAuth.base_url = os.environ.get("JUPYTERHUB_SERVICE_PREFIX") or "/"
c.ServerApp.root_dir = HOME
c.ServerApp.default_url = "/lab"
c.ServerApp.terminals_enabled = True
c.ServerApp.terminado_settings = {"shell_command": ["/bin/bash", "-l"]}
c.ServerApp.allow_origin = ""
c.ServerApp.allow_remote_access = True
c.ServerApp.max_body_size = 2 * 1024**3
c.ServerApp.max_buffer_size = 2 * 1024**3
c.ServerApp.websocket_compression_options = {}
# neither language servers nor the classic notebook are in the image
c.ServerApp.jpserver_extensions = {"jupyter_lsp": False, "notebook_shim": False}
c.ServerApp.shutdown_no_activity_timeout = 0
c.ContentsManager.allow_hidden = True
c.FileContentsManager.delete_to_trash = False
c.FileContentsManager.use_atomic_writing = True
c.MultiKernelManager.default_kernel_name = julia_kernel()
# the image has Python's kernel spec in a file; else all of IPython is loaded to make it
c.KernelSpecManager.ensure_native_kernel = False

# no database in the home: one that is full, or on which SQLite cannot lock, still opens
c.BaseFileIdManager.db_path = f"{RUNTIME}/file-id.sqlite"
c.SQLiteYStore.db_path = f"{RUNTIME}/collaboration.sqlite"
c.HistoryManager.hist_file = ":memory:"

# nothing is fetched from, or installed into, a read-only image
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"

c.ResourceUseDisplay.mem_limit = int(limit("MEM_LIMIT"))
c.ResourceUseDisplay.track_cpu_percent = True
# in percent of one core, as the display counts
c.ResourceUseDisplay.cpu_limit = limit("CPU_LIMIT") * 100
c.ResourceUseDisplay.track_disk_usage = True
c.ResourceUseDisplay.disk_path = HOME
c.ResourceUseDisplay.enable_prometheus_metrics = False
