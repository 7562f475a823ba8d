"""The built-in tasks and the fake keep the contract, and tell what they should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext import catalog
from juliabox_ext.errors import UnavailableError
from juliabox_ext.plugin import Plugin, PluginContext
from juliabox_ext.selection import DEFAULTS
from juliabox_ext.task import MAX_RESULT_BYTES, JBPluginTask
from juliabox_ext.testing.task_fake import FakeManager, FakeTask, make_task
from juliabox_ext.testing.task_suite import Make, TaskSuite
from juliabox_plugins import usage_statistics
from juliabox_plugins.cluster_load import ClusterLoad
from juliabox_plugins.compute_singlenode import SingleNode
from juliabox_plugins.disk_use import DiskUse
from juliabox_plugins.image_freshness import ImageFreshness
from juliabox_plugins.stale_entities import StaleEntities
from juliabox_plugins.usage_statistics import UsageStatistics

TASKS = (FakeTask, ClusterLoad, DiskUse, ImageFreshness, StaleEntities, UsageStatistics)


@pytest.fixture
def compute(tmp_path: Path) -> SingleNode:
    return SingleNode(
        PluginContext(
            name="singlenode",
            settings=SingleNode.Settings(),
            instance="one",
            folder=tmp_path / "singlenode",
        )
    )


@pytest.fixture(autouse=True)
def _measure_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_statistics, "_SPAN", 0.05)


class TestEachTask(TaskSuite):
    @pytest.fixture(params=TASKS, ids=lambda task: task.__name__)
    def make(self, request: pytest.FixtureRequest, tmp_path: Path, compute: Plugin) -> Make:
        providers = {"cloud.compute": compute}
        return lambda manager: make_task(request.param, tmp_path, manager, providers)


def test_all_of_them_are_plugins_that_are_enabled_unless_the_operator_disables_them() -> None:
    infos = [one for one in catalog.available(["juliabox.task"]) if one.built_in]
    assert {catalog.load_class(info) for info in infos} == set(TASKS) - {FakeTask}
    assert {info.name for info in infos} <= set(DEFAULTS)


def test_figures_of_the_load_are_published(tmp_path: Path, compute: SingleNode) -> None:
    task = make_task(UsageStatistics, tmp_path, providers={"cloud.compute": compute})
    result = task.do_periodic_task(JBPluginTask.JBP_NODE)
    assert result["NumActiveContainers"] == {"value": 2.0, "unit": "Count"}
    assert result["ContainersUsed"]["value"] == 25.0
    assert result["MemPromised"] == {"value": 25.0, "unit": "Percent"}
    assert result["DiskIdsUsed"]["value"] == 12.5
    counted = ("ContainersUsed", "CPUUsed", "MemUsed", "DiskUsed", "DiskIdsUsed")
    assert all(0 <= result[name]["value"] <= 100 for name in counted)
    assert result["Load"]["value"] == max(result[name]["value"] for name in counted)
    for name, figure in result.items():
        stat = compute.get_instance_stats("one", name)
        assert stat is not None
        assert (stat.value, stat.unit) == (figure["value"], figure["unit"])


def test_the_load_of_the_cluster_is_the_mean_of_those_that_told_theirs(
    tmp_path: Path, compute: SingleNode
) -> None:
    task = make_task(ClusterLoad, tmp_path, providers={"cloud.compute": compute})
    told = {"value": 0.0, "unit": "Count"}
    assert task.do_periodic_task(JBPluginTask.JBP_CLUSTER) == {"InstancesTold": told}
    compute.publish_stats("Load", "Percent", 42.0)
    result = task.do_periodic_task(JBPluginTask.JBP_CLUSTER)
    assert result["ClusterLoad"] == {"value": 42.0, "unit": "Percent"}
    published = compute.get_instance_stats("one", "ClusterLoad")
    assert published is not None and published.value == 42.0


def test_promised_memory_is_no_load(tmp_path: Path, compute: SingleNode) -> None:
    manager = FakeManager()
    manager.answers["stats"]["memory_promised"] = 100 * 2**30
    task = make_task(UsageStatistics, tmp_path, manager, {"cloud.compute": compute})
    result = task.do_periodic_task(JBPluginTask.JBP_NODE)
    assert result["MemPromised"]["value"] > 1000
    assert result["Load"]["value"] <= 100


@pytest.mark.parametrize(
    ("later", "percent"),
    [
        ("cpu  130 0 110 740 120 0 0 0 0 0\n", 40.0),
        ("cpu  108 0 102 700 98 0 0 0 0 0\n", 100.0),
    ],
    ids=["ordinary", "the-count-of-waiting-for-disks-goes-back"],
)
def test_processor_time_is_what_was_used_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: str, percent: float
) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n")
    monkeypatch.setattr(usage_statistics.time, "sleep", lambda _: stat.write_text(later))
    assert usage_statistics.cpu_percent(1.0, stat) == percent


def test_memory_that_can_be_given_back_is_not_used() -> None:
    told = "MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  250 kB\n"
    assert usage_statistics.memory_percent(told) == 75.0


def test_homes_are_listed_by_how_full_they_are(tmp_path: Path) -> None:
    manager = FakeManager()
    size = 1000
    manager.answers["volume.refresh"] = [
        {"session": f"{n:016x}", "owner": f"p{n:03}", "size": size, "used": n} for n in range(400)
    ]
    manager.answers["volume.refresh"].append(
        {"session": "f" * 16, "owner": "p003", "size": size, "used": 3}
    )
    result = make_task(DiskUse, tmp_path, manager).do_periodic_task(JBPluginTask.JBP_NODE)
    assert result["attached"] == 400
    assert [one["owner"] for one in result["fullest"][:2]] == ["p399", "p398"]
    assert result["fullest"][0] == {"owner": "p399", "size": 1000, "used": 399, "percent": 39.9}
    assert len(result["fullest"]) == 50
    assert result["volumes"] == {"mounted": {"number": 2, "size": 2**32, "allocated": 2**29}}


def test_what_was_deleted_and_mended_is_told(tmp_path: Path) -> None:
    manager = FakeManager()
    result = make_task(StaleEntities, tmp_path, manager).do_periodic_task(JBPluginTask.JBP_NODE)
    assert result["volumes"] == 1
    assert result["repairs"] == {"orphan": 1}
    assert [verb for verb, _ in manager.called] == ["volume.purge", "reconcile"]


def test_a_newer_image_and_stale_sessions_are_told(tmp_path: Path) -> None:
    result = make_task(ImageFreshness, tmp_path).do_periodic_task(JBPluginTask.JBP_NODE)
    (image,) = result["images"]
    assert (image["present"], image["newer"]) == (True, True)
    assert image["age_days"] > 300
    assert result["stale_sessions"] == [
        {"owner": "emmy", "server": "", "image": "juliabox/julia"}
    ]  # fmt: skip


def test_an_image_that_is_not_there_has_no_age(tmp_path: Path) -> None:
    manager = FakeManager()
    manager.answers["image.check"][0].update(present=False, created=0.0)
    result = make_task(ImageFreshness, tmp_path, manager).do_task("task.cmd.async", None)
    assert result["images"][0]["age_days"] is None


@pytest.mark.parametrize("task", TASKS[1:], ids=lambda task: task.__name__)
def test_results_stay_small_on_a_large_instance(
    task: Any, tmp_path: Path, compute: SingleNode
) -> None:
    manager = FakeManager()
    long = "ä" * 255
    manager.answers["volume.purge"] = [f"{long}{n}" for n in range(5000)]
    for verb in ("session.list", "volume.refresh", "volume.list"):
        (first, *_) = manager.answers[verb]
        manager.answers[verb] = [
            {**first, "owner": f"{long}{n}", "stale": True, "used": 5} for n in range(5000)
        ]
    made = make_task(task, tmp_path, manager, {"cloud.compute": compute})
    result = made.do_periodic_task(JBPluginTask.JBP_NODE)
    assert len(json.dumps(result, ensure_ascii=False).encode()) <= MAX_RESULT_BYTES


def test_an_engine_that_does_not_answer_is_told_as_such(tmp_path: Path) -> None:
    manager = FakeManager()
    manager.errors["image.check"] = UnavailableError("the engine is away", code="engine.timeout")
    with pytest.raises(UnavailableError, match="the engine is away"):
        make_task(ImageFreshness, tmp_path, manager).do_periodic_task(JBPluginTask.JBP_NODE)
