"""A database that does not answer is told as such, instead of as a wrong password or a fault.

JupyterHub takes a caller whose token it cannot look up for one without a token and answers 403,
and all else that the database refuses for a fault of its own: 500. Both mislead whoever calls. Here
a database that is locked or whose disk is full answers 503, with the time to come again.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from jupyterhub.handlers.base import BaseHandler
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from tornado import web

#: Seconds after which a caller may come again.
RETRY_AFTER = 5

#: What SQLite says when the file cannot be used now, and is not damaged.
_PASSING = ("locked", "busy", "is full", "disk I/O error", "readonly database", "unable to open")

_MESSAGE = "The service's database does not answer at the moment. Try again in a few seconds."


class DatabaseAwayError(OperationalError, web.HTTPError):
    """The database cannot be used now.

    For SQLAlchemy and JupyterHub a database error, after which the session is rolled back; for
    tornado an answer, which is logged in one line.
    """

    def __init__(self, original: BaseException) -> None:
        """Say so, with what SQLite said for the log."""
        OperationalError.__init__(self, None, None, original)
        web.HTTPError.__init__(self, 503, f"database: {original}")
        self.jupyterhub_message = _MESSAGE
        self.headers = {"Retry-After": str(RETRY_AFTER)}


def tell_when_away() -> None:
    """Let the hub of this process answer 503 while its database cannot be used."""
    if event.contains(Engine, "handle_error", _translate):
        return
    event.listen(Engine, "handle_error", _translate)
    BaseHandler.get_current_user = _keeping_failure(BaseHandler.get_current_user)
    BaseHandler.prepare = _raising_failure(BaseHandler.prepare)


def _translate(context: Any) -> None:
    original = context.original_exception
    if isinstance(original, sqlite3.OperationalError) and any(
        text in str(original) for text in _PASSING
    ):
        raise DatabaseAwayError(original)


def _keeping_failure(look_up: Any) -> Any:
    """Return ``get_current_user`` that remembers that the caller could not be looked up."""

    async def get_current_user(self: Any) -> Any:
        try:
            return await look_up(self)
        except DatabaseAwayError as error:
            self.db.rollback()
            self._jupyterhub_user = None
            self.database_away = error
            return None

    return get_current_user


def _raising_failure(prepare_caller: Any) -> Any:
    """Return ``prepare`` that does not go on with a caller who could not be looked up."""

    async def prepare(self: Any) -> None:
        refused: web.HTTPError | None = None
        try:
            await prepare_caller(self)
        except web.HTTPError as error:
            refused = error
        refused = getattr(self, "database_away", None) or refused
        if refused is not None:
            raise refused

    return prepare
