"""Realistic data of published APIs, for the portal's pages."""

from __future__ import annotations

import math
import time

from juliabox_services.api import models as e
from juliabox_services.api.engine_contract import Checked
from juliabox_services.portal.models_admin import PublishedApis
from juliabox_services.portal.models_apis import ApiPage, MyApis

NOW = time.time()

SOURCE = """\
using LinearAlgebra

const MOST = 10_000  # beyond that an answer has too many digits

"The n-th Fibonacci number, of any size."
function fib(n::Integer)
    0 <= n <= MOST || throw(DomainError(n, "n must be within 0 and $MOST"))
    a, b = big(0), big(1)
    for _ in 1:n
        a, b = b, a + b
    end
    a
end

"Scalar product of two vectors; scaled, if wanted."
product(one::Vector, other::Vector; scale::Real=1.0) = scale * dot(one, other)

@inline half(x) = x / 2
halves(values...) = [half(x) for x in values]
"""
BEFORE = SOURCE.replace("10_000", "1_000").replace(
    "halves(values...) = [half(x) for x in values]\n", ""
)

FUNCTIONS = [
    e.Function(
        name="fib",
        methods=[e.Method(arguments=[e.Argument(name="n", type="Integer")])],
        doc="The n-th Fibonacci number, of any size.",
    ),
    e.Function(
        name="product",
        methods=[
            e.Method(
                arguments=[
                    e.Argument(name="one", type="Vector"),
                    e.Argument(name="other", type="Vector"),
                ],
                keywords=[e.Argument(name="scale", type="Real", required=False)],
            )
        ],
        doc="Scalar product of two vectors; scaled, if wanted.",
    ),
    e.Function(name="halves", methods=[e.Method(more=True)]),
]

ABOUT = "Sums and sequences for the course.\nAsk ada before you rely on it."


def version(number: int = 3, source: str = SOURCE, **options: object) -> e.Version:
    """Return a version of ada's sums."""
    given = {"description": ABOUT, "access": "listed", "groups": ["course-2026"], **options}
    return e.Version(
        publisher="ada",
        api="sums",
        version=number,
        source=source,
        functions=FUNCTIONS if source == SOURCE else FUNCTIONS[:2],
        options=e.Options(**given),  # type: ignore[arg-type]  # a test names what it changes
        saved=NOW - (4 - number) * 86_000,
        saved_by="ada",
        note={1: "", 2: "Vectors", 3: "halves, and larger numbers"}[number],
    )


def summary(api: str = "sums", **changes: object) -> e.Summary:
    """Return an API in a list."""
    values = {
        "publisher": "ada",
        "api": api,
        "active": 3,
        "newest": 3,
        "functions": ["fib", "product", "halves"],
        "access": "listed",
        "description": ABOUT,
        "created": NOW - 3 * 86_000,
        "containers": 2,
        "calls": 18_204,
        "errors": 12,
        "url": f"/services/api/ada/{api}/",
        **changes,
    }
    return e.Summary(**values)  # type: ignore[arg-type]  # a test names what it changes


def versions() -> list[e.VersionInfo]:
    """Return three versions, the newest first."""
    return [
        e.VersionInfo(
            version=one.version,
            saved=one.saved,
            saved_by=one.saved_by,
            note=one.note,
            functions=[function.name for function in one.functions],
            bytes=len(one.source),
        )
        for one in (version(3), version(2, BEFORE), version(1, BEFORE))
    ]


def api_page(*, mine: bool = True, publisher: bool = True, **changes: object) -> ApiPage:
    """Return ada's own page of her sums; she may be no ``publisher`` any more."""
    may = {"mine": mine, "changes": mine and publisher}
    detail = e.Detail(
        summary=summary(**changes),
        version=version(),
        versions=versions() if mine else [],
        **may,
    )
    return ApiPage(publisher="ada", api="sums", detail=detail, url="/services/api/ada/sums/", **may)


def new_page() -> ApiPage:
    """Return the page of an API that is not published yet."""
    url = "/services/api/ada/fresh/"
    return ApiPage(publisher="ada", api="fresh", mine=True, changes=True, url=url)


def my_apis() -> MyApis:
    """Return three APIs of ada's, and two that she may call."""
    stopped = {"stopped": "admin", "containers": 0, "calls": 0, "errors": 0, "access": "public"}
    return MyApis(
        available=True,
        publisher=True,
        own=[
            summary(),
            summary("weather", description="", errors=0, access="token", containers=1),
            summary("a-name-that-is-as-long-as-it-may-be-xxxx", **stopped),
        ],
        shared=[
            summary("primes", publisher="emmy", description="Prime numbers", access="users"),
            summary("maps", publisher="grace", description="", functions=["draw"], access="public"),
        ],
        most=20,
    )


def all_apis() -> PublishedApis:
    """Return those of all, as an admin sees them, and their changes."""
    mine, left = my_apis(), summary("left", publisher="noether", stopped="gone")
    rows = [
        e.AuditRow(time=NOW - 600, who="ada", what="save", publisher="ada", api="sums", version=3),
        e.AuditRow(
            time=NOW - 9000, who="admin", what="stop", publisher="ada",
            api="a-name-that-is-as-long-as-it-may-be-xxxx", detail="access public",
        ),
    ]  # fmt: skip
    return PublishedApis(apis=[*mine.own, *mine.shared, left], audit=rows, available=True)


def log_lines() -> list[e.LogLine]:
    """Return a log with a call that printed, one that failed, and news."""
    trace = "DomainError with -1:\nn must be within 0 and 10000\n"
    return [
        e.LogLine(number=1, time=NOW - 900, kind="audit", version=3, text="ada saved version 3"),
        e.LogLine(number=2, time=NOW - 880, kind="container", version=3, text="It started."),
        e.LogLine(
            number=5, time=NOW - 300, kind="call", version=3, function="product", status=200,
            text="scale is 2.0\n", request="7f" * 16,
        ),
        e.LogLine(
            number=1_795_907_927_281_697, time=NOW - 120, kind="call", version=3, function="fib",
            status=500, text=trace, request="3c" * 16,
        ),
    ]  # fmt: skip


def stats(hours: int = 24) -> e.Stats:
    """Return calls of the last hours, with a quiet time in between."""
    begin = math.floor(NOW / 60) * 60 - hours * 3600
    buckets = []
    for minute in range(0, hours * 60, 5):
        swing = math.sin(minute / 90)
        if swing > -0.6:
            calls = round(30 + 25 * swing)
            buckets.append(
                e.Bucket(
                    time=begin + minute * 60,
                    calls=calls,
                    refused=calls // 12,
                    errors=calls // 30,
                    p50=0.004 + 0.002 * swing,
                    p95=0.03 + 0.015 * swing,
                )
            )
    return e.Stats(buckets=buckets, containers=2, outstanding=3)


def checked() -> Checked:
    """Return what the check of a good source finds."""
    return Checked(functions=FUNCTIONS)


#: Answer to a save of a source with a fault in its seventh line.
REFUSAL = e.Fault(
    code="source.syntax",
    message="syntax: missing comma or ) in argument list",
    frames=[e.Frame(function="top-level scope", line=7)],
    output="loading\n",
)
