"""Every error that JuliaBox raises on purpose.

::

    JuliaBoxError
    ├── ConfigurationError      the operator's file or a trait cannot be honoured
    ├── PluginError             a plugin is missing, incomplete or at fault
    ├── RequestError            a request is malformed or names something unknown to the protocol
    ├── PolicyError             a well-formed request asks for more than policy admits
    ├── NotFoundError           the named session, volume or image does not exist
    ├── ConflictError           the object is in a state that excludes the request
    ├── NoRoomError             quota or capacity is used up; retryable
    ├── UnavailableError        a part does not answer (engine, manager); retryable
    ├── DeadlineError           the caller's deadline passed; retryable
    ├── VolumeError             a disk cannot be attached or was quarantined
    └── InternalError           a fault of ours; the log has the cause

``code`` is stable and dotted; people and programs may match on it. A message says what failed,
for which user, container or plugin, and what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class JuliaBoxError(Exception):
    """Base of all errors with a stable code.

    ``status`` is the HTTP status that the error becomes at an HTTP boundary; ``retryable`` tells
    whether the same request may succeed later.
    """

    code: str = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class ConfigurationError(JuliaBoxError):
    """The operator's file or a trait asks for something that cannot be honoured."""

    code = "configuration"
    status = 500


class PluginError(JuliaBoxError):
    """A plugin is missing, cannot be loaded, lacks a method or failed; the message names it."""

    code = "plugin"
    status = 500


class RequestError(JuliaBoxError):
    """The request is malformed: unknown verb or field, wrong type, out of bounds."""

    code = "request.invalid"
    status = 400


class PolicyError(JuliaBoxError):
    """The request is well formed and refused by policy."""

    code = "policy.refused"
    status = 403


class NotFoundError(JuliaBoxError):
    """The named object does not exist, or belongs to nobody that this request may name."""

    code = "not_found"
    status = 404


class ConflictError(JuliaBoxError):
    """The object's state excludes the request."""

    code = "conflict"
    status = 409


class NoRoomError(JuliaBoxError):
    """A quota or the machine's capacity is used up."""

    code = "no_room"
    status = 429
    retryable = True


class UnavailableError(JuliaBoxError):
    """A part that is needed does not answer."""

    code = "unavailable"
    status = 503
    retryable = True


class DeadlineError(JuliaBoxError):
    """The deadline of the request passed before it was done."""

    code = "deadline"
    status = 504
    retryable = True


class VolumeError(JuliaBoxError):
    """A volume cannot be attached: damaged, quarantined or locked elsewhere."""

    code = "volume.unusable"
    status = 409


class InternalError(JuliaBoxError):
    """A fault of JuliaBox itself; the log of the part that raised it has the cause."""

    code = "internal"
    status = 500


#: Families by the first matching class, for rebuilding an error that crossed the wire.
FAMILIES: dict[str, type[JuliaBoxError]] = {
    cls.__name__: cls
    for cls in (
        ConfigurationError,
        PluginError,
        RequestError,
        PolicyError,
        NotFoundError,
        ConflictError,
        NoRoomError,
        UnavailableError,
        DeadlineError,
        VolumeError,
        InternalError,
    )
}
