"""The tables of the engine as coroutines."""

from __future__ import annotations

from juliabox_ext.errors import ConflictError, NotFoundError, PluginError, UnavailableError
from juliabox_services.api.tables import Tables
from juliabox_services.database_work import DatabaseWork

#: Threads that wait for the database.
THREADS = 4
#: Seconds that a piece of work may take.
PATIENCE = 10.0


class Store(DatabaseWork[Tables]):
    """The way to the tables from the event loop; its error is ``api.database``.

    ``ConflictError`` and ``NotFoundError`` of the database pass.
    """

    def __init__(self, tables: Tables, patience: float = PATIENCE) -> None:
        passing = (ConflictError, NotFoundError, PluginError)
        super().__init__(tables, _down, threads=THREADS, patience=patience, passing=passing)


def _down(reason: str) -> UnavailableError:
    return UnavailableError(
        f"The database of the API engine cannot be used: {reason}. Calls go on meanwhile; changes, "
        "logs and figures wait",
        code="api.database",
    )
