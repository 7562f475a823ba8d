"""Calls that their callers do not wait for."""

from __future__ import annotations

import asyncio

import pytest

from juliabox_services.api import async_results
from juliabox_services.api.access import CALL_SCOPE
from juliabox_services.api.async_results import Outcome, Results
from support.api_front import PREFIX, FrontStand
from support.waiting import until

LATER = {"Prefer": "respond-async"}


async def result(stand: FrontStand, where: str, token: str = "") -> tuple[int, object]:
    async with asyncio.timeout(20):
        while True:
            answer = await stand.get(where.removeprefix(PREFIX), token)
            if answer.status_code != 202:
                return answer.status_code, answer.json()
            assert answer.headers["Retry-After"]
            await asyncio.sleep(0.02)


async def test_a_call_for_later_is_accepted_and_its_result_is_there_in_the_end(
    stand: FrontStand,
) -> None:
    answer = await stand.get("ada/sums/wait/0.2", headers=LATER)
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    where = answer.headers["Location"]
    assert answer.json() == {"request": answer.headers["X-Request-Id"], "result": where}
    assert await result(stand, where) == (200, "waited")
    assert await result(stand, where) == (200, "waited")
    assert [row["status"] for row in stand.notes.rows] == [200]


async def test_a_call_that_ends_soon_is_answered_at_once(stand: FrontStand) -> None:
    headers = {"Prefer": "respond-async, wait=20"}
    answer = await stand.get("ada/sums/echo/1", headers=headers)
    assert (answer.status_code, answer.json()["arguments"]) == (200, [1])
    late = await stand.get("ada/sums/wait/9", headers={"Prefer": "respond-async, wait=0"})
    assert late.status_code == 202


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("boom", 500, "api.error"),
        ("busy", 503, "api.overload"),
        ("broken", 500, "internal"),
        ("count/3?fail=2", 500, "api.error"),
    ],
)
async def test_a_failure_is_given_later_as_it_would_have_been_at_once(
    stand: FrontStand, path: str, status: int, code: str
) -> None:
    answer = await stand.get(f"ada/sums/{path}", headers=LATER)
    found, fault = await result(stand, answer.headers["Location"])
    assert isinstance(fault, dict)
    assert (found, fault["code"]) == (status, code)
    assert [row["status"] for row in stand.notes.rows] == [status]


async def test_values_of_a_stream_are_an_array_later(stand: FrontStand) -> None:
    answer = await stand.get("ada/sums/count/3", headers=LATER)
    assert await result(stand, answer.headers["Location"]) == (200, [1, 2, 3])


async def test_a_result_is_for_who_made_the_call(stand: FrontStand) -> None:
    stand.publish("ada/hers", access="users")
    mine, other = stand.hub.token("bob"), stand.hub.token("eve")
    answer = await stand.get("ada/hers/echo", mine, headers=LATER)
    where = answer.headers["Location"]
    assert (await result(stand, where, mine))[0] == 200
    assert (await result(stand, where, other))[0] == 404
    assert (await result(stand, where))[0] == 404
    deleted = await stand.ask("DELETE", where.removeprefix(PREFIX), other)
    assert deleted.status_code == 404
    assert (await result(stand, where, mine))[0] == 200


async def test_a_result_is_not_for_another_token_that_the_publisher_gave_out(
    stand: FrontStand,
) -> None:
    stand.publish("ada/hers", access="token")
    mine, other = (stand.hub.token("ada", f"{CALL_SCOPE}!server=ada/hers") for _ in range(2))
    answer = await stand.get("ada/hers/echo", mine, headers=LATER)
    where = answer.headers["Location"]
    assert (await result(stand, where, other))[0] == 404
    deleted = await stand.ask("DELETE", where.removeprefix(PREFIX), other)
    assert deleted.status_code == 404
    assert (await result(stand, where, mine))[0] == 200


async def test_who_may_call_without_a_token_has_the_result_with_any(stand: FrontStand) -> None:
    for token in ("of-no-hub", stand.hub.token("bob")):
        answer = await stand.get("ada/sums/echo", token, headers=LATER)
        assert answer.status_code == 202
        assert (await result(stand, answer.headers["Location"], token))[0] == 200
    stand.hub.status = 503
    answer = await stand.get("ada/sums/echo", "of-no-hub", headers=LATER)
    assert (await result(stand, answer.headers["Location"], "of-no-hub"))[0] == 200


async def test_a_result_that_is_given_up_is_gone_and_its_call_is_not_made(
    stand: FrontStand,
) -> None:
    answer = await stand.get("ada/sums/wait/30", headers=LATER)
    where = answer.headers["Location"].removeprefix(PREFIX)
    await until(lambda: stand.back.calls)
    assert (await stand.ask("DELETE", where)).status_code == 204
    await until(lambda: stand.back.gone)
    assert stand.back.gone == [answer.json()["request"]]
    assert (await stand.get(where)).json()["code"] == "api.no_result"


async def test_a_result_that_is_given_up_twice_at_once_is_given_up(stand: FrontStand) -> None:
    stand.publish("ada/hers", access="users")
    token = stand.hub.token("bob")
    answer = await stand.get("ada/hers/wait/30", token, headers=LATER)
    where = answer.headers["Location"].removeprefix(PREFIX)
    stand.front.callers._known.clear()
    stand.hub.pause = 0.2
    given_up = [stand.ask("DELETE", where, token) for _ in range(2)]
    found = await asyncio.gather(stand.ask("DELETE", where, token), *given_up)
    assert sorted(one.status_code for one in found) == [204, 404, 404]
    assert [row["status"] for row in stand.notes.rows] == [499]


async def test_of_those_who_were_let_in_to_give_a_result_up_one_alone_is_told_that_it_did(
    stand: FrontStand,
) -> None:
    answer = await stand.get("ada/sums/wait/30", headers=LATER)
    lines = [f"DELETE {answer.headers['Location']} HTTP/1.1", "Host: x", "Connection: close"]
    head = "\r\n".join([*lines, "Content-Length: 1", "", ""]).encode()
    # both are let in before the body of either is there
    found = await asyncio.gather(*(stand.raw(head, b"x", pause=0.2) for _ in range(2)))
    assert sorted(one.split(b" ", 2)[1] for one in found) == [b"204", b"404"]


async def test_a_caller_who_leaves_while_waiting_for_a_result_leaves_nothing(
    stand: FrontStand,
) -> None:
    headers = {"Prefer": "respond-async, wait=20"}
    call = asyncio.create_task(stand.get("ada/sums/wait/30", headers=headers))
    await until(lambda: stand.back.calls)
    call.cancel()
    await until(lambda: stand.back.gone and stand.notes.rows)
    assert len(stand.back.gone) == 1
    assert not stand.front.results._kept
    assert [row["status"] for row in stand.notes.rows] == [499]


@pytest.mark.parametrize("path", ["_/results/" + "0" * 32, "_/results/x", "_/results/"])
async def test_what_is_no_result_is_not_there(stand: FrontStand, path: str) -> None:
    assert (await stand.get(path)).status_code == 404


async def test_another_method_on_a_result_is_refused(stand: FrontStand) -> None:
    answer = await stand.get("ada/sums/echo", headers=LATER)
    refused = await stand.ask("POST", answer.headers["Location"].removeprefix(PREFIX))
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "GET, HEAD, DELETE, OPTIONS"


async def ended(body: bytes) -> Outcome:
    return Outcome(status=200, type="text/plain", body=body)


async def finish(results: Results, request: str, holder: str, body: bytes) -> None:
    """Begin a call that is over at once, and wait for its result."""
    result = results.begin(request, "", holder, [], ended(body))
    await until(lambda: result.ended)


async def test_results_are_kept_for_a_time_and_within_a_size() -> None:
    results = Results(seconds=20.0, most_bytes=250)
    for number in range(5):
        await finish(results, str(number), "ada", b"x" * 100)
    assert list(results._kept) == ["3", "4"]
    assert results._bytes == 200
    results._seconds = 0.01
    await asyncio.sleep(0.02)
    results._tidy()
    assert (list(results._kept), results._bytes) == ([], 0)


async def test_results_of_one_publisher_do_not_push_out_those_of_another() -> None:
    results = Results(most_bytes=1000)
    await finish(results, "first", "bob", b"x" * 300)
    for number in range(9):
        await finish(results, str(number), "ada", b"x" * 200)
    assert list(results._kept) == ["first", "6", "7", "8"]
    results.forget("first")
    assert results._held == {"ada": 600}


async def test_many_small_results_of_one_publisher_push_out_none_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(async_results, "KEPT", 5)
    results = Results(most_bytes=1000)
    await finish(results, "first", "bob", b"x" * 300)
    for number in range(9):
        await finish(results, str(number), "ada", b"1")
    assert list(results._kept) == ["first", "5", "6", "7", "8"]
