"""Logs of the manager: one JSON object a line on standard output, without secrets.

A value is hidden by the name of its key, at any depth; environments of sessions are hidden whole.
Lines with ``"audit": true`` tell of every refusal.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

from juliabox_manager.log_batches import BatchHandler

_HIDDEN = "[hidden]"
_SECRET_KEY = re.compile(
    r"(^|[^a-z])(env|environ|environment|cookie|cookies|authorization|credentials?)($|[^a-z])"
    r"|passw|secret|token|api_?key|private_?key",
    re.IGNORECASE,
)
_MAX_TEXT = 4000
_MAX_DEPTH = 6
_STAMP = structlog.processors.TimeStamper(fmt="iso", utc=True)
_LEVELS = ("debug", "info", "warning", "error", "critical")


def hide_secrets(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace values of secret keys, and bound long texts (a structlog processor)."""
    return {key: _clean(key, value, 0) for key, value in event.items()}


@lru_cache(maxsize=1000)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _clean(key: str, value: Any, depth: int) -> Any:
    if _is_secret(key):
        return _HIDDEN
    if isinstance(value, str):
        return value if len(value) <= _MAX_TEXT else value[:_MAX_TEXT] + "…"
    if not isinstance(value, Mapping | list | tuple | set | frozenset):
        return value
    if depth >= _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {str(name): _clean(str(name), inner, depth + 1) for name, inner in value.items()}
    return [_clean("", inner, depth + 1) for inner in value]


def level(environ: Mapping[str, str]) -> int:
    """Return the level that ``JULIABOX_LOG_LEVEL`` names; info if it names none."""
    return logging.getLevelNamesMapping().get(
        environ.get("JULIABOX_LOG_LEVEL", "").upper(), logging.INFO
    )


def configure(
    part: str,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    *,
    handler: logging.Handler | None = None,
) -> None:
    """Send structlog and the standard library's loggers to ``stream`` (default: stdout) as JSON.

    ``handler`` takes the lines instead of a stream.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        _STAMP,
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )

    def add_part(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["part"] = part
        return event

    handler = handler or logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                add_part,
                structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("urllib3", "docker", "asyncio", "tornado.access", "apscheduler"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def line_logger(part: str, name: str, level: int, handler: BatchHandler) -> FilteringBoundLogger:
    """Return a logger for a line that each of many requests writes, as the others would write it.

    It goes past the standard library, whose layers take longer than all else about the line.
    """
    logger = structlog.wrap_logger(
        SimpleNamespace(**dict.fromkeys(_LEVELS, handler.put)),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.processors.add_log_level,
            _STAMP,
            hide_secrets,
            _json,
        ],
    )
    bound: FilteringBoundLogger = logger.bind(logger=name, part=part)
    return bound


def _json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
