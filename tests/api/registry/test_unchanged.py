"""What is published once more as it is makes no version; what is to change does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext.db import Database
from juliabox_ext.errors import ConflictError, RequestError, UnavailableError
from juliabox_services.api.drafts import SourceError
from juliabox_services.api.models import Outcome, SaveRequest, Version
from juliabox_services.api.publishing import Publishing
from juliabox_services.api.settings import Bounds
from support.published_stand import (
    GREETING,
    CheckingBack,
    FaintDatabase,
    publishing_on,
    request,
    sources,
)
from support.waiting import until

#: Options of each kind.
OPTIONS: dict[str, Any] = {
    "access": "listed",
    "users": ["bob", "eve"],
    "timeout": 2.5,
    "memory": 2**29,
    "origins": ["https://example.org"],
    "idempotent": ["hello"],
}
TWO = f"{GREETING}other(x) = x\n"


async def save(one: Publishing, asked: SaveRequest, who: str = "ada") -> tuple[int, Outcome]:
    version, outcome = await one.saving.save("ada", "hi", asked, who)
    return version.version, outcome


async def numbers(one: Publishing) -> list[int]:
    found = await one.store.run(lambda tables: tables.versions("ada", "hi"))
    return [version.version for version in found]


def active(one: Publishing) -> Version:
    return one.published.find("ada", "hi")[1]


async def test_a_notebook_that_is_run_fifty_times_pushes_no_version_out(
    publishing: Publishing, back: CheckingBack
) -> None:
    first = await save(publishing, request(options=OPTIONS))
    later = {await save(publishing, request(options=OPTIONS, note=f"{n}")) for n in range(50)}
    assert (first, later) == ((1, "new"), {(1, "unchanged")})
    assert await save(publishing, request()) == (1, "unchanged")  # options stay as they are
    assert await save(publishing, SaveRequest(note="nothing")) == (1, "unchanged")
    assert await numbers(publishing) == [1]
    assert (len(back.checks), back.prepared) == (1, [])
    assert len(await publishing.audit.rows("ada", 9)) == 1
    assert active(publishing).note == ""


async def test_content_is_the_same_when_the_engine_was_started_anew(
    database: Database, tmp_path: Path
) -> None:
    for outcome in ("new", "unchanged", "unchanged"):
        one = publishing_on(database, tmp_path)
        await one.open()
        assert await save(one, request(options=OPTIONS)) == (1, outcome)
        await one.close()


@pytest.mark.parametrize(
    "other",
    [
        request(f"{TWO}# more\n"),
        request(TWO, "hello", "other"),
        request(TWO, options={"timeout": 3}),
        request(TWO, options={**OPTIONS, "users": ["eve"]}),
        request(TWO, options={}),
    ],
    ids=["source", "functions", "option", "list", "defaults"],
)
async def test_what_differs_is_a_version(publishing: Publishing, other: SaveRequest) -> None:
    await save(publishing, request(TWO, options=OPTIONS))
    assert await save(publishing, other) == (2, "changed")
    assert await save(publishing, other) == (2, "unchanged")


async def test_to_publish_what_an_older_version_was_is_a_change(publishing: Publishing) -> None:
    first, second = sources(2)
    await save(publishing, request(first))
    await save(publishing, request(second))
    assert await save(publishing, request(first)) == (3, "changed")
    assert active(publishing).version == 3


async def test_who_went_back_publishes_what_answers_now_without_a_change(
    publishing: Publishing,
) -> None:
    first, second = sources(2)
    await save(publishing, request(first))
    await save(publishing, request(second))
    await publishing.saving.activate("ada", "hi", 1, "ada")
    assert await save(publishing, request(first)) == (1, "unchanged")
    assert active(publishing).version == 1
    assert await save(publishing, request(second)) == (3, "changed")
    assert active(publishing).version == 3


async def test_what_is_only_kept_is_compared_with_what_was_kept_last(
    anywhere: Publishing,
) -> None:
    first, second = sources(2)
    await save(anywhere, request(first))
    assert await save(anywhere, request(first, activate=False)) == (1, "unchanged")
    assert await save(anywhere, request(second, activate=False)) == (2, "changed")
    assert await save(anywhere, request(second, activate=False)) == (2, "unchanged")
    assert active(anywhere).version == 1
    # kept is not answering
    assert await save(anywhere, request(second)) == (3, "changed")
    assert active(anywhere).version == 3
    assert await save(anywhere, request(first, activate=False)) == (4, "changed")
    assert active(anywhere).version == 3


async def test_what_is_still_being_checked_is_waited_for_and_checked_once(
    publishing: Publishing, back: CheckingBack
) -> None:
    back.go_on.clear()
    saves = [asyncio.create_task(save(publishing, request())) for _ in range(3)]
    await until(lambda: back.checks)
    back.go_on.set()
    assert await asyncio.gather(*saves) == [(1, "new"), (1, "unchanged"), (1, "unchanged")]
    assert len(back.checks) == 1


async def test_what_failed_is_checked_again(publishing: Publishing, back: CheckingBack) -> None:
    await save(publishing, request())
    for _ in range(2):
        with pytest.raises(SourceError):
            await save(publishing, request("((("))
    assert back.checks == [GREETING, "(((", "((("]
    assert await save(publishing, request()) == (1, "unchanged")


async def test_an_api_that_is_stopped_stays_so(publishing: Publishing, back: CheckingBack) -> None:
    await save(publishing, request(activate=False))
    for reason in ("owner", "admin"):
        await publishing.saving.stop("ada", "hi", "root", reason)  # type: ignore[arg-type]  # both are
        assert await save(publishing, request()) == (1, "unchanged")
        assert publishing.published.find("ada", "hi")[0].stopped == reason
        assert back.active["ada", "hi"] is None


async def test_an_admin_who_saves_what_somebody_removed_left_takes_it_over(
    publishing: Publishing, back: CheckingBack
) -> None:
    await save(publishing, request())
    await publishing.saving.stop("ada", "hi", "JuliaBox", "gone")
    assert await save(publishing, request(), "root") == (2, "changed")
    assert active(publishing).saved_by == "root"
    assert publishing.published.find("ada", "hi")[0].stopped == "gone"
    assert back.active["ada", "hi"] is None


async def test_an_api_that_was_removed_is_published_anew(publishing: Publishing) -> None:
    await save(publishing, request())
    await publishing.saving.remove("ada", "hi", "ada")
    assert await save(publishing, request()) == (2, "new")


async def test_what_may_have_changed_is_saved(publishing: Publishing, faint: FaintDatabase) -> None:
    first, second = sources(2)
    await save(publishing, request(first))
    await save(publishing, request(second))
    faint.lost = 1
    with pytest.raises(UnavailableError):
        await publishing.saving.activate("ada", "hi", 1, "ada")
    assert await save(publishing, request(second)) == (3, "changed")
    await publishing.saving.settle()
    assert active(publishing).source == second


async def test_who_has_not_seen_the_newest_version_is_told_so(publishing: Publishing) -> None:
    await save(publishing, request())
    await save(publishing, request(f"{GREETING}# more\n"))
    with pytest.raises(ConflictError):
        await save(publishing, request(f"{GREETING}# more\n", after=1))
    assert await save(publishing, request(f"{GREETING}# more\n", after=2)) == (2, "unchanged")


async def test_what_the_operator_admits_no_more_is_refused_though_it_is_there(
    database: Database, tmp_path: Path
) -> None:
    one = publishing_on(database, tmp_path)
    await one.open()
    await save(one, request(options=OPTIONS))
    await one.close()
    two = publishing_on(database, tmp_path, Bounds(timeout=1, longest_timeout=2))
    await two.open()
    with pytest.raises(RequestError, match="timeout"):
        await save(two, request(options=OPTIONS))
    await two.close()
