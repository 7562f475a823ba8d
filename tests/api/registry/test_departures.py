"""What a person published ends to answer when the hub has removed that person, and only then.

Who is added under the same name afterwards is somebody else, however soon that is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from juliabox_ext.db import Database
from juliabox_ext.errors import PolicyError, UnavailableError
from juliabox_ext.plugin import PluginContext
from juliabox_ext.registry import Registry
from juliabox_services.api import departures
from juliabox_services.api.departures import Departures
from juliabox_services.api.models import Function, Options, Version
from juliabox_services.api.people import SCOPE, People
from juliabox_services.api.publishing import Publishing
from juliabox_services.api.tables import ApiTable, Tables
from support.api_front import SmallHub
from support.published_stand import (
    GREETING,
    CheckingBack,
    FaintDatabase,
    OneDatabase,
    publishing_on,
    request,
    sources,
)
from support.waiting import until


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SmallHub]:
    monkeypatch.setattr(departures, "STEP", 0.0)
    made = SmallHub()
    made.people = {"ada", "bob"}
    yield made
    made.close()


@pytest.fixture
async def people(hub: SmallHub) -> AsyncIterator[People]:
    made = People(hub.url, hub.token("api", SCOPE, kind="service"))
    yield made
    made.close()


async def departures_of(people: People, publishing: Publishing) -> Departures:
    for who, name in (("ada", "one"), ("ada", "two"), ("bob", "one")):
        await publishing.saving.save(who, name, request(), who)
    return Departures(people, publishing.published, publishing.saving)


@pytest.fixture
async def looking(people: People, publishing: Publishing) -> AsyncIterator[Departures]:
    made = await departures_of(people, publishing)
    yield made
    await made.close()


def stopped(publishing: Publishing) -> dict[str, str]:
    return {f"{api.publisher}/{api.api}": api.stopped for api, _ in publishing.published}


async def test_the_apis_of_who_was_removed_are_stopped_until_an_admin_starts_them(
    hub: SmallHub, people: People, anywhere: Publishing, back: CheckingBack
) -> None:
    publishing, looking = anywhere, await departures_of(people, anywhere)
    await publishing.saving.stop("ada", "two", "ada", "owner")
    await looking.look()
    hub.people.remove("ada")
    await looking.look()
    assert stopped(publishing) == {"ada/one": "", "ada/two": "owner", "bob/one": ""}
    await looking.look()
    assert stopped(publishing) == {"ada/one": "gone", "ada/two": "gone", "bob/one": ""}
    assert back.active["ada", "one"] is None
    row = (await publishing.audit.rows("ada", 1))[0]
    assert (row.who, row.what, row.detail) == ("JuliaBox", "stop", "ada is no user any more")
    hub.people.add("ada")  # who may be somebody else
    await looking.look()
    with pytest.raises(PolicyError):
        await publishing.saving.start("ada", "one", "ada", admin=False)
    await publishing.saving.start("ada", "one", "root", admin=True)
    await looking.look()
    assert stopped(publishing)["ada/one"] == ""
    await looking.close()


async def test_a_name_over_which_the_hub_stumbles_keeps_nobody_else_from_being_looked_at(
    hub: SmallHub, looking: Departures, publishing: Publishing
) -> None:
    hub.stumbles, hub.people = {"ada"}, set()
    await looking.look()
    await looking.look()
    assert stopped(publishing) == {"ada/one": "", "ada/two": "", "bob/one": "gone"}


async def test_a_hub_that_stumbles_over_everybody_is_not_asked_for_all(
    hub: SmallHub, looking: Departures, publishing: Publishing
) -> None:
    for name in ("carl", "dora"):
        await publishing.saving.save(name, "one", request(), name)
    asked = hub.asked.total()
    hub.stumbles = {"ada", "bob", "carl", "dora"}
    with pytest.raises(UnavailableError):
        await looking.look()
    assert (
        hub.asked.total() == asked + 1 + departures.UNANSWERED
    )  # the first is for the engine's own


async def test_who_was_removed_while_no_engine_ran_is_noticed(
    hub: SmallHub, looking: Departures, publishing: Publishing
) -> None:
    hub.people.clear()
    await looking.look()
    await looking.look()
    assert set(stopped(publishing).values()) == {"gone"}


async def test_what_an_admin_published_for_who_never_was_there_goes_on(
    hub: SmallHub, looking: Departures, publishing: Publishing
) -> None:
    await publishing.saving.save("nobody", "one", request(), "root")
    for _ in range(3):
        await looking.look()
    assert stopped(publishing)["nobody/one"] == ""


@pytest.mark.parametrize("status", [403, 500, 502, 301])
async def test_a_hub_that_does_not_tell_changes_nothing(
    hub: SmallHub, looking: Departures, publishing: Publishing, status: int
) -> None:
    await looking.look()
    hub.people.clear()
    hub.status = status
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await looking.look()
    hub.close()
    with pytest.raises(UnavailableError):
        await looking.look()
    assert set(stopped(publishing).values()) == {""}


async def test_a_token_that_may_not_ask_changes_nothing(
    hub: SmallHub, looking: Departures, publishing: Publishing
) -> None:
    token = hub.token("api", "read:services!service=api", kind="service")
    asking = People(hub.url, token)
    blind = Departures(asking, publishing.published, publishing.saving)
    hub.people.clear()
    for _ in range(3):
        with pytest.raises(UnavailableError, match=SCOPE):
            await blind.look()
    assert set(stopped(publishing).values()) == {""}
    await blind.close()
    asking.close()


async def test_it_looks_by_itself_and_goes_on_when_the_hub_was_away(
    hub: SmallHub, looking: Departures, publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departures, "ROUND", 0.02)
    hub.status = 503
    looking.start()
    await until(lambda: hub.asked.total() > 3)
    hub.people.remove("ada")
    hub.status = 0
    await until(lambda: stopped(publishing)["ada/two"] == "gone")
    assert stopped(publishing)["bob/one"] == ""


async def test_what_an_admin_took_over_from_who_was_removed_goes_on(
    hub: SmallHub, looking: Departures, publishing: Publishing
) -> None:
    hub.people.remove("ada")
    for _ in range(2):
        await looking.look()
    await publishing.saving.start("ada", "one", "root", admin=True)
    for _ in range(2):
        await looking.look()
    assert stopped(publishing)["ada/one"] == "gone"
    await publishing.saving.save("ada", "one", request(), "root")
    await publishing.saving.start("ada", "one", "root", admin=True)
    for _ in range(3):
        await looking.look()
    assert stopped(publishing) == {"ada/one": "", "ada/two": "gone", "bob/one": ""}


async def test_what_an_admin_had_stopped_is_of_who_was_removed_as_well(
    hub: SmallHub, looking: Departures, publishing: Publishing
) -> None:
    await publishing.saving.stop("ada", "one", "root", "admin")
    hub.people.remove("ada")
    for _ in range(2):
        await looking.look()
    assert stopped(publishing)["ada/one"] == "gone"
    await publishing.saving.stop("ada", "one", "root", "admin")
    assert stopped(publishing)["ada/one"] == "gone"


#: When the hub made ada's account, and that of somebody who was called ada later.
FIRST, SECOND = "2026-03-01T08:00:00.000001Z", "2026-03-01T08:00:30.000001Z"


async def test_who_is_added_under_the_name_at_once_is_somebody_else_and_keeps_her_own(
    hub: SmallHub, people: People, anywhere: Publishing, back: CheckingBack
) -> None:
    publishing, looking = anywhere, await departures_of(people, anywhere)
    hub.accounts["ada"] = FIRST
    await publishing.saving.save("ada", "three", request(), "ada", FIRST)
    await looking.look()
    assert set(stopped(publishing).values()) == {""}
    hub.accounts["ada"] = SECOND
    await publishing.saving.save("ada", "own", request(), "ada", SECOND)
    await looking.look()
    gone = {"ada/one": "gone", "ada/two": "gone", "ada/three": "gone"}
    assert stopped(publishing) == {**gone, "ada/own": "", "bob/one": ""}
    assert (back.active["ada", "one"], back.active["ada", "three"]) == (None, None)
    rows = await publishing.audit.rows("ada", 9)
    assert (rows[0].who, rows[0].detail) == ("JuliaBox", "ada is somebody else now")
    await looking.look()
    assert stopped(publishing)["ada/own"] == ""
    await looking.close()


async def test_what_an_admin_starts_is_of_who_has_the_name_then(
    hub: SmallHub, looking: Departures, publishing: Publishing
) -> None:
    hub.accounts["ada"] = FIRST
    await looking.look()
    hub.accounts["ada"] = SECOND
    await looking.look()
    await publishing.saving.start("ada", "one", "root", admin=True)
    for _ in range(2):
        await looking.look()
    assert publishing.published.find("ada", "one")[0].account == SECOND
    assert stopped(publishing) == {"ada/one": "", "ada/two": "gone", "bob/one": ""}


async def test_what_was_published_for_somebody_who_is_removed_while_no_engine_ran_is_stopped(
    hub: SmallHub, looking: Departures, publishing: Publishing
) -> None:
    hub.accounts["ada"] = FIRST
    await publishing.saving.save("ada", "three", request(), "root")
    await looking.look()
    hub.people.remove("ada")
    looking._seen.clear()  # as a new engine has it
    for _ in range(2):
        await looking.look()
    assert stopped(publishing)["ada/three"] == "gone"


@pytest.mark.parametrize(
    "then",
    [FIRST, "", "2026-03-01T08:00:00Z", "2026-03-01T09:00:00.000001+01:00"],
    ids=["same", "not-told", "in-seconds", "in-other-words"],
)
async def test_an_account_that_is_the_same_or_not_told_changes_nothing(
    hub: SmallHub, looking: Departures, publishing: Publishing, then: str
) -> None:
    hub.accounts["ada"] = FIRST
    await looking.look()
    hub.accounts["ada"] = then
    for _ in range(3):
        await looking.look()
    assert set(stopped(publishing).values()) == {""}
    assert publishing.published.find("ada", "one")[0].account == FIRST


class ApiTableBefore(ApiTable):
    """As releases declared it that did not know accounts."""

    ATTRIBUTES: ClassVar[Any] = [one for one in ApiTable.ATTRIBUTES if one.name != "account"]


async def test_what_an_older_release_wrote_is_of_who_is_there_from_the_first_look_on(
    hub: SmallHub, people: People, database: Database, tmp_path: Path
) -> None:
    older, table = Tables(cast(Registry, OneDatabase(database))), ApiTableBefore(PluginContext(""))
    older._apis = table
    older.add_version(
        Version(
            publisher="ada", api="one", version=1, source=GREETING, saved=2.0, saved_by="ada",
            functions=[Function(name="hello")], options=Options(),
        )
    )  # fmt: skip
    database.record_create(
        table.TABLE,
        {"publisher": "ada", "api": "one", "active": 1, "newest": 1, "created": 2.0, "stopped": "",
         "removed": False},
    )  # fmt: skip

    hub.accounts["ada"] = FIRST
    one = publishing_on(database, tmp_path)
    await one.open()
    assert one.published.find("ada", "one")[0].account == ""
    looking = Departures(people, one.published, one.saving)
    await looking.look()
    await one.close()

    hub.accounts["ada"] = SECOND
    two = publishing_on(database, tmp_path)
    await two.open()
    assert two.published.find("ada", "one")[0].account == FIRST
    await Departures(people, two.published, two.saving).look()
    assert stopped(two) == {"ada/one": "gone"}
    await two.close()


async def test_what_the_newcomer_publishes_while_the_hub_is_asked_is_not_judged_by_its_answer(
    hub: SmallHub, looking: Departures, publishing: Publishing
) -> None:
    hub.accounts["ada"] = FIRST
    await looking.look()
    hub.go_on.clear()
    asked = hub.asked["ada"]
    late = asyncio.create_task(looking.look())
    await until(lambda: hub.asked["ada"] > asked)
    hub.accounts["ada"] = SECOND
    await publishing.saving.save("ada", "own", request(), "ada", SECOND)
    await publishing.saving.remove("ada", "one", "root", admin=True)
    await publishing.saving.save("ada", "one", request(), "ada", SECOND)
    hub.go_on.set()
    await late
    assert set(stopped(publishing).values()) == {""}
    await looking.look()
    assert stopped(publishing) == {"ada/one": "", "ada/own": "", "ada/two": "gone", "bob/one": ""}


async def test_what_an_admin_hands_over_while_the_hub_is_asked_is_not_stopped_by_its_answer(
    hub: SmallHub, looking: Departures, publishing: Publishing, back: CheckingBack
) -> None:
    hub.accounts["ada"] = FIRST
    await looking.look()
    hub.accounts["ada"] = SECOND
    seen = publishing.published.find("ada", "one")[0]
    await looking.look()
    await publishing.saving.start("ada", "one", "root", admin=True, account=SECOND)
    await publishing.saving.stop("ada", "one", "JuliaBox", "gone", seen=seen)
    await publishing.saving.note_account(seen, FIRST)
    assert publishing.published.find("ada", "one")[0].account == SECOND
    assert stopped(publishing)["ada/one"] == ""


async def test_a_save_under_way_of_who_was_removed_gets_into_nothing_of_the_newcomer(
    hub: SmallHub, looking: Departures, publishing: Publishing, back: CheckingBack
) -> None:
    hub.accounts["ada"] = FIRST
    await looking.look()
    back.go_on.clear()
    first, second = sources(2)
    saves = [
        asyncio.create_task(publishing.saving.save("ada", name, request(first), "ada", FIRST))
        for name in ("one", "fresh")
    ]
    await until(lambda: first in back.checks)
    hub.accounts["ada"] = SECOND
    await looking.look()
    await publishing.saving.start("ada", "one", "root", admin=True, account=SECOND)
    late = asyncio.create_task(
        publishing.saving.save("ada", "fresh", request(second), "ada", SECOND)
    )
    back.go_on.set()
    with pytest.raises(PolicyError, match="had your name"):
        await saves[0]
    assert publishing.published.find("ada", "one")[0].active == 1
    await saves[1]
    with pytest.raises(PolicyError) as refused:
        await late
    assert refused.value.code == "api.owner"
    await looking.look()
    assert stopped(publishing)["ada/fresh"] == "gone"


async def test_an_account_that_could_not_be_written_is_noted_later(
    hub: SmallHub, looking: Departures, publishing: Publishing, faint: FaintDatabase
) -> None:
    hub.accounts["ada"] = FIRST
    faint.lost = 1
    with pytest.raises(UnavailableError):
        await looking.look()
    assert publishing.published.find("ada", "one")[0].account == ""
    await looking.look()
    assert publishing.published.find("ada", "one")[0].account == FIRST


async def test_to_note_an_account_disturbs_nothing_that_is_made_ready(
    hub: SmallHub, looking: Departures, publishing: Publishing, back: CheckingBack
) -> None:
    back.active.clear()
    hub.accounts["ada"] = FIRST
    await looking.look()
    assert publishing.published.find("ada", "one")[0].account == FIRST
    assert not back.active
    assert len(await publishing.audit.rows("ada", 9)) == 2
