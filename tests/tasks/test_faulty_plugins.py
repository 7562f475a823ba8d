"""Tasks that cannot be loaded: each is named with its cause, and costs no other task anything."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest

from juliabox_ext import registry
from juliabox_ext.errors import PluginError
from juliabox_manager.metrics import METRICS
from juliabox_manager.protocol import TaskRun
from juliabox_manager.tasks import declared
from support.stray_plugins import lay_out
from support.task_stand import Stand
from support.waiting import LoopClock


async def test_each_faulty_task_is_listed_with_its_cause_and_the_others_run(stand: Stand) -> None:
    expected = {
        "absent": ("plugin.import", "cannot be imported from jbt_stray:Absent"),
        "lacks": ("plugin.contract", "lacks what CommandTask demands: do_task"),
        "unknown": ("plugin.feature", "unknown feature, 'task.of.tomorrow'"),
        "no-task": ("plugin.contract", "no subclass of JBPluginTask"),
        "bad-schedule": ("plugin.contract", "schedule must be 1 second or more"),
        "configured": ("plugin.settings", "plugins.settings.configured: token: Field required"),
        "needs": ("plugin.absent", "cloud.sendmail"),
    }
    names = [*expected, "greet"]
    async with stand.running(*names) as tasks:
        infos = await stand.described(len(names))
        for name, (code, told) in expected.items():
            assert (name, infos[name].code) == (name, code)
            assert told in infos[name].message
            assert name in infos[name].message and "jbt-stray" in infos[name].message
            assert infos[name].distribution == "jbt-stray"
            labels = {"task": name, "distribution": "jbt-stray", "code": code}
            assert METRICS.registry.get_sample_value("juliabox_task_faults", labels) == 1
        with pytest.raises(PluginError, match="unknown feature"):
            await tasks.ask("operator", TaskRun("unknown"))
        assert (await stand.outcome("greet", name="ada")).outcome == "ok"


@pytest.mark.parametrize(
    ("settings", "code", "told"),
    [
        ({"token": "s3cret"}, "", ""),
        ({"token": "s3cret", "greeting": 3}, "plugin.settings", "greeting: Input should be"),
        ({"token": "s3cret", "wrong": 1}, "plugin.settings", "wrong: Extra inputs"),
        ({"token": "s3cret", "greeting": "raise"}, "plugin.failed", "RuntimeError: cannot be"),
        ({"token": "s3cret", "greeting": "exit"}, "plugin.failed", "exit code 5"),
    ],
    ids=["well", "wrong-type", "unknown-key", "raises", "exits"],
)
async def test_settings_are_judged_by_the_plugin_and_secrets_are_not_told(
    stand: Stand,
    settings: dict[str, object],
    code: str,
    told: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with stand.running("configured", "greet", settings={"configured": settings}):
        infos = await stand.described(2)
        assert infos["configured"].code == code
        assert told in infos["configured"].message
        assert infos["greet"].code == ""
    printed = capfd.readouterr()
    assert "s3cret" not in printed.out + printed.err + infos["configured"].message


@pytest.mark.parametrize("required", [[], ["greet"]], ids=["in-the-background", "awaited"])
async def test_a_task_that_hangs_while_it_is_prepared_is_left_out(
    stand: Stand, required: list[str]
) -> None:
    clock = LoopClock(asyncio.get_running_loop())

    async def hurry() -> None:
        """Let its time be over once it hangs, however long a busy machine takes till there."""
        await stand.noted("configures")
        clock.later(declared.DESCRIBE_LIMIT)

    hurrying = asyncio.create_task(hurry())
    settings = {"configured": {"token": "x", "greeting": "hang"}}
    names = ["greet", "configured", "sleeps"]
    async with stand.running(*names, settings=settings, required=required):
        infos = await stand.described(3)
        assert infos["configured"].code == "plugin.hangs"
        assert (infos["greet"].code, infos["sleeps"].code) == ("", "")
    await hurrying


async def test_a_package_that_ends_its_process_when_imported_costs_its_own_tasks_alone(
    stand: Stand, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import os\nos._exit(9)\n"
    package = lay_out(tmp_path / "deadly", source, name="jbt-deadly", first="First", last="Last")
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv("PYTHONPATH", f"{package}:{tmp_path / 'package'}")
    async with stand.running("first", "greet", "last"):
        infos = await stand.described(3)
        for name in ("first", "last"):
            assert infos[name].code == "plugin.failed"
            assert re.search(r"jbt-deadly 1\.0\).* exit code 9", infos[name].message)
        assert infos["greet"].code == ""
    assert "jbt_deadly" not in sys.modules and "jbt_stray" not in sys.modules


async def test_a_required_task_that_cannot_be_loaded_stops_the_manager(stand: Stand) -> None:
    with pytest.raises(PluginError, match=r"lacks.*It is listed in plugins.required"):
        async with stand.running("greet", "lacks", required=["lacks"]):
            raise AssertionError("it must not start")


async def test_two_packages_that_claim_one_name_are_both_named(
    stand: Stand, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = lay_out(tmp_path / "double", "", name="jbt-double", greet="Greet")
    monkeypatch.syspath_prepend(str(package))
    async with stand.running("greet", "sleeps"):
        infos = await stand.described(2)
        assert infos["greet"].code == "plugin.duplicate"
        assert "jbt-double and jbt-stray" in infos["greet"].message


def test_the_registry_gives_up_on_a_plugin_before_the_manager_does() -> None:
    assert registry.PATIENCE < declared.DESCRIBE_LIMIT
