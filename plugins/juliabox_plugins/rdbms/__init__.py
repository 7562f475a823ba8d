"""Records in SQLite or PostgreSQL: the plugin ``rdbms``."""

from juliabox_plugins.rdbms.plugin import Rdbms, RdbmsSettings

__all__ = ["Rdbms", "RdbmsSettings"]
