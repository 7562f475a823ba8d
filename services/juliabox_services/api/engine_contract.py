"""What the front of the API engine asks of its back: one call, carried out by a worker.

The front knows HTTP and who may call; the back knows containers and workers. Neither knows more of
the other than is written here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from msgspec import Struct, field

from juliabox_ext.errors import JuliaBoxError
from juliabox_services.api.models import Frame, Function, Version


class Call(Struct, frozen=True, kw_only=True):
    """One call as a worker gets it."""

    #: 32 hexadecimal digits; in the answer's ``X-Request-Id``, in logs, and on the wire.
    request: str
    function: str
    #: JSON texts, already known to be of their kind: an array of arguments and an object of
    #: keywords, made of the address; ``body`` is the body as it came, empty for none. A body that
    #: is an array gives further arguments, an object further keywords, any other value one
    #: argument. The worker checks it: malformed, a keyword twice, nested too deep → ``api.body``.
    arguments: bytes = b"[]"
    keywords: bytes = b"{}"
    body: bytes = b""
    #: ``time.monotonic()`` at which the caller gives up.
    deadline: float = 0.0


class Answer(Struct, frozen=True, kw_only=True):
    """What a function gave."""

    #: ``application/json``, or what the function named; the front checks that the API admits it.
    type: str
    body: bytes
    #: Seconds that the function took, and what it printed.
    seconds: float = 0.0
    printed: str = ""
    #: Set in place of ``body`` if the function yields one value after another: the JSON of each.
    items: AsyncIterator[bytes] | None = None


class CallError(JuliaBoxError):
    """A call that gave no result; ``status`` is the one of HTTP.

    ========================== ====== ===========================================================
    code                       status
    ========================== ====== ===========================================================
    ``api.body``               400    the body is not JSON as the worker admits it
    ``api.arguments``          400    no method of the function takes these arguments
    ``api.error``              500    the function raised; ``frames`` are lines of its source
    ``api.result``             500    what it returned cannot be written as JSON, or is too large
    ``api.load``               500    the source, which loaded when it was saved, does not any more
    ``api.crash``              502    the worker died in the call
    ``api.overload``           503    too many calls wait, or the publisher's share is used up
    ``api.starting``           503    no container could be had now
    ``api.crashing``           503    containers ended in calls, so the next one has to wait
    ``api.draining``           503    the engine is being stopped
    ``api.timeout``            504    the time of the call was over; the worker was killed
    ========================== ====== ===========================================================
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int,
        frames: list[Frame] | None = None,
        printed: str = "",
        retry_after: int = 0,
    ) -> None:
        super().__init__(message, code=code)
        self.http_status = status
        self.frames = frames
        self.printed = printed
        #: Seconds after which a caller may try again; 0: that is not known.
        self.retry_after = retry_after


class Checked(Struct, frozen=True, kw_only=True):
    """What the check of a source found."""

    functions: list[Function] = field(default_factory=list)
    #: Why it cannot be published; empty if it can.
    code: str = ""
    message: str = ""
    frames: list[Frame] = field(default_factory=list)
    printed: str = ""


class Load(Struct, frozen=True, kw_only=True):
    """What an API keeps busy now."""

    containers: int = 0
    outstanding: int = 0


class Back(ABC):
    """The engine behind the front."""

    @abstractmethod
    async def call(self, version: Version, call: Call) -> Answer:
        """Carry a call out on a container of this version; raise :class:`CallError`.

        If the caller goes away (the coroutine is cancelled) a call that waits is forgotten, and one
        that runs is awaited by the back for its remaining time.
        """

    @abstractmethod
    async def check(self, publisher: str, api: str, source: str, functions: list[str]) -> Checked:
        """Load a source in a container of its own, and look at the functions that it must have.

        Raise :class:`CallError` (``api.starting``) if there is no container for it now.
        """

    @abstractmethod
    def activate(self, version: Version | None, publisher: str, api: str) -> None:
        """Take note of which version answers from now on, or that none does.

        Calls under way on another version end on it; its containers go when they are idle. With
        ``minimum`` containers of the new one are made at once.
        """

    async def prepare(self, version: Version, seconds: float) -> None:
        """Have a container of a version ready before it is activated, if its API is in use.

        Until then the one before answers, so that nobody waits for the new one. Return when it is
        there, when it cannot be had, and after so many seconds at most; by itself at once.
        """
        del version, seconds

    @abstractmethod
    def load(self, publisher: str, api: str) -> Load:
        """Return what an API keeps busy now."""

    @abstractmethod
    async def drain(self, seconds: float) -> None:
        """Admit no further call, and wait until those under way are over, at most so long."""
