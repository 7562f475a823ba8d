"""When periodic tasks run, and what is kept of runs over a restart."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from juliabox_manager.protocol import TaskResult, TaskResults
from juliabox_manager.store import Store
from juliabox_manager.tasks import results as results_module
from juliabox_manager.tasks.results import Results
from support.task_stand import PATIENT, Stand


def _past(job: int, begun: float, task: str = "rarely", **changes: object) -> TaskResult:
    result = TaskResult(
        job=f"{job:032x}",
        task=task,
        feature="task.periodic.node",
        client="schedule",
        outcome="ok",
        started=begun,
        seconds=1.0,
    )
    return msgspec.structs.replace(result, **changes)


async def test_both_features_of_a_task_come_due_again_and_again(stand: Stand) -> None:
    async with stand.running("ticks") as tasks:
        end = time.monotonic() + 60
        while len(await tasks.results(TaskResults("ticks"))) < 5:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        (info,) = (await stand.described(1)).values()
        assert (info.every, info.clients) == (1.0, [])
        assert abs(info.next_run - time.time()) < 15
    ran = await stand.noted("ticks")
    assert {"task.periodic.node", "task.periodic.cluster"} <= set(ran)


async def test_an_instance_that_does_not_lead_runs_no_task_of_the_cluster(stand: Stand) -> None:
    stand.leads = False
    async with stand.running("ticks") as tasks:
        end = time.monotonic() + 60
        while len(found := await tasks.results(TaskResults("ticks"))) < 3:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        assert {one.feature for one in found} == {"task.periodic.node"}


async def test_the_operator_retimes_a_task(stand: Stand) -> None:
    settings = {"rarely": {"every": 40.0, "time_limit": 7.0}}
    async with stand.running("rarely", settings=settings):
        (info,) = (await stand.described(1)).values()
        assert (info.every, info.time_limit) == (40.0, 7.0)


@pytest.mark.parametrize(
    ("ago", "runs"),
    [(None, True), (60.0, False), (90_000.0, True), (-9_999_999.0, True)],
    ids=["never-ran", "ran-a-minute-ago", "was-due-meanwhile", "clock-set-back"],
)
async def test_a_run_that_was_due_while_the_manager_was_down_is_made_up_for(
    stand: Stand, ago: float | None, runs: bool
) -> None:
    if ago is not None:
        store = Store(stand.folder / "manager.sqlite")
        await store.open()
        await Results(store).write(_past(1, time.time() - ago))
        await store.close()
    async with stand.running("rarely"):
        (info,) = (await stand.described(1)).values()
        if runs:
            await stand.noted("rarely")
        else:
            assert info.next_run - time.time() > 80_000


async def test_results_survive_a_restart_and_runs_that_were_cut_off_are_lost(stand: Stand) -> None:
    async with stand.running("greet", "hangs", settings=PATIENT):
        good = await stand.outcome("greet", name="ada")
        cut = await stand.run("hangs")
        waiting = await stand.run("hangs")
        await stand.noted("hangs")
    async with stand.running("greet") as tasks:
        found = {one.job: one for one in await tasks.results(TaskResults())}
        assert found[good.job] == good
        assert {found[job].outcome for job in (cut, waiting)} == {"lost"}
        assert found[cut].code == "task.lost"
        (info,) = (await stand.described(1)).values()
        assert info.last is not None and info.last.job == good.job


async def test_results_are_bounded_and_come_newest_first(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_module, "KEPT", 3)
    store = Store(tmp_path / "manager.sqlite")
    await store.open()
    results = Results(store)
    for number in range(10):
        await results.write(_past(number, float(number)))
        await results.write(_past(100 + number, float(number), task="other"))
    mine = await results.newest("rarely", 20)
    assert [one.started for one in mine] == [9.0, 8.0, 7.0]
    assert len(await results.newest(None, 20)) == 6
    assert len(await results.newest(None, 2)) == 2
    await store.close()


async def test_a_full_disk_costs_the_record_and_not_the_run(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stand.running("rarely"):
        await stand.described(1)
        await stand.store.transact(lambda db: db.execute("PRAGMA query_only=ON"))
        assert await stand.noted("rarely")
