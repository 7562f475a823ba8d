"""The look at a source before it is saved, in a container that serves nothing else."""

from __future__ import annotations

import asyncio

import pytest

from juliabox_services.api.engine_contract import CallError
from support.engine_stand import Stand, standing, version
from support.waiting import until

pytestmark = pytest.mark.usefixtures("patient")


async def test_a_source_that_loads_tells_its_functions(stand: Stand) -> None:
    checked = await stand.engine.check("ada", "sums", "fine", ["f", "g"])
    assert (checked.code, [one.name for one in checked.functions]) == ("", ["f", "g"])
    (made,) = stand.containers.made
    assert made.verb.version == 0
    await until(lambda: not stand.containers.there)


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("syntax!", "source.syntax", "incomplete"),
        ("using Mine!", "source.error", "Package Mine is not there: an API has Julia's standard"),
        ("no g!", "source.missing", "does not define g"),
        ("exit!", "source.crash", "exit code 7"),
        ("memory!", "source.crash", "ran out of its memory"),
    ],
)
async def test_a_source_that_cannot_be_published_is_told_why(
    stand: Stand, source: str, code: str, words: str
) -> None:
    checked = await stand.engine.check("ada", "sums", source, ["f", "g"])
    assert checked.code == code
    assert words in checked.message
    assert checked.functions == []
    await until(lambda: not stand.containers.there)


async def test_a_source_that_never_finishes_is_given_up_and_its_container_ended() -> None:
    async with standing(load_timeout=0.4) as stand:
        checked = await stand.engine.check("ada", "sums", "never!", ["f"])
        assert checked.code == "source.timeout"
        await until(lambda: not stand.containers.there)


async def test_a_source_that_needs_much_memory_is_looked_at_with_as_much_as_it_may_have(
    stand: Stand,
) -> None:
    checked = await stand.engine.check("ada", "sums", "much!", ["f"])
    assert (checked.code, checked.functions[0].name) == ("", "f")
    assert [one.verb.limits.memory for one in stand.containers.made] == [2**29, 2**31]


async def test_each_look_has_a_container_of_its_own_and_a_publisher_one_at_a_time(
    stand: Stand,
) -> None:
    await asyncio.gather(*(stand.engine.check("ada", "sums", "fine", ["f"]) for _ in range(4)))
    assert [one.loads for one in stand.containers.made] == [1] * 4
    assert stand.containers.peak <= 2


async def test_no_call_is_carried_out_where_a_source_was_looked_at(stand: Stand) -> None:
    await stand.engine.check("ada", "sums", "fine", ["echo"])
    await stand.call(version(), "echo")
    assert [one.calls for one in stand.containers.made] == [0, 1]


async def test_a_look_takes_an_idle_container_s_place_at_the_ceiling() -> None:
    async with standing(containers_per_publisher=1) as stand:
        await stand.call(version(), "echo")
        assert (await stand.engine.check("ada", "other", "fine", ["f"])).code == ""
        assert stand.containers.peak == 1


async def test_a_manager_that_is_away_is_a_matter_of_trying_again(stand: Stand) -> None:
    stand.containers.away = True
    with pytest.raises(CallError) as caught:
        await stand.engine.check("ada", "sums", "fine", ["f"])
    assert (caught.value.code, caught.value.retry_after) == ("api.starting", 5)


async def test_who_goes_away_from_a_look_leaves_no_container(stand: Stand) -> None:
    looking = asyncio.create_task(stand.engine.check("ada", "sums", "never!", ["f"]))
    await until(lambda: stand.containers.running)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    await until(lambda: not stand.containers.there)
    assert (await stand.engine.check("ada", "sums", "fine", ["f"])).code == ""


async def test_a_look_whose_container_is_killed_from_outside_is_made_once_more(
    stand: Stand,
) -> None:
    assert (await stand.engine.check("ada", "sums", "once!", ["f"])).code == ""
    assert len(stand.containers.made) == 2


async def test_a_look_that_is_killed_each_time_is_a_matter_of_trying_again(stand: Stand) -> None:
    with pytest.raises(CallError, match="from outside") as caught:
        await stand.engine.check("ada", "sums", "kill!", ["f"])
    assert (caught.value.code, caught.value.http_status) == ("api.starting", 503)
    assert caught.value.retry_after == 5
    await until(lambda: not stand.containers.there)


async def test_only_the_functions_that_were_asked_for_are_told(stand: Stand) -> None:
    checked = await stand.engine.check("ada", "sums", "more!", ["g", "f"])
    assert [one.name for one in checked.functions] == ["g", "f"]
