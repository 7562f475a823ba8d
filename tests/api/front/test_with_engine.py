"""Calls over HTTP that the real engine carries to workers, which a manager of the tests makes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from juliabox_services.api.models import Function
from support.api_front import FrontStand
from support.engine_stand import Stand, standing
from support.waiting import measured, until

pytestmark = pytest.mark.alone  # its deadlines are short
NAMES = ("echo", "wait", "hold", "hang", "die", "die_once", "boom", "refuse", "typed", "large",
         "count", "break", "count_and_die", "flood")  # fmt: skip


class Whole(FrontStand):
    """A front before an engine."""

    def __init__(self, folder: Path, stand: Stand, **bounds: Any) -> None:
        self.stand = stand
        super().__init__(folder, engine=stand.engine, **bounds)

    def release(self, number: int = 1, **options: Any) -> None:
        """Publish a version of ``ada/sums``, and let the engine know."""
        functions = [Function(name=one) for one in NAMES]
        version = self.publish("ada/sums", *functions, version=number, **options)
        self.stand.engine.activate(version, "ada", "sums")


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Whole]:
    """Return a front before an engine, with a public API."""
    async with standing(result=5_000, outstanding=20) as stand:
        made = Whole(tmp_path, stand, result=5_000)
        made.release(timeout=20.0)
        yield made
        await made.close()


async def test_a_call_goes_to_a_worker_and_its_answer_comes_back(whole: Whole) -> None:
    answer = await whole.ask("POST", "ada/sums/echo/30?k=ü", json=[1])
    assert answer.status_code == 200
    assert answer.json() == [[30], {"k": "ü"}, "[1]", 1]
    assert whole.notes.rows[0]["printed"] == "said\n"
    assert whole.stand.containers.executed == [answer.headers["X-Request-Id"]]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("boom", 500, "api.error"),
        ("refuse/api.arguments", 400, "api.arguments"),
        ("refuse/api.result", 500, "api.result"),
        ("die", 502, "api.crash"),
        ("hang", 504, "api.timeout"),
        ("large/200000", 500, "api.result"),
        ("typed/text%2Fhtml", 500, "api.result"),
        ("break/3", 500, "api.error"),
        ("count_and_die/3", 502, "api.crash"),
    ],
)
async def test_each_end_of_a_call_is_told(whole: Whole, path: str, status: int, code: str) -> None:
    if path == "hang":
        whole.release(2, timeout=2.0)
        assert (await whole.get("ada/sums/echo/1")).status_code == 200  # there is a container
    for took in measured(2.0 + 1.0):
        whole.notes.rows.clear()
        began = time.monotonic()
        answer = await whole.get(f"ada/sums/{path}")
        took.append(time.monotonic() - began)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert [row["status"] for row in whole.notes.rows] == [status]
        assert (await whole.get("ada/sums/echo/1")).status_code == 200


async def test_a_call_whose_worker_died_is_made_again_only_if_it_may_be(whole: Whole) -> None:
    assert (await whole.get("ada/sums/die_once")).status_code == 502
    whole.release(2, idempotent=["die_once"])
    assert (await whole.get("ada/sums/die_once")).json() == "alive"


async def test_values_stream_from_the_worker_and_its_output_is_kept(whole: Whole) -> None:
    answer = await whole.get("ada/sums/count/200", headers={"Accept": "text/event-stream"})
    values = [line for line in answer.text.split("\n") if line.startswith("data: ")]
    assert len(values) == 201
    assert whole.notes.rows[0]["printed"] == "counted\n"
    assert (await whole.get("ada/sums/count/3")).json() == [0, 1, 2]
    assert whole.notes.rows[1]["printed"] == "counted\n"


async def test_a_flood_of_values_ends_at_the_bound_or_at_the_deadline(whole: Whole) -> None:
    answer = await whole.get("ada/sums/flood")
    assert (answer.status_code, answer.json()["code"]) == (500, "api.result")
    whole.release(2, timeout=2.0)
    assert (await whole.get("ada/sums/echo/1")).status_code == 200
    events = {"Accept": "text/event-stream"}
    for took in measured(2.0 + 1.5):
        began, seen = time.monotonic(), 0
        async with whole.http.stream("GET", "ada/sums/flood", headers=events) as stream:
            async for line in stream.aiter_lines():
                seen += line.startswith("data: ")
        took.append(time.monotonic() - began)
        assert seen > 100


async def test_a_caller_who_goes_away_leaves_the_worker_to_others(whole: Whole) -> None:
    whole.release(2, maximum=1, timeout=20.0)
    gone = asyncio.create_task(whole.get("ada/sums/hold"))
    await until(lambda: whole.stand.containers.executed)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    next_ = asyncio.create_task(whole.get("ada/sums/echo/1"))
    await until(lambda: whole.stand.engine.load("ada", "sums").outstanding == 2)
    whole.stand.containers.go.set()
    assert (await next_).status_code == 200
    await until(lambda: len(whole.notes.rows) == 2)
    assert sorted(row["status"] for row in whole.notes.rows) == [200, 499]
    assert len(whole.stand.containers.made) == 1


async def test_too_many_calls_are_told_to_come_again(whole: Whole) -> None:
    whole.release(2, maximum=1, timeout=2.0)
    calls = [asyncio.create_task(whole.get("ada/sums/wait/0.3")) for _ in range(30)]
    answers = await asyncio.gather(*calls)
    busy = [one for one in answers if one.status_code == 503]
    assert busy and len(busy) < 30
    assert {one.json()["code"] for one in busy} <= {"api.overload", "api.starting"}
    assert all(int(one.headers["Retry-After"]) >= 1 for one in busy)


async def test_a_version_takes_over_under_load_and_no_call_fails(whole: Whole) -> None:
    whole.release(1, timeout=20.0)
    versions: list[int] = []

    async def load() -> None:
        while versions[-1:] != [5]:
            answer = await whole.get("ada/sums/echo/1")
            assert answer.status_code == 200, answer.text
            versions.append(answer.json()[3])
            await asyncio.sleep(0.02)

    async def switch() -> None:
        for number in range(2, 6):
            await until(lambda former=number - 1: former in versions)
            whole.release(number, timeout=20.0)

    async with asyncio.timeout(60):
        await asyncio.gather(load(), load(), switch())
    assert set(versions) == {1, 2, 3, 4, 5}


async def test_calls_under_way_end_when_the_engine_does_and_new_ones_are_told(
    whole: Whole,
) -> None:
    under_way = asyncio.create_task(whole.get("ada/sums/hold"))
    await until(lambda: whole.stand.containers.executed)
    drained = asyncio.create_task(whole.stand.engine.drain(20.0))
    await asyncio.sleep(0.05)
    late = await whole.get("ada/sums/echo/1")
    assert (late.status_code, late.json()["code"]) == (503, "api.draining")
    assert int(late.headers["Retry-After"]) >= 1
    assert not drained.done()
    whole.stand.containers.go.set()
    assert (await under_way).status_code == 200
    await drained


async def test_the_manager_away_means_503_for_who_needs_it_and_nothing_for_others(
    whole: Whole,
) -> None:
    whole.release(1, maximum=1, timeout=20.0)
    assert (await whole.get("ada/sums/echo/1")).status_code == 200
    whole.stand.containers.away = True
    assert (await whole.get("ada/sums/echo/2")).status_code == 200
    whole.release(2, timeout=20.0)
    answer = await whole.get("ada/sums/echo/3")
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    whole.stand.containers.away = False  # the engine's end would wait for it


async def test_a_call_for_later_is_carried_out_once(whole: Whole) -> None:
    answer = await whole.get("ada/sums/wait/0.2", headers={"Prefer": "respond-async"})
    where = answer.headers["Location"].removeprefix("/services/api/")
    async with asyncio.timeout(20):
        while (found := await whole.get(where)).status_code == 202:  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.02)
    assert json.loads(found.text) == 0.2
    assert whole.stand.containers.executed == [answer.json()["request"]]
