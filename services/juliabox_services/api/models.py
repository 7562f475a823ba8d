"""What the parts of the API engine hand each other, and what its interface shows.

Unless said otherwise times are Unix time in seconds, spans are seconds and sizes are bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

#: Name of an API: unique for its publisher.
ApiName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}\Z")]
#: Name of a published function: one of Julia's, as an address can carry it.
FunctionName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_!]{0,63}\Z")]

#: ``public``: anybody; ``users``: whoever has an account; ``listed``: named users and groups, and
#: the publisher; ``token``: holders of a token of this API alone, which the publisher gives out.
Access = Literal["public", "users", "listed", "token"]

#: Why an API answers no calls: its owner or an admin stopped it, or its publisher is no user any
#: more; empty: it does. What stands later here stays, whoever stops it as well.
Stopped = Literal["", "owner", "admin", "gone"]

#: Largest source, in bytes.
SOURCE_BYTES = 200_000


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a publisher chooses for a version, beside its source."""

    description: Annotated[str, Meta(max_length=4000)] = ""
    access: Access = "users"
    #: With ``listed``.
    users: Annotated[list[str], Meta(max_length=200)] = field(default_factory=list)
    groups: Annotated[list[str], Meta(max_length=50)] = field(default_factory=list)
    #: Seconds for one call, and bytes of memory of one container; ``None``: the operator's.
    timeout: Annotated[float, Meta(gt=0, le=86400)] | None = None
    memory: Annotated[int, Meta(ge=1)] | None = None
    #: Containers that are kept though nobody calls, and most of them; ``None``: the operator's.
    minimum: Annotated[int, Meta(ge=0, le=100)] = 0
    maximum: Annotated[int, Meta(ge=1, le=100)] | None = None
    #: Workers of one container: calls that it carries out at once.
    workers: Annotated[int, Meta(ge=1, le=16)] = 1
    #: Calls after which a container is replaced, though its memory has not grown; 0 never.
    #: Another costs two seconds of a core: what calls of a millisecond cost by the thousand.
    recycle_calls: Annotated[int, Meta(ge=0)] = 100_000
    #: Calls of one caller in a minute; ``None``: the operator's.
    rate: Annotated[int, Meta(ge=1)] | None = None
    #: Origins whose pages may call; ``*`` for all.
    origins: Annotated[list[str], Meta(max_length=50)] = field(default_factory=list)
    #: Value of ``Cache-Control`` of good answers to GET; empty: ``no-store``.
    cache: Annotated[str, Meta(max_length=200, pattern=r"^[a-z0-9=, -]*\Z")] = ""
    #: Kinds of answers beside JSON that its functions may give.
    content: list[
        Literal[
            "text/html",
            "text/csv",
            "text/plain",
            "image/png",
            "image/svg+xml",
            "application/octet-stream",
        ]
    ] = field(default_factory=list)
    #: Functions that may be carried out twice: a call whose worker died is made once more.
    idempotent: list[FunctionName] = field(default_factory=list)


class Argument(Struct, frozen=True, kw_only=True):
    """An argument of a method, as Julia declares it."""

    name: str
    #: Julia's name of its type, such as ``Int64`` or ``Any``.
    type: str = "Any"
    #: Whether a call must have it; a keyword argument with a default need not be given.
    required: bool = True


class Method(Struct, frozen=True, kw_only=True):
    """One method of a published function."""

    arguments: list[Argument] = field(default_factory=list)
    keywords: list[Argument] = field(default_factory=list)
    #: Whether it takes any number of further arguments, of which type, and any further keyword.
    more: bool = False
    more_type: str = "Any"
    more_keywords: bool = False


class Function(Struct, frozen=True, kw_only=True):
    """A published function, as the check of its source found it."""

    name: str
    methods: list[Method] = field(default_factory=list)
    #: Its docstring, as text.
    doc: str = ""


class Frame(Struct, frozen=True, kw_only=True):
    """A line of the publisher's own code, in the trace of an error."""

    function: str
    line: int


class Version(Struct, frozen=True, kw_only=True):
    """One version of an API; never changed once it is saved."""

    publisher: str
    api: str
    #: From 1 on.
    version: int
    source: str
    functions: list[Function]
    options: Options
    #: When and by whom it was saved, and why in the saver's words.
    saved: float
    saved_by: str
    note: str = ""

    @property
    def key(self) -> tuple[str, str, int]:
        """Publisher, API and version."""
        return self.publisher, self.api, self.version


class Api(Struct, frozen=True, kw_only=True):
    """A published API: which of its versions answers, and whether it may."""

    publisher: str
    api: str
    #: The version that answers calls, and the newest.
    active: int
    newest: int
    created: float
    stopped: Stopped = ""
    #: The publisher's account (:mod:`.people`), which tells whose it is of those who had the name;
    #: empty: not known yet, and so of who has it.
    account: str = ""


class SaveRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PUT _/apis/<publisher>/<api>``: a new version, checked and made active.

    None is made of what the active version is already, or the newest one, if it is only kept.
    """

    #: ``None``: as in the active version.
    source: Annotated[str, Meta(max_length=SOURCE_BYTES)] | None = None
    #: Names of the functions to publish; ``None``: as in the active version.
    functions: Annotated[list[FunctionName], Meta(min_length=1, max_length=50)] | None = None
    #: ``None``: as in the active version, or by default.
    options: Options | None = None
    note: Annotated[str, Meta(max_length=400)] = ""
    #: Whether calls go to it at once; otherwise it is kept only.
    activate: bool = True
    #: Version that the author saw last; 409 if there is a newer one. ``None``: whatever there is.
    after: int | None = None


#: What a save did: begin an API, add a version, or nothing, since there is one of this content.
Outcome = Literal["new", "changed", "unchanged"]


class Fault(Struct, frozen=True, kw_only=True):
    """Body of every answer that is no success: of the interface and of calls alike."""

    #: Stable code of the error (docs/reference/errors.md).
    code: str
    message: str
    #: With an error of the publisher's code: where in it, innermost first.
    frames: list[Frame] | None = None
    #: With a source that does not load: what it printed, cut to its last 4 KiB.
    output: str | None = None


class Summary(Struct, frozen=True, kw_only=True):
    """One API in lists."""

    publisher: str
    api: str
    active: int
    newest: int
    functions: list[str]
    access: Access
    description: str
    stopped: Stopped = ""
    created: float = 0.0
    #: Containers now; calls and failed calls within the last day.
    containers: int = 0
    calls: int = 0
    errors: int = 0
    #: Path of its calls, such as ``/services/api/ada/sums/``.
    url: str = ""


class VersionInfo(Struct, frozen=True, kw_only=True):
    """One version in lists."""

    version: int
    saved: float
    saved_by: str
    note: str
    functions: list[str]
    bytes: int


class Detail(Struct, frozen=True, kw_only=True):
    """Answer of ``GET _/apis/<publisher>/<api>``."""

    summary: Summary
    #: The active version, source included.
    version: Version
    versions: list[VersionInfo]
    #: Whether the caller is told all of it, and may stop it.
    mine: bool = False
    #: Whether the caller may save, activate, start and remove it.
    changes: bool = False
    #: Whether it answers a save that made no version: there is one of this content.
    unchanged: bool = False


class LogLine(Struct, frozen=True, kw_only=True):
    """One entry of an API's log: a call that printed or failed, or news of its containers."""

    #: Orders the entries of an API; ``after`` asks for later ones.
    number: int
    time: float
    #: ``call``, ``load``, ``container`` or ``audit``.
    kind: str
    version: int
    function: str = ""
    status: int = 0
    #: What the function printed, or the news; at most 4 KiB.
    text: str = ""
    request: str = ""


class Bucket(Struct, frozen=True, kw_only=True):
    """Calls of one minute."""

    #: Begin of the minute.
    time: float
    calls: int = 0
    #: Answers from 400 on, and from 500 on.
    refused: int = 0
    errors: int = 0
    #: Seconds: median and 95th percentile, ``None`` without calls.
    p50: float | None = None
    p95: float | None = None


class Stats(Struct, frozen=True, kw_only=True):
    """Answer of ``GET _/apis/<publisher>/<api>/stats``: the last hours, minute by minute."""

    buckets: list[Bucket]
    containers: int
    #: Calls that wait or are being carried out now.
    outstanding: int


class AuditRow(Struct, frozen=True, kw_only=True):
    """Who did what to which API."""

    time: float
    who: str
    #: ``save``, ``activate``, ``stop``, ``start``, ``remove``.
    what: str
    publisher: str
    api: str
    version: int = 0
    detail: str = ""


class Caller(Struct, frozen=True, kw_only=True):
    """Who calls, as far as the engine must know."""

    #: Name of the user; empty for somebody unknown.
    name: str = ""
    #: Whom the rate is counted for: the user, or the address.
    counted: str = ""
