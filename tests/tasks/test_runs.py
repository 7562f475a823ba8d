"""Runs of tasks in real processes: whatever one does, it ends, alone, and is told."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from juliabox_ext.task import JBPluginTask
from juliabox_manager.metrics import METRICS
from juliabox_manager.protocol import Event
from support.task_stand import PATIENT, Stand, alive
from support.waiting import LoopClock, until


def _counted(name: str, **labels: str) -> float:
    return METRICS.registry.get_sample_value(name, labels) or 0.0


async def test_a_command_runs_and_its_result_is_kept_counted_and_told(
    stand: Stand, capfd: pytest.CaptureFixture[str]
) -> None:
    before = _counted("juliabox_task_runs_total", task="greet", outcome="ok")
    async with stand.running("greet"):
        result = await stand.outcome("greet", name="ada", times=2)
        assert result.result == {"greeting": "hello adahello ada", "type": "task.cmd.async"}
        assert (result.outcome, result.client, result.code) == ("ok", "operator", "")
        assert result.feature == JBPluginTask.JBP_CMD_ASYNC
        assert abs(result.started - time.time()) < 120 and 0 < result.seconds < 120
        (event,) = await stand.events.after(0, 0.0, None)
        assert isinstance(event, Event)
        assert (event.kind, event.value, event.message) == ("task.done", "greet", "ok")
        (info,) = (await stand.described(1)).values()
        assert info.last is not None
        assert (info.last.job, info.last.result, info.running) == (result.job, None, False)
    assert _counted("juliabox_task_runs_total", task="greet", outcome="ok") == before + 1
    assert _counted("juliabox_task_seconds_count", task="greet") >= 1
    success = _counted("juliabox_task_last_success_timestamp_seconds", task="greet")
    assert abs(success - time.time()) < 120
    printed = capfd.readouterr()
    assert "greeting ada" in printed.out + printed.err


@pytest.mark.parametrize(
    ("task", "code", "told"),
    [
        ("raises", "task.failed", r"task raises: ValueError: no such thing"),
        ("raises-typed", "no_room.bucket", r"the bucket is full"),
        ("exits", "task.ended", r"task exits gave no result: .* exit code 7"),
        ("exits-politely", "task.failed", r"SystemExit: 3"),
        ("no-json", "task.result", r"no JSON value"),
        ("too-much", "task.result", r"10000002 bytes"),
        ("deep", "task.result", r"more than 64 levels"),
        ("deep-words", "task.ended", r"task deep-words gave no result: .*recursion"),
        ("nonsense", "task.ended", r"task nonsense gave no result: "),
        ("multiplies", "task.ended", r"exit code 137"),
        ("eats", "task.memory", r"more than its 128 MiB"),
    ],
    ids=[
        "raises", "raises-typed", "exits", "sys-exit", "no-json", "10-mb", "deep", "deep-words",
        "nonsense", "too-many", "memory",
    ],
)  # fmt: skip
async def test_a_task_that_fails_is_told_with_the_cause_and_no_traceback(
    stand: Stand, task: str, code: str, told: str
) -> None:
    async with stand.running(task):
        result = await stand.outcome(task)
    assert (result.outcome, result.code) == ("failed", code)
    assert re.search(told, result.message)
    assert "Traceback" not in result.message


async def test_tasks_that_hang_are_killed_at_their_limit_and_others_run_meanwhile(
    stand: Stand,
) -> None:
    clock = LoopClock(asyncio.get_running_loop())
    async with stand.running("greet", *PATIENT, settings=PATIENT):
        jobs = {task: await stand.run(task) for task in PATIENT}
        pids = [int((await stand.noted(name))[0]) for name in ("hangs", "hangs-in-c")]
        assert (await stand.outcome("greet", name="ada")).outcome == "ok"
        clock.later(500.0)
        await asyncio.sleep(0.5)
        assert all(map(alive, pids))
        clock.later(500.0)
        for task, job in jobs.items():
            result = await stand.ended(job)
            assert (result.outcome, result.code) == ("timeout", "task.timeout")
            assert f"task {task} was killed after 1000 s" in result.message
        assert not any(map(alive, pids))


async def test_what_a_task_leaves_behind_is_killed_with_it(stand: Stand) -> None:
    async with stand.running("leaves"):
        await stand.described(1)
        await until(lambda: not stand.children())  # who described it has ended, too
        result = await stand.outcome("leaves")
        assert result.outcome == "ok"
        child, daemon = result.result
        assert not alive(child) and not alive(daemon)
        assert not stand.children()


async def test_output_without_end_is_bounded_in_the_log(
    stand: Stand, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = LoopClock(asyncio.get_running_loop())
    async with stand.running("prints", settings=PATIENT):
        job = await stand.run("prints")
        await stand.noted("prints")
        clock.later(1000.0)
        await stand.ended(job)
    printed = capfd.readouterr()
    text = printed.out + printed.err
    assert "a task printed too much" in text
    assert len(text) < 200_000


async def test_runs_of_one_task_do_not_overlap_and_those_of_two_do(stand: Stand) -> None:
    async with stand.running("sleeps", "greet"):
        await stand.described(2)
        jobs = [await stand.run("sleeps", seconds=0.5) for _ in range(2)]
        other = await stand.ended(await stand.run("greet", name="ada"))
        ends = [await stand.ended(job) for job in jobs]
    lines = await stand.noted("sleeps")
    assert [line.split()[0] for line in lines] == ["begin", "end", "begin", "end"]
    assert other.started < ends[1].started


async def test_closing_kills_what_runs(stand: Stand) -> None:
    async with stand.running("hangs", settings=PATIENT):
        await stand.run("hangs")
        (pid,) = await stand.noted("hangs")
        begun = time.monotonic()
    assert time.monotonic() - begun < 30.0  # of the 1000 s that it has
    await until(lambda: not alive(int(pid)))
