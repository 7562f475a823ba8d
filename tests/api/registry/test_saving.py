"""What is saved is checked, numbered once and never lost; what is refused changes nothing."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from juliabox_ext.db import Database
from juliabox_ext.errors import (
    ConflictError,
    NoRoomError,
    NotFoundError,
    PolicyError,
    RequestError,
    UnavailableError,
)
from juliabox_ext.plugin import PluginContext
from juliabox_services.api.drafts import SourceError
from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.models import SOURCE_BYTES, SaveRequest
from juliabox_services.api.publishing import Publishing
from juliabox_services.api.saving import CHECKS
from juliabox_services.api.settings import Bounds
from juliabox_services.api.tables import Tables, VersionTable
from support.published_stand import (
    CheckingBack,
    FaintDatabase,
    publishing_on,
    request,
    sources,
)
from support.waiting import until

DOWN = UnavailableError("gone", code="db.unavailable")


async def test_a_saved_version_answers_and_is_there_after_a_restart(
    database: Database, tmp_path: Path
) -> None:
    one = publishing_on(database, tmp_path)
    await one.open()
    saved, came = await one.saving.save("ada", "hi", request(options={"access": "public"}), "ada")
    assert (saved.version, came) == (1, "new")
    again, came = await one.saving.save("ada", "hi", request("hello(x) = 1\n", note="less"), "eve")
    assert (again.version, came, again.saved_by, again.note) == (2, "changed", "eve", "less")
    assert again.options.access == "public"  # what is not given stays
    await one.close()

    back = CheckingBack()
    two = publishing_on(database, tmp_path, back=back)
    await two.open()
    api, version = two.published.find("ada", "hi")
    assert (api.active, api.newest) == (2, 2)
    assert version == again
    assert back.active["ada", "hi"] == again
    assert await two.saving.version("ada", "hi", 1) == saved
    assert [row.what for row in await two.audit.rows("ada", 10)] == ["save", "save"]
    await two.close()


@pytest.mark.parametrize(
    ("source", "code"), [("(((\n", "source.syntax"), ("other(x) = 1\n", "source.missing")]
)
async def test_a_source_that_cannot_be_published_changes_nothing(
    publishing: Publishing, back: CheckingBack, source: str, code: str
) -> None:
    await publishing.saving.save("ada", "hi", request(), "ada")
    with pytest.raises(SourceError) as refused:
        await publishing.saving.save("ada", "hi", request(source), "ada")
    assert refused.value.code == code
    assert publishing.published.find("ada", "hi")[0].newest == 1
    active = back.active["ada", "hi"]
    assert active is not None and active.version == 1
    with pytest.raises(SourceError):
        await publishing.saving.save("ada", "new", request(source), "ada")
    with pytest.raises(NotFoundError):
        publishing.published.find("ada", "new")


async def test_a_change_of_options_alone_needs_no_container(
    publishing: Publishing, back: CheckingBack
) -> None:
    await publishing.saving.save("ada", "hi", request(), "ada")
    back.fault = CallError("none", code="api.starting", status=503)
    saved, _ = await publishing.saving.save(
        "ada", "hi", SaveRequest(options=request(options={"timeout": 5}).options), "ada"
    )
    assert saved.options.timeout == 5
    assert len(back.checks) == 1
    with pytest.raises(CallError, match="none"):
        await publishing.saving.save("ada", "hi", request("hello() = 2\n"), "ada")


async def test_an_author_who_has_not_seen_the_newest_version_is_refused(
    publishing: Publishing,
) -> None:
    await publishing.saving.save("ada", "hi", request(after=0), "ada")
    with pytest.raises(ConflictError) as refused:
        await publishing.saving.save("ada", "hi", request(after=0), "ada")
    assert refused.value.code == "api.changed"
    await publishing.saving.save("ada", "hi", request(after=1), "ada")
    with pytest.raises(ConflictError):
        await publishing.saving.save("ada", "gone", request(after=1), "ada")


async def test_versions_that_are_saved_at_once_have_numbers_of_their_own(
    anywhere: Publishing,
) -> None:
    saves = [anywhere.saving.save("ada", "hi", request(one), "ada") for one in sources(4)]
    saved = await asyncio.gather(*saves)
    assert sorted(version.version for version, _ in saved) == [1, 2, 3, 4]
    assert sorted(came for _, came in saved) == ["changed"] * 3 + ["new"]


async def test_the_numbers_of_a_removed_api_are_not_given_again(
    database: Database, tmp_path: Path
) -> None:
    one = publishing_on(database, tmp_path)
    await one.open()
    await one.saving.save("ada", "hi", request(), "ada")
    await one.saving.save("ada", "hi", request("hello() = 2\n"), "ada")
    await one.saving.remove("ada", "hi", "ada")
    with pytest.raises(NotFoundError):
        one.published.find("ada", "hi")
    await one.close()
    two = publishing_on(database, tmp_path)
    await two.open()
    with pytest.raises(NotFoundError):
        two.published.find("ada", "hi")
    saved, came = await two.saving.save("ada", "hi", request(), "ada")
    assert (saved.version, came) == (3, "new")
    with pytest.raises(NotFoundError) as refused:
        await two.saving.version("ada", "hi", 1)
    assert refused.value.code == "api.version"
    await two.close()


async def test_a_version_can_be_kept_and_made_active_later_and_taken_back(
    anywhere: Publishing, back: CheckingBack
) -> None:
    first, _ = await anywhere.saving.save("ada", "hi", request(), "ada")
    second = request("hello() = 2\n", activate=False)
    kept, _ = await anywhere.saving.save("ada", "hi", second, "ada")
    assert anywhere.published.find("ada", "hi")[1] == first
    await anywhere.saving.activate("ada", "hi", 2, "ada")
    assert back.active["ada", "hi"] == kept
    await anywhere.saving.activate("ada", "hi", 1, "ada")
    assert back.active["ada", "hi"] == first
    with pytest.raises(NotFoundError):
        await anywhere.saving.activate("ada", "hi", 3, "ada")


async def test_a_version_is_made_ready_before_it_answers(
    publishing: Publishing, back: CheckingBack
) -> None:
    first, _ = await publishing.saving.save("ada", "hi", request(), "ada")
    second, _ = await publishing.saving.save("ada", "hi", request("hello() = 2\n"), "ada")
    await publishing.saving.activate("ada", "hi", 1, "ada")
    assert back.prepared == [(2, first), (1, second)]
    await publishing.saving.stop("ada", "hi", "ada", "owner")
    await publishing.saving.activate("ada", "hi", 2, "ada")
    assert len(back.prepared) == 2


async def test_what_an_admin_stopped_only_an_admin_starts(
    anywhere: Publishing, back: CheckingBack
) -> None:
    await anywhere.saving.save("ada", "hi", request(), "ada")
    await anywhere.saving.stop("ada", "hi", "root", "admin")
    assert back.active["ada", "hi"] is None
    stopped = await anywhere.saving.stop("ada", "hi", "ada", "owner")
    assert stopped.stopped == "admin"
    with pytest.raises(PolicyError) as refused:
        await anywhere.saving.start("ada", "hi", "ada", admin=False)
    assert refused.value.code == "api.stopped_by_admin"
    with pytest.raises(PolicyError) as refused:  # it would be free to be published anew
        await anywhere.saving.remove("ada", "hi", "ada")
    assert refused.value.code == "api.stopped_by_admin"
    await anywhere.saving.save("ada", "hi", request("hello() = 2\n"), "ada")
    assert back.active["ada", "hi"] is None
    await anywhere.saving.start("ada", "hi", "root", admin=True)
    active = back.active["ada", "hi"]
    assert active is not None and active.version == 2
    await anywhere.saving.stop("ada", "hi", "root", "admin")
    await anywhere.saving.remove("ada", "hi", "root", admin=True)
    assert anywhere.published.known("ada", "hi") is None


async def test_who_stops_an_api_does_not_wait_for_a_source_of_its_publisher(
    publishing: Publishing, back: CheckingBack
) -> None:
    await publishing.saving.save("ada", "hi", request(), "ada")
    back.seconds = 30.0  # of a source that never finishes loading
    saves = [
        asyncio.create_task(publishing.saving.save("ada", "hi", request(source), "ada"))
        for source in sources(2)
    ]
    await until(lambda: len(back.checks) >= 2)
    async with asyncio.timeout(15):
        await publishing.saving.stop("ada", "hi", "root", "admin")
        await publishing.saving.remove("ada", "hi", "root", admin=True)
    for save in saves:
        save.cancel()
    await asyncio.gather(*saves, return_exceptions=True)


async def test_a_version_of_an_api_that_is_removed_meanwhile_is_none(
    publishing: Publishing, back: CheckingBack
) -> None:
    await publishing.saving.save("ada", "hi", request(), "ada")
    back.go_on.clear()
    later = asyncio.create_task(
        publishing.saving.save("ada", "hi", request("hello() = 2\n"), "ada")
    )
    await until(lambda: len(back.checks) == 2)
    await publishing.saving.stop("ada", "hi", "ada", "owner")
    await publishing.saving.start("ada", "hi", "ada", admin=False)
    await publishing.saving.remove("ada", "hi", "ada")
    back.go_on.set()
    with pytest.raises(ConflictError) as refused:
        await later
    assert refused.value.code == "api.changed"
    assert publishing.published.known("ada", "hi") is None
    assert back.active["ada", "hi"] is None


async def test_a_new_api_that_is_only_kept_does_not_answer(
    publishing: Publishing, back: CheckingBack
) -> None:
    await publishing.saving.save("ada", "hi", request(activate=False), "ada")
    assert publishing.published.find("ada", "hi")[0].stopped == "owner"
    assert back.active["ada", "hi"] is None
    await publishing.saving.start("ada", "hi", "ada", admin=False)
    assert back.active["ada", "hi"] is not None


async def test_apis_that_are_saved_at_once_are_within_the_quota(
    tmp_path: Path, faint: FaintDatabase
) -> None:
    one = publishing_on(faint, tmp_path, Bounds(apis_per_publisher=2))
    await one.open()
    saves = [one.saving.save("ada", name, request(), "ada") for name in "abcd"]
    found = await asyncio.gather(*saves, return_exceptions=True)
    assert sum(isinstance(each, NoRoomError) for each in found) == 2
    assert len(one.published) == 2
    # who has the name of somebody removed could not remove what that one left
    for api, _ in list(one.published):
        await one.saving.stop("ada", api.api, "JuliaBox", "gone")
    await one.saving.save("ada", "fresh", request(), "ada")
    await one.close()


async def test_quotas_bound_apis_and_checks_that_wait(tmp_path: Path, faint: FaintDatabase) -> None:
    one = publishing_on(faint, tmp_path, Bounds(apis_per_publisher=2))
    await one.open()
    for name in ("a", "b"):
        await one.saving.save("ada", name, request(), "ada")
    with pytest.raises(NoRoomError) as refused:
        await one.saving.save("ada", "c", request(), "ada")
    assert refused.value.code == "api.quota"
    await one.saving.save("eve", "c", request(), "eve")
    await one.saving.remove("ada", "a", "ada")
    await one.saving.save("ada", "c", request(), "ada")
    waiting = [one.saving.check("ada", "hi", source, ["hello"]) for source in sources(CHECKS + 1)]
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(each, NoRoomError) for each in found) == 1
    await one.close()


async def test_old_versions_go_but_never_the_one_that_answers(
    tmp_path: Path, database: Database
) -> None:
    one = publishing_on(database, tmp_path, Bounds(versions=3))
    await one.open()
    for number, source in enumerate(sources(6)):
        await one.saving.save("ada", "hi", request(source, activate=number == 0), "ada")
    found = await one.store.run(lambda tables: Tables.versions(tables, "ada", "hi"))
    assert [version.version for version in found] == [6, 5, 4, 1]
    await one.close()


async def test_a_clock_that_is_set_back_deletes_no_version(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publishing.saving.save("ada", "hi", request(), "ada")
    earlier = time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: earlier)
    for source in sources(2):
        await publishing.saving.save("ada", "hi", request(source), "ada")
    found = await publishing.store.run(lambda tables: Tables.versions(tables, "ada", "hi"))
    assert [version.version for version in found] == [3, 2, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": 700}, "timeout"),
        ({"memory": 2**40}, "memory"),
        ({"memory": 2**27}, "memory: with workers=1 a container needs 268435456 bytes"),
        ({"workers": 4}, "workers=4 a container needs 671088640 bytes at least, .* have 536870912"),
        ({"workers": 16, "memory": 2**31}, "memory: with workers=16"),
        ({"rate": 10**400}, "rate"),
        ({"recycle_calls": 10**400}, "recycle_calls"),
        ({"maximum": 9}, "maximum"),
        ({"minimum": 9}, "minimum"),
        ({"origins": ["https://a.example/path"]}, "origins"),
        ({"idempotent": ["other"]}, "idempotent"),
        ({"content": ["text/html"] * 2}, "content"),
        ({"users": ["a\nb"]}, "users"),
    ],
)
async def test_options_out_of_bounds_are_named(
    publishing: Publishing, back: CheckingBack, options: dict[str, object], said: str
) -> None:
    with pytest.raises(RequestError, match=said) as refused:
        await publishing.saving.save("ada", "hi", request(options=options), "ada")
    assert refused.value.code == "api.options"
    assert not back.checks


async def test_workers_that_have_memory_enough_are_admitted(publishing: Publishing) -> None:
    for options in ({"workers": 3}, {"workers": 6, "memory": 2**30}):
        saved, _ = await publishing.saving.save("ada", "hi", request(options=options), "ada")
        assert saved.options.workers == options["workers"]


@pytest.mark.parametrize(
    ("source", "name", "code"),
    [
        ("#" * (SOURCE_BYTES // 2) + "é" * SOURCE_BYTES, "hi", "api.source"),
        ("hello() = 1\0\n", "hi", "api.source"),
        ("hello() = 1\n", "Hi there", "api.name"),
        ("hello() = 1\n", "hi\n", "api.name"),
    ],
    ids=["large", "nul", "words", "line"],
)
async def test_names_and_sources_that_are_none_are_refused(
    publishing: Publishing, source: str, name: str, code: str
) -> None:
    with pytest.raises(RequestError) as refused:
        await publishing.saving.save("ada", name, request(source), "ada")
    assert refused.value.code == code


async def test_the_largest_version_is_kept_whole_and_a_larger_one_refused(
    anywhere: Publishing, back: CheckingBack, database: Database, tmp_path: Path
) -> None:
    publisher, api = "login:" + "\N{DESERET CAPITAL LETTER LONG I}" * 94, "a" * 40
    names = [f"{'f' * 60}{number}" for number in range(10, 36)]
    source = "".join(f"{name}() = 1\n" for name in names)
    source += '\\"\N{GRINNING FACE}\n' * ((SOURCE_BYTES - len(source)) // 7)
    back.doc = '\N{GRINNING FACE}\N{LATIN SMALL LETTER E WITH ACUTE}"\\\n' * 190
    options, note = {"description": "ä" * 4000}, "ö" * 400
    with pytest.raises(RequestError, match="together") as refused:
        larger = request(source, *names, options=options, note=note)
        await anywhere.saving.save(publisher, api, larger, publisher)
    assert refused.value.code == "api.source"
    largest = request(source, *names[:-2], options=options, note=note)
    saved, _ = await anywhere.saving.save(publisher, api, largest, publisher)
    two = publishing_on(database, tmp_path)
    await two.open()
    assert two.published.find(publisher, api)[1] == saved
    await two.close()


async def test_changes_are_told_of_one_publisher_or_of_all_newest_first(
    anywhere: Publishing,
) -> None:
    for publisher in ("ada", "bob"):
        await anywhere.saving.save(publisher, "hi", request(), publisher)
    await anywhere.saving.stop("ada", "hi", "root", "admin", detail="loud\0")
    told = [
        (row.who, row.what, row.publisher, row.detail)
        for row in await anywhere.audit.rows(None, 10)
    ]
    assert told == [
        ("root", "stop", "ada", "loud\N{REPLACEMENT CHARACTER}"),
        ("bob", "save", "bob", ""),
        ("ada", "save", "ada", ""),
    ]
    assert [row.what for row in await anywhere.audit.rows("ada", 1)] == ["stop"]


async def test_a_database_that_is_away_refuses_changes_and_calls_go_on(
    publishing: Publishing, faint: FaintDatabase
) -> None:
    saved, _ = await publishing.saving.save("ada", "hi", request(), "ada")
    faint.fault = DOWN
    with pytest.raises(UnavailableError) as refused:
        await publishing.saving.save("ada", "hi", request("hello() = 2\n"), "ada")
    assert refused.value.code == "api.database"
    assert publishing.published.find("ada", "hi")[1] == saved
    faint.fault = None
    again, _ = await publishing.saving.save("ada", "hi", request("hello() = 2\n"), "ada")
    assert again.version == 2


async def test_a_write_of_unknown_outcome_is_looked_up(
    publishing: Publishing, faint: FaintDatabase, back: CheckingBack
) -> None:
    await publishing.saving.save("ada", "hi", request(), "ada")
    await publishing.saving.save("ada", "hi", request("hello() = 2\n"), "ada")
    faint.lost = 1
    with pytest.raises(UnavailableError):
        await publishing.saving.activate("ada", "hi", 1, "ada")
    assert publishing.published.find("ada", "hi")[0].active == 2
    await publishing.saving.settle()
    assert publishing.published.find("ada", "hi")[0].active == 1
    active = back.active["ada", "hi"]
    assert active is not None and active.version == 1
    faint.lost = 1
    with pytest.raises(UnavailableError):
        await publishing.saving.remove("ada", "hi", "ada")
    await publishing.saving.settle()
    assert publishing.published.known("ada", "hi") is None
    assert back.active["ada", "hi"] is None
    assert not publishing.saving.doubtful
    assert publishing.ledger.removed == {"ada/hi"}


async def test_a_change_that_was_made_though_nobody_learnt_it_stands_in_the_audit(
    publishing: Publishing, faint: FaintDatabase
) -> None:
    saving = publishing.saving
    await saving.save("ada", "hi", request(), "ada")
    changes = [
        partial(saving.save, "ada", "hi", request("hello() = 2\n", note="two"), "ada"),
        partial(saving.activate, "ada", "hi", 1, "eve"),
        partial(saving.stop, "ada", "hi", "root", "admin", detail="it does harm"),
        partial(saving.start, "ada", "hi", "root", admin=True),
        partial(saving.remove, "ada", "hi", "ada"),
    ]
    for change in changes:
        faint.lost = 1
        with pytest.raises(UnavailableError):
            await change()
        await saving.settle()
    rows = await publishing.audit.rows("ada", 9)
    told = [(row.who, row.what, row.version, row.detail) for row in rows]
    assert told == [
        ("ada", "remove", 1, ""),
        ("root", "start", 1, ""),
        ("root", "stop", 1, "it does harm"),
        ("eve", "activate", 1, ""),
        ("ada", "save", 2, "two"),
        ("ada", "save", 1, ""),
    ]


async def test_what_was_not_done_and_what_was_done_again_is_told_no_more_than_once(
    publishing: Publishing, faint: FaintDatabase
) -> None:
    saving = publishing.saving
    await saving.save("ada", "hi", request(), "ada")
    faint.fault = DOWN
    with pytest.raises(UnavailableError):
        await saving.stop("ada", "hi", "ada", "owner")
    faint.fault = None
    await saving.settle()
    faint.lost = 1
    with pytest.raises(UnavailableError):
        await saving.stop("ada", "hi", "ada", "owner")
    await saving.stop("ada", "hi", "ada", "owner")
    await saving.settle()
    assert [row.what for row in await publishing.audit.rows("ada", 9)] == ["stop", "save"]


async def test_one_version_that_cannot_be_read_does_not_keep_the_others_from_answering(
    database: Database, tmp_path: Path
) -> None:
    one = publishing_on(database, tmp_path)
    await one.open()
    for name in ("hi", "of-another-release"):
        await one.saving.save("ada", name, request(), "ada")
    await one.close()
    versions = VersionTable(PluginContext("api"))
    versions.open(database)
    row = {"name": "ada/of-another-release", "version": 1, "options": {"colour": "green"}}
    database.record_save(versions.TABLE, row)
    two = publishing_on(database, tmp_path)
    await two.open()
    assert two.published.ready
    assert two.published.find("ada", "hi")[1].version == 1
    with pytest.raises(NotFoundError):
        two.published.find("ada", "of-another-release")
    saved, came = await two.saving.save("ada", "of-another-release", request(), "ada")
    assert (saved.version, came) == (2, "new")
    with pytest.raises(NotFoundError) as refused:
        await two.saving.activate("ada", "of-another-release", 1, "ada")
    assert refused.value.code == "api.version"
    await two.close()


async def test_nothing_is_unknown_before_the_database_was_read(
    faint: FaintDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("juliabox_services.api.publishing.PAUSE", (0.02, 0.02))
    before = publishing_on(faint, tmp_path)
    await before.open()
    await before.saving.save("ada", "hi", request(), "ada")
    await before.close()
    faint.fault = DOWN
    one = publishing_on(faint, tmp_path)
    await one.open()
    for name in ("hi", "other"):
        with pytest.raises(UnavailableError) as refused:
            one.published.find("ada", name)
        assert refused.value.code == "api.database"
    faint.fault = None
    await until(lambda: one.published.ready)
    assert one.published.find("ada", "hi")[1].version == 1
    with pytest.raises(NotFoundError):
        one.published.find("ada", "other")
    await one.close()
