"""The idle culler, with its token kept out of what it logs.

jupyterhub-idle-culler hands its token to a callback, and tornado prints a callback with all its
arguments when it fails, as it does whenever the hub is away for a moment.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from jupyterhub_idle_culler import IdleCuller  # type: ignore[import-untyped]


class QuietToken(logging.Filter):
    """Replaces a secret in messages and tracebacks."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secret = secret

    def filter(self, record: logging.LogRecord) -> bool:
        """Admit each record, its message without the secret."""
        if self._secret:
            message = record.getMessage()
            if self._secret in message:
                record.msg, record.args = message.replace(self._secret, "[secret]"), ()
            if record.exc_info and record.levelno >= logging.ERROR:
                # the hub being away needs no traceback
                record.msg = f"{record.getMessage().split(chr(10))[0]}: {record.exc_info[1]}"
                record.args, record.exc_info = (), None
        return True


def main() -> Any:
    """Run the culler until it is stopped."""
    quiet = QuietToken(os.environ.get("JUPYTERHUB_API_TOKEN", ""))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in ("", "asyncio", "tornado.application", "tornado.general"):
        logging.getLogger(name).addFilter(quiet)
    for handler in logging.getLogger().handlers:
        handler.addFilter(quiet)
    return IdleCuller.launch_instance()


if __name__ == "__main__":
    main()
