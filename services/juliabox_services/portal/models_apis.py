"""What the portal's pages of published APIs show; units and ``None`` as in :mod:`.models`.

Their parts are the engine's own structures (:mod:`juliabox_services.api.models`).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from juliabox_services.api.models import AuditRow, Detail, FunctionName, Summary
from juliabox_services.api.settings import Bounds


class Publisher(Struct, frozen=True, kw_only=True):
    """What the engine knows of the caller: answer of its ``_/me``."""

    name: str
    admin: bool = False
    #: Whether the caller may publish.
    publisher: bool = False
    bounds: Bounds = field(default_factory=Bounds)


class Listed(Struct, frozen=True, kw_only=True):
    """Answer of the engine's ``_/apis``."""

    apis: list[Summary]


class Audited(Struct, frozen=True, kw_only=True):
    """Answer of the engine's ``_/audit``."""

    rows: list[AuditRow]


class MyApis(Struct, frozen=True, kw_only=True):
    """Data of ``my-apis``: one's own APIs, and those of others that one may call."""

    #: Whether this installation runs published APIs.
    available: bool = False
    #: Whether the caller may publish.
    publisher: bool = False
    own: list[Summary] = field(default_factory=list)
    shared: list[Summary] = field(default_factory=list)
    #: APIs that one publisher may have.
    most: int = 0


class ApiPage(Struct, frozen=True, kw_only=True):
    """Data of ``api``: one API with its active version."""

    publisher: str
    api: str
    #: ``None``: the caller, whose name it would have, has not published it yet.
    detail: Detail | None = None
    #: Whether the caller sees all of it and may stop it, and whether the caller may change it.
    mine: bool = False
    changes: bool = False
    #: What the operator admits.
    bounds: Bounds = field(default_factory=Bounds)
    #: Scheme and host of calls with subdomains; empty: those of the page.
    host: str = ""
    #: Path of calls, such as ``/services/api/ada/sums/``.
    url: str = ""


class CheckSource(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST ``api/apis/check``; answered with what the check found."""

    source: str
    functions: list[FunctionName]


class ActivateVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST ``api/apis/PUBLISHER/API/activate``."""

    version: Annotated[int, Meta(ge=1)]


class TryCall(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST ``api/apis/PUBLISHER/API/try/FUNCTION``: JSON texts, as they were written."""

    arguments: Annotated[list[str], Meta(max_length=100)] = field(default_factory=list)
    keywords: Annotated[dict[str, str], Meta(max_length=100)] = field(default_factory=dict)


class Tried(Struct, frozen=True, kw_only=True):
    """What a test call was answered with, and how a program would have made it."""

    status: int
    #: Kind of content, without parameters.
    type: str
    #: Of JSON and texts; of everything else ``data``, in base64.
    text: str = ""
    data: str = ""
    #: Whether there was more.
    cut: bool = False
    #: Seconds, as the portal measured them.
    seconds: float = 0.0
    #: Id of the call in the log.
    request: str = ""
    method: str = "GET"
    #: Path and query.
    address: str = ""
    #: JSON; empty: none.
    body: str = ""
