"""The errors of a database by what happened; ``name`` is the plugin's, ``reason`` the driver's."""

from __future__ import annotations

from juliabox_ext.errors import (
    ConfigurationError,
    ConflictError,
    InternalError,
    JuliaBoxError,
    NoRoomError,
    RequestError,
    UnavailableError,
)


def down(name: str, reason: str) -> JuliaBoxError:
    """Return the error for a database that does not answer."""
    message = f"database {name} cannot be reached: {reason}. See that it runs and try again"
    return UnavailableError(message, code="db.unavailable")


def locked(name: str, reason: str) -> JuliaBoxError:
    """Return the error for a database, table or record that another program holds."""
    message = f"database {name} is locked by another program: {reason}. Try again"
    return UnavailableError(message, code="db.locked")


def slow(name: str, reason: str) -> JuliaBoxError:
    """Return the error for an answer that did not come in time."""
    message = f"database {name} did not answer in time: {reason}. Look at its load and try again"
    return UnavailableError(message, code="db.timeout")


def full(name: str, reason: str) -> JuliaBoxError:
    """Return the error for a database without room."""
    message = f"database {name} has no room left, nothing was written: {reason}. Free some"
    return NoRoomError(message, code="db.full")


def denied(name: str, reason: str) -> JuliaBoxError:
    """Return the error for missing rights or credentials."""
    message = (
        f"database {name} refuses access: {reason}. Mend plugins.settings.{name} or the rights"
    )
    return ConfigurationError(message, code="db.denied")


def damaged(name: str, reason: str) -> JuliaBoxError:
    """Return the error for a database that is broken, or a file that is none."""
    message = f"database {name} is damaged or no database: {reason}. Restore it from a backup"
    return ConfigurationError(message, code="db.damaged")


def invalid(name: str, reason: str) -> JuliaBoxError:
    """Return the error for a value that passed our checks and not the database's."""
    return RequestError(f"database {name} refuses a value: {reason}", code="db.invalid")


def foreign(name: str, table: str) -> JuliaBoxError:
    """Return the error for a table that somebody else made."""
    message = (
        f"database {name} has a table {table} that is not JuliaBox's; set another table_prefix"
    )
    return ConflictError(message, code="db.foreign")


def declared_otherwise(name: str, table: str, reason: str) -> JuliaBoxError:
    """Return the error for a declaration that contradicts an earlier one."""
    message = f"table {table} of database {name} was declared otherwise before: {reason}"
    return RequestError(message, code="db.schema")


def unforeseen(name: str, reason: str) -> JuliaBoxError:
    """Return the error for everything else."""
    return InternalError(f"database {name} failed: {reason}", code="db.failed")
