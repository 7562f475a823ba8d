"""Bodies that are too large, too slow, too many, or of a kind that nobody reads."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from juliabox_services.api.engine_contract import Answer
from support.api_front import PREFIX, FrontStand, taking
from support.waiting import LoopClock, until

LIMIT = 100_000


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[FrontStand]:
    """Return a front that admits small bodies only."""
    made = FrontStand(tmp_path, body=LIMIT)
    made.publish()
    yield made
    await made.close()


@pytest.fixture
async def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FrontStand]:
    """Return one that does not wait for them for long."""
    monkeypatch.setattr("juliabox_services.api.bodies.LINGER", 0.5)
    made = FrontStand(tmp_path, body=LIMIT, body_seconds=0.5)
    made.publish()
    yield made
    await made.close()


def head(path: str = "ada/sums/echo", *headers: str, method: str = "POST") -> bytes:
    lines = [f"{method} {PREFIX}{path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("size", [LIMIT + 1, 10 * LIMIT, 40 * LIMIT])
async def test_a_body_over_the_bound_is_refused_with_413(small: FrontStand, size: int) -> None:
    answer = await small.ask("POST", "ada/sums/echo", content=b"1" * size)
    assert (answer.status_code, answer.json()["code"]) == (413, "api.large")
    assert not small.back.calls


async def test_a_body_of_exactly_the_bound_is_admitted(small: FrontStand) -> None:
    answer = await small.ask("POST", "ada/sums/echo", content=b'"' + b"1" * (LIMIT - 2) + b'"')
    assert answer.status_code == 200


async def test_a_chunked_body_over_the_bound_is_refused_with_413(small: FrontStand) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"1" * 10_000

    answer = await small.ask("POST", "ada/sums/echo", content=pieces())
    assert (answer.status_code, answer.json()["code"]) == (413, "api.large")


async def test_a_chunked_body_is_read(small: FrontStand) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"[1,"
        yield b"2]"

    answer = await small.ask("POST", "ada/sums/echo", content=pieces())
    assert answer.json()["arguments"] == [1, 2]


async def test_an_endless_body_is_answered_slowed_down_and_broken_off(
    hasty: FrontStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("juliabox_services.api.bodies.DISCARDED", 10 * LIMIT)
    sent = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    writer.write(head("ada/sums/echo", "Content-Length: 100000000000"))
    answered = asyncio.create_task(reader.read(1000))
    try:
        while True:
            writer.write(b"1" * LIMIT)
            sent += LIMIT
            async with asyncio.timeout(20):
                await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
    assert status(await answered) == 413
    assert sent < 500 * LIMIT
    assert (await hasty.get("ada/sums/echo")).status_code == 200


async def test_who_asks_first_is_refused_without_sending(small: FrontStand) -> None:
    headers = ("Content-Length: 1000000", "Expect: 100-continue")
    answer = await small.raw(head("ada/sums/echo", *headers))
    assert status(answer) == 413


async def test_who_asks_first_of_the_proxy_is_refused_when_all_was_sent(tmp_path: Path) -> None:
    stand = FrontStand(tmp_path, proxied=True, body=LIMIT)
    stand.publish("ada/hers", access="users")
    body = b"1" * 50_000
    ask = head("ada/hers/echo", f"Content-Length: {len(body)}", "Expect: 100-continue")
    try:
        answer = await stand.raw(ask, body, pause=0.1)
        assert answer.startswith(b"HTTP/1.1 100 ")
        assert status(answer.partition(b"\r\n\r\n")[2]) == 401
        refused = await stand.raw(head("ada/hers/echo", "Expect: 100-continue", method="GET"))
        assert b" 401 " in refused
    finally:
        await stand.close()


async def test_a_body_that_comes_too_slowly_is_refused_with_408(hasty: FrontStand) -> None:
    answer = await hasty.raw(head("ada/sums/echo", "Content-Length: 100"), b"[1,", pause=0.1)
    assert status(answer) == 408
    assert b"api.slow" in answer
    assert not hasty.back.calls


async def test_a_body_that_drips_is_refused_with_408(hasty: FrontStand) -> None:
    answer = await hasty.raw(head("ada/sums/echo", "Content-Length: 100"), *[b"1"] * 20, pause=0.05)
    assert status(answer) == 408


async def test_a_caller_who_leaves_within_the_body_leaves_nothing(small: FrontStand) -> None:
    room = small.front.room._left
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", small.port)
        writer.write(head("ada/sums/echo", "Content-Length: 100") + b"[1")
        await writer.drain()
        await until(lambda: small.front.room._left < room)
        writer.close()
        await until(lambda: small.front.room._left == room)
    assert not small.back.calls


async def test_bodies_have_a_room_for_all_of_them(tmp_path: Path) -> None:
    stand = FrontStand(tmp_path, room=100_000)
    stand.publish()
    try:
        answer = await stand.ask("POST", "ada/sums/echo", content=b"1" * 60_000)
        assert (answer.status_code, answer.json()["code"]) == (503, "api.overload")
        assert "Retry-After" in answer.headers
        for _ in range(3):
            body = b'"' + b"1" * 40_000 + b'"'
            assert (await stand.ask("POST", "ada/sums/echo", content=body)).status_code == 200
        assert stand.front.room._left == 100_000
    finally:
        await stand.close()


async def test_the_body_of_a_call_for_later_has_its_room_until_the_call_is_over(
    tmp_path: Path,
) -> None:
    stand = FrontStand(tmp_path, room=100_000)
    stand.publish()
    headers = {"Prefer": "respond-async"}
    body = b"[30]" + b" " * 40_000
    try:
        accepted = await stand.ask("POST", "ada/sums/wait", content=body, headers=headers)
        assert accepted.status_code == 202
        refused = await stand.ask("POST", "ada/sums/wait", content=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (503, "api.overload")
        await stand.ask("DELETE", accepted.headers["Location"].removeprefix(PREFIX))
        assert stand.front.room._left == 100_000
    finally:
        await stand.close()


async def test_callers_of_one_publisher_do_not_take_the_room_of_anothers(tmp_path: Path) -> None:
    stand = FrontStand(tmp_path, room=100_000)
    stand.publish()
    stand.publish("bob/sums")
    body = b"[30]" + b" " * 30_000
    try:
        taking = [
            asyncio.create_task(stand.ask("POST", "ada/sums/wait", content=body)) for _ in range(4)
        ]
        await until(lambda: sum(task.done() for task in taking) == 3 and stand.back.calls)
        answer = await stand.ask("POST", "bob/sums/echo", content=body)
        assert answer.status_code == 200
        for task in taking:
            task.cancel()
        await asyncio.gather(*taking, return_exceptions=True)
    finally:
        await stand.close()


async def test_large_answers_that_nobody_takes_have_a_room_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("juliabox_services.api.base.ANSWER_SECONDS", 20.0)
    clock = LoopClock(asyncio.get_running_loop())
    stand = FrontStand(tmp_path, room=20_000_000)

    async def large(_: list[Any], __: dict[str, Any]) -> Answer:
        return Answer(type="application/json", body=b"1" * 8_000_000)

    stand.back.table["large"] = large
    stand.publish()
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", stand.port, limit=1000)
        writer.write(head("ada/sums/large", method="GET"))
        await until(lambda: stand.front.room._left < 20_000_000)
        answer = await stand.get("ada/sums/large")
        assert (answer.status_code, answer.json()["code"]) == (503, "api.overload")
        await until(lambda: len(stand.notes.rows) == 2)
        assert [row["status"] for row in stand.notes.rows] == [200, 503]
        assert (await stand.get("ada/sums/echo")).status_code == 200
        assert stand.front.room._left < 20_000_000
        clock.later(20.0)
        await until(lambda: stand.front.room._left == 20_000_000)
        assert len((await stand.get("ada/sums/large")).content) == 8_000_000
        # who has the last byte may be ahead of who gives the room back
        await until(lambda: stand.front.room._left == 20_000_000)
        writer.close()
    finally:
        await stand.close()


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"],
)
async def test_a_body_that_is_no_json_by_its_type_is_refused(stand: FrontStand, kind: str) -> None:
    answer = await stand.ask(
        "POST", "ada/sums/echo", content=b"[1]", headers={"Content-Type": kind}
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "api.media")


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"]
)
async def test_json_has_several_types(stand: FrontStand, kind: str) -> None:
    answer = await stand.ask(
        "POST", "ada/sums/echo", content=b"[1]", headers={"Content-Type": kind}
    )
    assert answer.status_code == 200


async def test_a_packed_body_is_refused(stand: FrontStand) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    content = gzip.compress(b"[" + b"0," * 100_000 + b"0]")
    answer = await stand.ask("POST", "ada/sums/echo", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "api.media")


@pytest.mark.parametrize("length", ["-1", "1e3", "abc", "5, 6", "\u0661"])
async def test_a_length_that_is_none_is_refused(stand: FrontStand, length: str) -> None:
    text = head("ada/sums/echo").replace(b"\r\n\r\n", b"\r\nContent-Length: ")
    answer = await stand.raw(text + length.encode() + b"\r\n\r\n[1]")
    assert status(answer) in {400, 413}
    assert not stand.back.calls


async def test_two_lengths_or_two_ways_to_tell_one_are_refused(stand: FrontStand) -> None:
    two = head("ada/sums/echo", "Content-Length: 3", "Content-Length: 4") + b"[1]x"
    both = head("ada/sums/echo", "Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
    for text in (two, both):
        assert status(await stand.raw(text)) == 400
    assert not stand.back.calls


async def test_a_refusal_by_access_comes_through_though_a_body_is_sent(
    stand: FrontStand,
) -> None:
    stand.publish("ada/hers", access="users")
    for _ in range(10):
        answer = await stand.ask("POST", "ada/hers/echo", content=b"1" * 1_000_000)
        assert (answer.status_code, answer.json()["code"]) == (401, "api.login")


@pytest.mark.parametrize(
    "path", ["ada/sums/nothing", "ada/hers/echo", "ada/none/f", "ada/sums/boom"]
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_who_is_refused_keeps_a_connection_that_others_use_through_the_proxy(
    stand: FrontStand, method: str, path: str
) -> None:
    stand.publish("ada/hers", access="users")
    stand.publish("ada/sums", taking("boom", "Int64"))
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    ask = f"{method} {PREFIX}{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    try:
        for _ in range(2):
            writer.write(ask.encode())
            async with asyncio.timeout(20):
                answer = await reader.readuntil(b"\r\n\r\n")
            assert status(answer) >= 400
            assert b"connection: close" not in answer.lower()
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            await asyncio.sleep(0.05)
    finally:
        writer.close()


async def test_headers_without_end_are_broken_off(stand: FrontStand) -> None:
    text = f"GET {PREFIX}ada/sums/echo HTTP/1.1\r\n".encode()
    answer = await stand.raw(text + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n")
    assert answer == b"" or status(answer) in {400, 431}
    assert (await stand.get("ada/sums/echo")).status_code == 200


async def test_many_slow_callers_do_not_keep_others_waiting(small: FrontStand) -> None:
    connections = []
    for _ in range(100):
        _, writer = await asyncio.open_connection("127.0.0.1", small.port)
        writer.write(head("ada/sums/echo", "Content-Length: 1000") + b"[")
        connections.append(writer)
    try:
        async with asyncio.timeout(15):  # the slow ones have 20 s
            for _ in range(20):
                assert (await small.get("ada/sums/echo")).status_code == 200
    finally:
        for writer in connections:
            writer.close()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("GET ada/sums/openapi.json", 200),
        ("GET ada/sums", 200),
        ("DELETE ada/sums/openapi.json", 405),
        ("GET ada/none/openapi.json", 404),
        (f"GET _/results/{'0' * 32}", 404),
        ("POST _/nothing/at/all", 404),
        ("POST ", 405),
    ],
)
async def test_a_body_that_nobody_reads_costs_the_next_request_nothing(
    small: FrontStand, asked: str, told: int
) -> None:
    method, _, path = asked.partition(" ")
    lines = [f"{method} {PREFIX}{path} HTTP/1.1", "Host: x", f"Content-Length: {10 * LIMIT}"]
    first = "\r\n".join([*lines, "", "1" * 10 * LIMIT]).encode()
    came = await small.raw(first, head("ada/sums/echo", "Content-Length: 0"))
    assert status(came) == told
    assert status(came[came.index(b"HTTP/1.1", 1) :]) == 200


async def test_a_browser_that_sends_a_body_is_led_to_the_page_all_the_same(
    small: FrontStand,
) -> None:
    lines = [f"GET {PREFIX}ada/sums HTTP/1.1", "Host: x", "Accept: text/html"]
    body = [f"Content-Length: {10 * LIMIT}", "", "1" * 10 * LIMIT]
    came = await small.raw("\r\n".join([*lines, *body]).encode(), head("x/y/z"))
    assert status(came) == 302
    assert status(came[came.index(b"HTTP/1.1", 1) :]) == 404
