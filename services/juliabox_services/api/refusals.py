"""Errors of calls, in the engine's own words."""

from __future__ import annotations

import math

from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.models import Frame
from juliabox_services.api.wire import Failed, output

#: Status of what a worker says of a call.
WORKER_CODES = {"api.body": 400, "api.arguments": 400, "api.error": 500, "api.result": 500}

#: Seconds after which a caller should try again, by what is in the way.
SOON, LATER = 1, 5


def refused(told: Failed) -> CallError:
    """Return what a worker says of a call; its code is one of :data:`WORKER_CODES`."""
    return CallError(
        told.message,
        code=told.code,
        status=WORKER_CODES[told.code],
        frames=told.frames or None,
        printed=output(told.printed),
    )


def not_loading(message: str, frames: list[Frame] | None = None, printed: str = "") -> CallError:
    """Return the error of a source that does not load any more."""
    return CallError(message, code="api.load", status=500, frames=frames, printed=output(printed))


def crashed(how: str) -> CallError:
    """Return the error of a call whose worker died; ``how`` ends a sentence, or is empty."""
    message = "the worker died while it carried out this call"
    return CallError(
        f"{message}: {how}" if how else message,
        code="api.crash",
        status=502,
    )


def garbled() -> CallError:
    """Return the error of a call whose worker said what cannot be read."""
    return crashed("what it answered cannot be read")


def overloaded(message: str) -> CallError:
    """Return the error of a call for which there is no room among others."""
    return CallError(message, code="api.overload", status=503, retry_after=SOON)


def starting(message: str, seconds: float = SOON) -> CallError:
    """Return the error of a call for which no container could be had."""
    return CallError(
        message, code="api.starting", status=503, retry_after=max(1, math.ceil(seconds))
    )


def crashing(how_many: str) -> CallError:
    """Return the error of a call while there is no container, since so many ended."""
    return CallError(
        f"containers of this API ended in its calls, {how_many}, so the next one has to wait; the "
        "API's log says how they ended",
        code="api.crashing",
        status=503,
        retry_after=SOON,
    )


def draining() -> CallError:
    """Return the error of a call that comes when the engine is being stopped."""
    return CallError(
        "the API engine is being restarted; try again in a moment",
        code="api.draining",
        status=503,
        retry_after=LATER,
    )


def timed_out() -> CallError:
    """Return the error of a call whose time was over."""
    return CallError(
        "the function did not return in time; its worker was ended",
        code="api.timeout",
        status=504,
    )
