"""One call: what comes back, and what happens to it when its worker, or its caller, goes away."""

from __future__ import annotations

import asyncio
import time

import pytest

from juliabox_services.api.container import Worker
from juliabox_services.api.engine_contract import Call, CallError
from juliabox_services.api.models import Frame
from juliabox_services.api.pool import Pool
from support.engine_stand import Stand, standing, version
from support.waiting import LoopClock, measured, until


def outstanding(stand: Stand) -> int:
    """Return how many calls wait or run."""
    return stand.engine.load("ada", "sums").outstanding


async def test_a_call_from_zero_makes_a_container_and_gets_its_answer(stand: Stand) -> None:
    answer = await stand.call(version(), "echo", 1, "a", keywords=b'{"k":2}', body=b"[3]")
    assert answer.body == b'[[1, "a"], {"k": 2}, "[3]", 1]'
    assert (answer.type, answer.printed) == ("application/json", "said\n")
    (made,) = stand.containers.made
    assert (made.verb.publisher, made.verb.api, made.verb.version) == ("ada", "sums", 1)
    assert made.verb.limits.disk == 0
    assert made.environment["JULIABOX_WORKERS"] == "1"


async def test_further_calls_use_the_container_that_is_there(stand: Stand) -> None:
    one = version()
    for number in range(20):
        await stand.call(one, "echo", number)
    assert len(stand.containers.made) == 1
    assert stand.figure("juliabox_api_calls_total", publisher="ada", api="sums", outcome="ok") == 20


async def test_a_worker_that_is_free_has_the_next_call_before_anything_else_is_done(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = version(maximum=1)
    await stand.call(one, "echo")
    seen = []
    freed = Pool.freed

    def look(pool: Pool, worker: Worker) -> None:
        waiting = pool.waiting
        freed(pool, worker)
        seen.append((waiting, worker.running is not None))

    monkeypatch.setattr(Pool, "freed", look)
    await asyncio.gather(*(stand.call(one, "echo", number) for number in range(3)))
    assert seen == [(2, True), (1, True), (0, False)]


async def test_a_call_that_cannot_be_sent_harms_no_other_and_no_worker(stand: Stand) -> None:
    one = version(maximum=1)
    await stand.call(one, "echo")
    running = asyncio.create_task(stand.call(one, "hold"))
    await until(lambda: len(stand.containers.executed) == 2)
    bad = Call(request="ü", function="echo", deadline=asyncio.get_running_loop().time() + 20)
    waiting = asyncio.create_task(stand.engine.call(one, bad))
    await until(lambda: outstanding(stand) == 2)
    stand.containers.go.set()
    for call in (waiting, stand.engine.call(one, bad)):  # it waits for a worker, then there is one
        with pytest.raises(UnicodeEncodeError):
            await call
    assert (await running).body == b'"held"'
    assert (await stand.call(one, "echo")).body
    assert len(stand.containers.made) == 1


async def test_a_thousand_calls_at_once_are_each_answered_once() -> None:
    async with standing(outstanding=2000) as stand:
        one = version(workers=2)
        answers = await asyncio.gather(*(stand.call(one, "echo", n) for n in range(1000)))
        assert [answer.body for answer in answers] == [
            f'[[{n}], {{}}, "", 1]'.encode() for n in range(1000)
        ]
        assert len(set(stand.containers.executed)) == len(stand.containers.executed) == 1000


async def test_an_error_of_the_function_is_told_with_its_lines(stand: Stand) -> None:
    with pytest.raises(CallError, match="DomainError") as caught:
        await stand.call(version(), "boom")
    error = caught.value
    assert (error.code, error.http_status, error.printed) == ("api.error", 500, "oh\n")
    assert error.frames == [Frame(function="f", line=2)]
    assert len(stand.containers.running) == 1


@pytest.mark.parametrize(
    ("code", "status"), [("api.body", 400), ("api.arguments", 400), ("api.result", 500)]
)
async def test_what_the_worker_refuses_has_its_status(stand: Stand, code: str, status: int) -> None:
    with pytest.raises(CallError) as caught:
        await stand.call(version(), "refuse", code)
    assert (caught.value.code, caught.value.http_status) == (code, status)


async def test_a_call_that_never_returns_is_killed_at_its_deadline(stand: Stand) -> None:
    one = version()
    for took in measured(0.9):
        await stand.call(one, "echo")
        begun = time.monotonic()
        with pytest.raises(CallError) as caught:
            await stand.call(one, "hang", seconds=0.5)
        took.append(time.monotonic() - begun)
        assert (caught.value.code, caught.value.http_status) == ("api.timeout", 504)
        assert took[-1] > 0.4
        await until(lambda: not stand.containers.there)
    assert (await stand.call(one, "echo", 1)).body
    assert len(stand.containers.made) == len(took) + 1


async def test_a_timeout_spares_the_calls_of_the_other_workers(stand: Stand) -> None:
    one = version(workers=2, maximum=1)
    await stand.call(one, "echo")
    (container,) = stand.containers.running
    hanging = asyncio.create_task(stand.call(one, "hang", seconds=1.0))
    other = asyncio.create_task(stand.call(one, "hold"))
    with pytest.raises(CallError, match="in time"):
        await hanging
    stand.containers.go.set()
    assert (await other).body == b'"held"'
    # there may be another by now
    await until(lambda: container.id not in stand.containers.there)


@pytest.mark.usefixtures("patient")
async def test_a_worker_that_dies_is_told_and_the_call_is_not_made_again(stand: Stand) -> None:
    one = version()
    with pytest.raises(CallError, match="exit code 3") as caught:
        await stand.call(one, "die")
    assert (caught.value.code, caught.value.http_status) == ("api.crash", 502)
    assert len(stand.containers.executed) == 1
    await until(lambda: not stand.containers.there)


async def test_a_worker_that_says_that_it_leaves_gets_no_further_call(stand: Stand) -> None:
    one = version()
    with pytest.raises(CallError, match="ended Julia"):
        await stand.call(one, "exit")
    assert (await stand.call(one, "echo")).body
    assert len(stand.containers.made) == 2


async def test_an_error_in_a_function_called_leaving_is_no_end_of_its_worker(stand: Stand) -> None:
    one = version()
    with pytest.raises(CallError):
        await stand.call(one, "leaving")
    assert (await stand.call(one, "echo")).body
    assert len(stand.containers.made) == 1


@pytest.mark.usefixtures("patient")
async def test_a_worker_that_ran_out_of_memory_is_told_so(stand: Stand) -> None:
    with pytest.raises(CallError, match="ran out of its memory of 512 MiB"):
        await stand.call(version(), "starve")


async def test_an_idempotent_call_is_made_once_more_and_only_once(stand: Stand) -> None:
    one = version(idempotent=["die_once", "die"])
    assert (await stand.call(one, "die_once")).body == b'"alive"'
    assert len(stand.containers.executed) == 2
    with pytest.raises(CallError) as caught:
        await stand.call(one, "die")
    assert caught.value.code == "api.crash"
    assert len(stand.containers.executed) == 4


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(["x"], id="another_version"),
        pytest.param(["JBW2", "someone", "result", "{}", "1"], id="an_answer_to_somebody_else"),
        pytest.param(["JBW2", "", "result", "{}", "1"], id="an_answer_to_nobody"),
        pytest.param(["JBW2"] * 8, id="many_frames"),
    ],
)
async def test_a_worker_that_talks_nonsense_is_ended(stand: Stand, frames: list[str]) -> None:
    with pytest.raises(CallError, match="cannot be read") as caught:
        await stand.call(version(), "junk", *frames)
    assert caught.value.http_status == 502
    await until(lambda: not stand.containers.there)


async def test_an_unknown_code_of_a_worker_is_no_answer(stand: Stand) -> None:
    with pytest.raises(CallError) as caught:
        await stand.call(version(), "refuse", "wire.version")
    assert caught.value.http_status == 502


async def test_a_type_of_content_that_is_none_reaches_no_header(stand: Stand) -> None:
    one = version()
    assert (await stand.call(one, "typed", "text/html")).type == "text/html"
    with pytest.raises(CallError) as caught:
        await stand.call(one, "typed", "text/html\r\nX: y")
    assert caught.value.code == "api.result"


async def test_a_result_over_the_bound_is_refused() -> None:
    async with standing(result=1000) as stand:
        one = version()
        with pytest.raises(CallError, match="larger than 1000") as caught:
            await stand.call(one, "large", 2000)
        assert caught.value.code == "api.result"
        # beyond what a worker may send at all, its connection ends
        with pytest.raises(CallError) as caught:
            await stand.call(one, "large", 4 * 1024**2)
        assert caught.value.http_status == 502
        assert (await stand.call(one, "echo")).body


async def test_a_caller_that_goes_away_while_it_waits_is_forgotten(stand: Stand) -> None:
    one = version(maximum=1)
    running = asyncio.create_task(stand.call(one, "hold"))
    await until(lambda: stand.containers.executed)
    waiting = asyncio.create_task(stand.call(one, "echo", "mine"))
    await until(lambda: outstanding(stand) == 2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    stand.containers.go.set()
    await running
    assert (await stand.call(one, "echo", 1)).body
    assert len(stand.containers.executed) == 2
    assert outstanding(stand) == 0


async def test_a_call_whose_caller_went_away_runs_to_its_end(stand: Stand) -> None:
    one = version(maximum=1)
    await stand.call(one, "echo")
    gone = asyncio.create_task(stand.call(one, "hold"))
    await until(lambda: len(stand.containers.executed) == 2)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert outstanding(stand) == 1
    stand.containers.go.set()
    assert (await stand.call(one, "echo", 1)).body
    assert len(stand.containers.made) == 1
    assert outstanding(stand) == 0


async def test_a_call_whose_caller_went_away_is_killed_at_its_deadline(
    stand: Stand, clock: LoopClock
) -> None:
    one = version()
    await stand.call(one, "echo")
    gone = asyncio.create_task(stand.call(one, "hang", seconds=20.0))
    await until(lambda: len(stand.containers.executed) == 2)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert stand.containers.running
    clock.later(20.0)
    await until(lambda: not stand.containers.there)
    assert outstanding(stand) == 0


async def test_too_many_calls_of_a_publisher_are_refused_and_others_are_not() -> None:
    async with standing(outstanding=3) as stand:
        one, other = version(maximum=1), version(publisher="bob")
        await stand.call(one, "echo")
        running = [asyncio.create_task(stand.call(one, "hold")) for _ in range(3)]
        await until(lambda: outstanding(stand) == 3)
        with pytest.raises(CallError) as caught:
            await stand.call(one, "echo")
        assert (caught.value.code, caught.value.http_status) == ("api.overload", 503)
        assert caught.value.retry_after == 1
        assert (await stand.call(other, "echo")).body
        stand.containers.go.set()
        await asyncio.gather(*running)
        assert (await stand.call(one, "echo")).body


async def test_a_call_that_waits_too_long_is_not_made_and_ends_no_worker(stand: Stand) -> None:
    one = version(maximum=1)
    await stand.call(one, "echo")
    running = asyncio.create_task(stand.call(one, "hold"))
    await until(lambda: len(stand.containers.executed) == 2)
    with pytest.raises(CallError) as caught:
        await stand.call(one, "echo", seconds=0.3)
    assert (caught.value.code, caught.value.retry_after) == ("api.overload", 1)
    stand.containers.go.set()
    await running
    assert len(stand.containers.made) == 1
    assert len(stand.containers.executed) == 2


async def test_a_call_of_which_too_little_time_is_left_is_not_begun(stand: Stand) -> None:
    one = version(maximum=1)
    stand.containers.go.set()
    for _ in range(3):
        await stand.call(one, "hold", 20)
    stand.containers.go.clear()
    running = asyncio.create_task(stand.call(one, "hold", 20))
    await until(lambda: len(stand.containers.executed) == 4)
    waiting = asyncio.create_task(stand.call(one, "hold", 20, seconds=9.0))
    await until(lambda: outstanding(stand) == 2)
    await asyncio.sleep(0.1)  # it has waited
    stand.containers.go.set()
    with pytest.raises(CallError, match="too little of its time"):
        await waiting
    await running
    assert len(stand.containers.made) == 1
    assert len(stand.containers.executed) == 4


async def test_a_call_whose_time_is_over_already_ends_no_worker(stand: Stand) -> None:
    one = version()
    await stand.call(one, "echo")
    with pytest.raises(CallError) as caught:
        await stand.call(one, "echo", seconds=-1.0)
    assert caught.value.http_status == 503
    assert len(stand.containers.running) == 1
