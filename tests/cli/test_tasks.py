"""`juliabox task`, and which plugins the manager is told of for its tasks."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from juliabox_cli import commands_tasks
from juliabox_cli.main import cli
from juliabox_cli.plugin_choice import Choice
from juliabox_cli.plugin_probe import Probed
from juliabox_ext.catalog import PluginInfo
from juliabox_manager.protocol import (
    TaskInfo,
    TaskJob,
    TaskList,
    TaskResult,
    TaskResults,
    TaskRun,
    Verb,
)

JOB = "0" * 31 + "1"


def _result(**changes: Any) -> TaskResult:
    told = {
        "job": JOB,
        "task": "disk-use",
        "feature": "task.cmd.async",
        "client": "operator",
        "outcome": "ok",
        "started": 1_700_000_000.0,
        "seconds": 1.25,
        "result": {"text": "[red]not[/red] markup"},
    }
    return TaskResult(**{**told, **changes})


def _info(**changes: Any) -> TaskInfo:
    told = {
        "task": "disk-use",
        "distribution": "juliabox 0.1.0",
        "features": ["task.cmd.async", "task.periodic.node"],
        "every": 300.0,
        "next_run": 1_700_000_300.0,
        "time_limit": 60.0,
        "running": False,
        "clients": ["operator"],
        "data": {"type": "object"},
        "last": _result(result=None),
    }
    return TaskInfo(**{**told, **changes})


FAULTY = _info(
    task="report",
    distribution="lab-tasks",
    every=0.0,
    next_run=0.0,
    last=None,
    code="plugin.settings",
    message="plugin report is configured wrongly",
)


class Link:
    """A manager that answers what it is told to."""

    def __init__(self) -> None:
        self.asked: list[Verb] = []
        self.results = [[_result()]]

    def call(self, verb: Verb, timeout: float = 10.0) -> Any:
        self.asked.append(verb)
        match verb:
            case TaskList():
                return [_info(), FAULTY]
            case TaskRun():
                return TaskJob(JOB)
        assert isinstance(verb, TaskResults)
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Link:
    made = Link()
    monkeypatch.setattr(commands_tasks, "_LOOK", 0.0)
    monkeypatch.setattr(commands_tasks, "open_installation", lambda: SimpleNamespace(manager=made))
    return made


def _run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["task", *arguments])


def test_tasks_are_listed_with_their_state_and_faults_with_their_cause(link: Link) -> None:
    listed = _run("list")
    assert listed.exit_code == 0
    (own,) = [line for line in listed.output.splitlines() if line.startswith("disk-use")]
    assert "300 s" in own and "ok, 2023-11-1" in own
    assert "plugin report is configured wrongly [plugin.settings]" in listed.output
    document = json.loads(_run("list", "--json").output)
    assert [one["task"] for one in document] == ["disk-use", "report"]
    assert document[1]["code"] == "plugin.settings"


def test_a_job_is_printed_alone(link: Link) -> None:
    done = _run("run", "disk-use", "--data", '{"state": "all"}')
    assert done.output == f"{JOB}\n"
    assert link.asked == [TaskRun("disk-use", {"state": "all"})]


def test_a_result_is_waited_for(link: Link) -> None:
    link.results = [[_result(outcome="queued")], [_result(outcome="running")], [_result()]]
    done = _run("run", "disk-use", "--wait")
    assert json.loads(done.output) == {"text": "[red]not[/red] markup"}


@pytest.mark.parametrize(
    ("results", "told"),
    [
        (
            [_result(outcome="timeout", code="task.timeout", message="was killed", result=None)],
            "was killed [task.timeout]",
        ),
        ([], f"job {JOB} of task disk-use is not among the last runs"),
    ],
    ids=["killed", "forgotten"],
)
def test_a_run_that_fails_is_told_in_one_line(
    link: Link, results: list[TaskResult], told: str
) -> None:
    link.results = [results]
    done = _run("run", "disk-use", "--wait")
    assert done.exit_code == 1
    assert told in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("data", ["[]", "1", "{", ""], ids=["list", "number", "broken", "empty"])
def test_data_that_are_no_object_are_refused_before_anybody_is_asked(link: Link, data: str) -> None:
    done = _run("run", "disk-use", "--data", data)
    assert done.exit_code == 1
    assert "--data is no JSON object" in done.output and "[task.data]" in done.output
    assert link.asked == []


def test_results_are_shown_as_they_are(link: Link) -> None:
    shown = _run("results", "disk-use")
    assert '{"text":"[red]not[/red] markup"}' in shown.output
    assert link.asked == [TaskResults("disk-use", 50)]
    (told,) = json.loads(_run("results", "--json").output)
    assert told["result"] == {"text": "[red]not[/red] markup"}


def _probed(name: str, group: str, provides: str, *requires: str) -> Probed:
    return Probed(PluginInfo(name, group, "lab", "1", "lab:Some"), (provides,), requires)


def test_the_manager_is_told_of_what_its_tasks_require_and_no_other_part_is() -> None:
    report = _probed("report", "juliabox.task", "task.periodic.node", "cloud.sendmail")
    mail = _probed("smtp", "juliabox.cloud", "cloud.sendmail")
    settings = {"smtp": {"password": "canary"}}
    with_task = Choice((report, mail))
    assert with_task.selection("manager", settings).enabled == ["report", "smtp"]
    assert with_task.selection("manager", settings).settings == settings
    assert with_task.selection("portal", settings).settings == {}
    assert Choice((mail,)).selection("manager", settings).settings == {}
