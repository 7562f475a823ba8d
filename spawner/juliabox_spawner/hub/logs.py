"""What the hub's log must not have: tokens put into an address, and the ids of people's log-ins."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

_SECRET_PARAMETER = re.compile(r"((?:token|_xsrf|code|state|password)=)[^&\s\"')]+", re.IGNORECASE)
#: What JupyterHub prints for each XSRF token that it makes; it begins with the log-in's session id.
_XSRF_ID = re.compile(r"(xsrf (?:cookie for|id mismatch) )b'[^']*'( != b'[^']*')?")


def without_secrets(text: str) -> str:
    """Return a text with the values of secret parameters of addresses replaced."""
    return _SECRET_PARAMETER.sub(r"\1[secret]", text)


class Scrub(logging.Filter):
    """Replaces the values of secret parameters and session ids in each message.

    JupyterHub scrubs its access log; the warning about an address that it refuses, it does not.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Admit each record, scrubbed."""
        message = record.getMessage()
        scrubbed = _XSRF_ID.sub(r"\1[secret]", without_secrets(message))
        if scrubbed != message:
            record.msg, record.args = scrubbed, ()
        return True


def level(environ: Mapping[str, str]) -> int:
    """Return the level that ``JULIABOX_LOG_LEVEL`` names; info if it names none."""
    word = environ.get("JULIABOX_LOG_LEVEL", "").upper()
    return logging.getLevelNamesMapping().get(word, logging.INFO)


def configuration() -> dict[str, object]:
    """Return the part of a logging configuration that puts the filter before the hub's output."""
    return {
        "filters": {"scrub": {"()": f"{__name__}.Scrub"}},
        "handlers": {"console": {"filters": ["scrub"]}},
    }
