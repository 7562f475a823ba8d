"""Tasks of a real manager on the real engine: built-in ones, a stranger's, and a manager killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from juliabox_manager.protocol import (
    SessionRemove,
    TaskInfo,
    TaskList,
    TaskResult,
    TaskResults,
    TaskRun,
)
from juliabox_spawner.client import ManagerClient
from support import tiny_image
from support.manager_process import ManagerProcess, docker_cli, installation, started
from support.stray_plugins import lay_out
from support.task_stand import PATIENT, PLUGINS, SOURCE, alive

pytestmark = pytest.mark.engine

ENABLED = [
    "home", "singlenode", "usage-statistics", "disk-use", "stale-entities", "image-freshness",
    "greet", "hangs", "leaves", "lacks",
]  # fmt: skip


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagerProcess]:
    package = lay_out(tmp_path / "package", SOURCE.read_text(), **PLUGINS)
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(package))
    monkeypatch.setenv("JBT_NOTES", str(notes))
    plugins = {"enabled": ENABLED, "settings": {"hangs": PATIENT["hangs"]}}
    with installation(7, tiny_image.make(), plugins=plugins) as made:
        yield made


@pytest.fixture
async def operator(manager: ManagerProcess) -> AsyncIterator[ManagerClient]:
    """The operator's client of a manager that runs."""
    manager.start()
    client = manager.client(operator=True)
    await manager.ready(client)
    yield client
    client.close()


async def _described(client: ManagerClient) -> dict[str, TaskInfo]:
    end = time.monotonic() + 60
    while len(found := await client.call(TaskList())) < len(ENABLED) - 2:
        assert time.monotonic() < end, found
        await asyncio.sleep(0.1)
    return {info.task: info for info in found}


async def _outcome(client: ManagerClient, task: str, **data: object) -> TaskResult:
    job = (await client.call(TaskRun(task, data))).job
    end = time.monotonic() + 60
    while True:
        results: list[TaskResult] = await client.call(TaskResults(task))
        found = next(one for one in results if one.job == job)
        if found.outcome not in {"queued", "running"}:
            return found
        assert time.monotonic() < end, found
        await asyncio.sleep(0.1)


async def test_the_built_in_tasks_tell_of_a_running_session_and_remove_an_orphan(
    manager: ManagerProcess, operator: ManagerClient
) -> None:
    infos = await _described(operator)
    assert infos["lacks"].code == "plugin.contract"
    assert [name for name, info in infos.items() if info.code] == ["lacks"]
    session = await started(operator, "ada")
    use = await _outcome(operator, "disk-use")
    assert use.outcome == "ok", use
    (home,) = use.result["fullest"]
    assert home["owner"] == "ada" and 0 < home["used"] < home["size"]
    assert use.result["volumes"]["mounted"]["number"] == 1
    fresh = await _outcome(operator, "image-freshness")
    assert fresh.outcome == "ok", fresh
    assert fresh.result["images"][0]["present"] is True
    assert fresh.result["images"][0]["age_days"] >= 0
    assert fresh.result["stale"] == 0
    # a container that nobody knows any more
    labels = [f"juliabox.installation={manager.name}", f"juliabox.session={'e' * 16}"]
    options = [word for label in labels for word in ("--label", label)]
    orphan = docker_cli("create", *options, manager.image_id).strip()
    stale = await _outcome(operator, "stale-entities")
    assert stale.outcome == "ok", stale
    assert orphan not in {one["Id"] for one in manager.containers()}
    figures = await _first(operator, "usage-statistics")
    assert figures.outcome == "ok", figures
    assert figures.result["NumActiveContainers"]["value"] in {0.0, 1.0}
    assert (manager.state / "manager/plugins/singlenode/figures.json").exists()
    await operator.call(SessionRemove(session.session), 60.0)
    manager.stop()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def _first(client: ManagerClient, task: str) -> TaskResult:
    """Wait for the first run that a schedule makes due."""
    end = time.monotonic() + 60
    while True:
        for result in await client.call(TaskResults(task)):
            if result.outcome not in {"queued", "running"}:
                return result
        assert time.monotonic() < end
        await asyncio.sleep(0.2)


async def test_a_killed_manager_leaves_no_task_behind_and_its_results_are_there_again(
    manager: ManagerProcess, operator: ManagerClient, tmp_path: Path
) -> None:
    await _described(operator)
    good = await _outcome(operator, "greet", name="ada")
    assert good.outcome == "ok", good
    cut = (await operator.call(TaskRun("hangs"))).job
    note = tmp_path / "notes" / "hangs"
    end = time.monotonic() + 60
    while not note.exists() or not note.read_text():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    pid = int(note.read_text())
    guardian = _parent(pid)
    manager.kill()
    end = time.monotonic() + 60
    while alive(pid) or alive(guardian):
        assert time.monotonic() < end, "the task outlives its manager"
        await asyncio.sleep(0.02)
    manager.start()
    await manager.ready(operator)
    results = {one.job: one for one in await operator.call(TaskResults())}
    assert results[good.job] == good
    assert results[cut].outcome == "lost"
    manager.stop()


def test_a_required_task_that_cannot_be_loaded_ends_the_manager_with_78(
    manager: ManagerProcess,
) -> None:
    manager.changes = {"plugins": {"enabled": ["home", "greet", "lacks"], "required": ["lacks"]}}
    manager.write_settings()
    manager.start()
    assert manager.wait() == 78
    assert "lacks what CommandTask demands" in manager.log()
