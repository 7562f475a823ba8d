"""Loading the server's modules, without those that only a hub needs."""

import contextlib
import gc
import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

#: Variables that choose another kind of single-user server; they are read at import.
ANOTHER = ("JUPYTERHUB_SINGLEUSER_APP", "JUPYTERHUB_SINGLEUSER_EXTENSION")

#: Modules that every start of the server loads, beside its handlers and the image's extensions.
SERVER = ("jupyter_server.serverapp", "jupyterlab.labapp", "tornado.platform.asyncio")

#: What JupyterHub's single-user part imports and never uses: the hub's database and pages. They
#: are a quarter of the server's memory and a third of its loading.
HUB_ONLY = (
    "jupyterhub.handlers",
    "jupyterhub.handlers.pages",
    "jupyterhub.orm",
    "sqlalchemy",
    "sqlalchemy.exc",
)


def is_another_server() -> bool:
    """Tell whether the environment asks for another kind of single-user server."""
    return any(os.environ.get(name) for name in ANOTHER)


def load() -> None:
    """Load what the server will need; report what cannot be loaded, and go on."""
    # nothing is thrown away meanwhile
    gc.disable()
    try:
        load_singleuser()
        for name in (*SERVER, *extensions()):
            load_one(name)
        server = sys.modules.get("jupyter_server.serverapp")
        handlers: dict[str, list[str] | None] = getattr(server, "JUPYTER_SERVICE_HANDLERS", {})
        for names in handlers.values():
            for name in names or ():
                load_one(name)
    finally:
        gc.enable()


def load_one(name: str) -> None:
    """Import a module; a broken one must not stop the start here."""
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"juliabox: {name} cannot be loaded: {error!r}", file=sys.stderr, flush=True)


def load_singleuser() -> None:
    """Load JupyterHub's single-user part, with stand-ins for what only a hub needs.

    A version of it that needs more of them gets all as it is.
    """
    if not is_another_server():
        try:
            with stand_ins():
                importlib.import_module("juliabox_server.singleuser")
            return
        except Exception:
            for name in [name for name in sys.modules if name.startswith("jupyterhub")]:
                del sys.modules[name]
    load_one("jupyterhub.singleuser")


class StandIn(ModuleType):
    """A module whose every member is an empty class."""

    def __getattr__(self, name: str) -> Any:
        """Return the empty class."""
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})


@contextlib.contextmanager
def stand_ins() -> Iterator[None]:
    """Have stand-ins in the place of :data:`HUB_ONLY`; who imports these later gets the real."""
    absent = [name for name in HUB_ONLY if name not in sys.modules]
    sys.modules.update({name: StandIn(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def extensions() -> list[str]:
    """Return the server extensions that the image (not the person) enables."""
    names: dict[str, bool] = {}
    folders = [f"{sys.prefix}/etc/jupyter", *os.environ.get("JUPYTER_CONFIG_PATH", "").split(":")]
    for folder in filter(None, folders):
        for file in sorted(Path(folder, "jupyter_server_config.d").glob("*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                names.update(json.loads(file.read_text())["ServerApp"]["jpserver_extensions"])
    return [name for name, enabled in names.items() if enabled]
