"""What a person published ends to answer when the hub has removed that person, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from juliabox_ext.errors import PolicyError, UnavailableError
from juliabox_services.api import departures
from juliabox_services.api.departures import SCOPE, Departures
from juliabox_services.api.publishing import Publishing
from support.api_front import SmallHub
from support.published_stand import CheckingBack, request


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SmallHub]:
    monkeypatch.setattr(departures, "STEP", 0.0)
    made = SmallHub()
    made.people = {"ada", "bob"}
    yield made
    made.close()


async def departures_of(hub: SmallHub, publishing: Publishing) -> Departures:
    token = hub.token("api", SCOPE, kind="service")
    for who, name in (("ada", "one"), ("ada", "two"), ("bob", "one")):
        await publishing.saving.save(who, name, request(), who)
    return Departures(hub.url, token, publishing.published, publishing.saving)


@pytest.fixture
async def looking(hub: SmallHub, publishing: Publishing) -> AsyncIterator[Departures]:
    made = await departures_of(hub, publishing)
    yield made
    await made.close()


def stopped(publishing: Publishing) -> dict[str, str]:
    return {f"{api.publisher}/{api.api}": api.stopped for api, _ in publishing.published}


async def test_the_apis_of_who_was_removed_are_stopped_until_an_admin_starts_them(
    hub: SmallHub, anywhere: Publishing, back: CheckingBack
) -> None:
    publishing, looking = anywhere, await departures_of(hub, anywhere)
    await publishing.saving.stop("ada", "two", "ada", admin=False)
    await looking.look()
    hub.people.remove("ada")
    await looking.look()
    assert stopped(publishing) == {"ada/one": "", "ada/two": "owner", "bob/one": ""}
    await looking.look()
    assert stopped(publishing) == {"ada/one": "admin", "ada/two": "admin", "bob/one": ""}
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


async def test_who_was_removed_while_no_engine_ran_is_noticed(
    hub: SmallHub, looking: Departures, publishing: Publishing
) -> None:
    hub.people.clear()
    await looking.look()
    await looking.look()
    assert set(stopped(publishing).values()) == {"admin"}


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
    blind = Departures(hub.url, token, publishing.published, publishing.saving)
    hub.people.clear()
    for _ in range(3):
        with pytest.raises(UnavailableError, match=SCOPE):
            await blind.look()
    assert set(stopped(publishing).values()) == {""}
    await blind.close()


async def test_it_looks_by_itself_and_goes_on_when_the_hub_was_away(
    hub: SmallHub, looking: Departures, publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departures, "ROUND", 0.02)
    hub.status = 503
    looking.start()
    await asyncio.sleep(0.2)
    hub.people.remove("ada")
    hub.status = 0
    async with asyncio.timeout(5):
        while stopped(publishing)["ada/two"] != "admin":  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.02)
    assert stopped(publishing)["bob/one"] == ""
