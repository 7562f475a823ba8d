"""JupyterHub's single-user server, prepared so that it is up a moment after it has an owner.

What runs in the end is the ordinary server with the ordinary code, started with the person's
environment: nothing that was made before is kept but modules and the results of pure functions.

- :mod:`juliabox_server.modules` loads what the server needs, without JupyterHub's database.
- :mod:`juliabox_server.rehearsal` starts the server once, for nobody, answers requests within the
  process, and throws it away: all that is loaded late or made at first use is there then.
- :mod:`juliabox_server.remembered` keeps what this computed.
- :mod:`juliabox_server.singleuser` is the server; it differs from JupyterHub's in when it asks
  things of the hub, and in telling when it listens.
"""

from collections.abc import Callable

from juliabox_server import modules

__all__ = ["load", "main", "rehearse"]


def load() -> None:
    """Load the server's modules; what is missing or broken shows when it starts."""
    modules.load()


def rehearse(is_enough: Callable[[], bool]) -> None:
    """Start the server for nobody and throw it away; raise whatever goes wrong.

    ``is_enough`` is asked between steps whether somebody waits already.
    """
    if not modules.is_another_server():
        from juliabox_server import rehearsal  # noqa: PLC0415 - heavy, and after load()

        rehearsal.rehearse(is_enough)


def main(listening: Callable[[], None]) -> None:
    """Run the server with the environment's identity until it ends.

    ``listening`` is called when its port accepts connections, except with a server of another kind
    (see :data:`juliabox_server.modules.ANOTHER`), which does not tell.
    """
    if modules.is_another_server():
        from jupyterhub.singleuser import main as run  # noqa: PLC0415

        run()
        return
    from juliabox_server.singleuser import run as run_session  # noqa: PLC0415

    run_session(listening)
