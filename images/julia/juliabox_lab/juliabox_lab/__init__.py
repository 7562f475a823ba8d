"""Jupyter Server extension: JupyterLab is sent compressed, and work that can wait does.

JupyterLab is 5 MB of scripts, which Jupyter Server sends as they are. The image has each of them
compressed beside itself (``lab.sh``), so that to send the small one costs nothing.
"""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "juliabox_lab"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Serve JupyterLab's files; it is loaded behind us, since extensions are in order of names."""
    # not needed by who looks for extensions alone
    from jupyter_server.utils import url_path_join  # noqa: PLC0415
    from jupyterlab_server import handlers  # noqa: PLC0415

    from juliabox_lab.exporters import Exporters  # noqa: PLC0415
    from juliabox_lab.files import StaticFiles  # noqa: PLC0415

    application = server.web_app
    application.settings["static_handler_class"] = StaticFiles
    # the files of JupyterLab's extensions have a handler that no setting names
    handlers.FileFindHandler = StaticFiles
    listing = url_path_join(application.settings["base_url"], "api/nbconvert")
    application.add_handlers(".*$", [(listing, Exporters)])
