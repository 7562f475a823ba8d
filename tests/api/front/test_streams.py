"""Functions that yield: events, arrays, and what breaks off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from juliabox_services.api.engine_contract import Answer
from juliabox_services.api.streams_http import event
from support.api_front import PREFIX, FrontStand
from support.waiting import LoopClock, until

EVENTS = {"Accept": "text/event-stream"}


def events(text: str) -> list[tuple[str, str, object]]:
    found = []
    for block in text.split("\n\n"):
        lines = [line.partition(": ") for line in block.split("\n") if line]
        fields = {name: value for name, _, value in lines if name}
        if fields:
            found.append(
                (fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"]))
            )
    return found


async def test_values_come_as_events_for_who_asks_for_them(stand: FrontStand) -> None:
    answer = await stand.get("ada/sums/count/3", headers=EVENTS)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert events(answer.text) == [("", "1", 1), ("", "2", 2), ("", "3", 3), ("end", "", None)]
    assert stand.notes.rows[0]["status"] == 200


def add_slow(stand: FrontStand) -> asyncio.Semaphore:
    """Publish a function that yields 3 values; return what lets it yield each."""
    let = asyncio.Semaphore(0)

    async def values() -> AsyncIterator[bytes]:
        for number in (b"1", b"2", b"3"):
            await let.acquire()
            yield number

    async def slow(_: list[Any], __: dict[str, Any]) -> Answer:
        return Answer(type="application/json", body=b"", items=values())

    stand.back.table["slow"] = slow
    stand.publish()
    return let


async def test_an_event_comes_when_the_function_yields_it(stand: FrontStand) -> None:
    let, seen = add_slow(stand), []
    let.release()
    async with stand.http.stream("GET", "ada/sums/slow", headers=EVENTS) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                # the next is yielded only now that this one has come
                seen.append(line)
                let.release()
    assert seen == ["data: 1", "data: 2", "data: 3", "data: null"]


async def test_values_come_as_an_array_for_all_others(stand: FrontStand) -> None:
    answer = await stand.get("ada/sums/count/3")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == [1, 2, 3]
    assert (await stand.get("ada/sums/count/0")).json() == []


async def test_an_array_that_breaks_off_is_a_failure(stand: FrontStand) -> None:
    answer = await stand.get("ada/sums/count/3?fail=2")
    assert (answer.status_code, answer.json()["code"]) == (500, "api.error")


async def test_events_that_break_off_end_with_the_error(stand: FrontStand) -> None:
    answer = await stand.get("ada/sums/count/3?fail=2", headers=EVENTS)
    assert events(answer.text) == [
        ("", "1", 1),
        ("error", "", {"code": "api.error", "message": "no more"}),
    ]
    assert [row["status"] for row in stand.notes.rows] == [500]


async def test_an_array_over_the_bound_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    stand = FrontStand(tmp_path_factory.mktemp("front"), result=100)
    stand.publish()
    try:
        answer = await stand.get("ada/sums/count/1000")
        assert (answer.status_code, answer.json()["code"]) == (500, "api.result")
        assert stand.back.closed_streams == 1
        many = await stand.get("ada/sums/count/1000", headers=EVENTS)
        assert len(events(many.text)) == 1001
    finally:
        await stand.close()


async def test_a_plain_result_is_one_event_for_who_asks_for_events(stand: FrontStand) -> None:
    answer = await stand.get("ada/sums/echo/1", headers=EVENTS)
    assert events(answer.text) == [
        ("", "1", {"arguments": [1], "keywords": {}}),
        ("end", "", None),
    ]


async def test_a_browser_that_connects_again_does_not_call_again(stand: FrontStand) -> None:
    headers = {**EVENTS, "Last-Event-ID": "2"}
    answer = await stand.get("ada/sums/count/3", headers=headers)
    assert answer.status_code == 204
    assert not stand.back.calls


async def test_a_listener_who_goes_away_ends_the_stream(stand: FrontStand) -> None:
    path = "ada/sums/count/1000?pause=0.05"
    async with stand.http.stream("GET", path, headers=EVENTS) as answer:
        async for _ in answer.aiter_lines():
            break
    await until(lambda: stand.back.closed_streams and stand.notes.rows)
    assert stand.back.closed_streams == 1
    assert [row["status"] for row in stand.notes.rows] == [499]


async def test_silence_is_broken_by_comments(
    stand: FrontStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("juliabox_services.api.streams_http.PAUSE", 0.05)
    let, comments, text = add_slow(stand), 0, ""
    async with stand.http.stream("GET", "ada/sums/slow", headers=EVENTS) as answer:
        async for piece in answer.aiter_text():
            text += piece
            if not comments and text.count(": the function goes on\n\n") >= 3:
                comments = 3
                for _ in range(3):
                    let.release()
    assert events(text)[-2:] == [("", "3", 3), ("end", "", None)]


async def test_large_values_that_nobody_takes_have_a_room_for_all_of_them(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("juliabox_services.api.base.ANSWER_SECONDS", 20.0)
    clock = LoopClock(asyncio.get_running_loop())
    stand = FrontStand(tmp_path_factory.mktemp("front"), room=20_000_000)

    async def values() -> AsyncIterator[bytes]:
        yield b'"' + b"1" * 8_000_000 + b'"'

    async def large(_: list[Any], __: dict[str, Any]) -> Answer:
        return Answer(type="application/json", body=b"", items=values())

    stand.back.table["large"] = large
    stand.publish()
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", stand.port, limit=1000)
        lines = [f"GET {PREFIX}ada/sums/large HTTP/1.1", "Host: x", "Accept: text/event-stream"]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await until(lambda: stand.front.room._left < 20_000_000)
        refused = events((await stand.get("ada/sums/large", headers=EVENTS)).text)
        told = {"code": "api.overload", "message": "Too many large answers are on their way"}
        assert refused == [("error", "", told)]
        clock.later(20.0)
        await until(lambda: len(stand.notes.rows) == 2)
        assert [row["status"] for row in stand.notes.rows] == [503, 499]
        taken = events((await stand.get("ada/sums/large", headers=EVENTS)).text)
        assert [name for name, _, _ in taken] == ["", "end"]
        assert stand.front.room._left == 20_000_000
        writer.close()
    finally:
        await stand.close()


def test_a_value_of_several_lines_cannot_end_its_event() -> None:
    assert event(b"1\n\nevent: end\r\n2", number=1) == (
        b"id: 1\ndata: 1\ndata: \ndata: event: end\ndata: 2\n\n"
    )
