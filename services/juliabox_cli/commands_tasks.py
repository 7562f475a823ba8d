"""``juliabox task``: the work of the manager beside sessions, and what came of it."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterable
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from juliabox_cli.installation import Installation, open_installation
from juliabox_ext.errors import PluginError, RequestError
from juliabox_manager.protocol import (
    TaskInfo,
    TaskJob,
    TaskList,
    TaskResult,
    TaskResults,
    TaskRun,
)

#: Seconds between two looks at a run that is waited for.
_LOOK = 0.5


@click.group()
def task() -> None:
    """List, run and judge tasks: work of plugins in the manager."""


@task.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the enabled tasks, those at fault included."""
    tasks: list[TaskInfo] = open_installation().manager.call(TaskList())
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(tasks), indent=2))
        return
    rows = [
        (
            one.task,
            one.distribution,
            "fault" if one.code else "running" if one.running else "",
            f"{one.every:g} s" if one.every else "",
            _moment(one.next_run),
            f"{one.last.outcome}, {_moment(one.last.started)}" if one.last else "",
        )
        for one in tasks
    ]
    _print(("task", "package", "state", "every", "next run", "last run"), rows)
    for one in tasks:
        if one.code:
            click.echo(f"{one.message} [{one.code}]", err=True)


@task.command()
@click.argument("name")
@click.option("--data", default="{}", help="What the task is called with: a JSON object.")
@click.option("--wait", is_flag=True, help="Wait for its end and print its result.")
def run(name: str, data: str, wait: bool) -> None:
    """Run a task that is a command; print its job, or its result."""
    installation = open_installation()
    job: TaskJob = installation.manager.call(TaskRun(name, _object(data)))
    if not wait:
        click.echo(job.job)
        return
    result = _await_end(installation, name, job.job)
    if result.outcome != "ok":
        raise PluginError(result.message, code=result.code)
    click.echo(json.dumps(result.result, indent=2, ensure_ascii=False))


def _object(text: str) -> dict[str, Any]:
    """Return a JSON object that was typed; raise ``RequestError`` for anything else."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise RequestError(f"--data is no JSON object: {error}", code="task.data") from None


def _await_end(installation: Installation, name: str, job: str) -> TaskResult:
    while True:
        results: list[TaskResult] = installation.manager.call(TaskResults(name, limit=100))
        found = next((one for one in results if one.job == job), None)
        if found is None:
            raise PluginError(
                f"job {job} of task {name} is not among the last runs; see `juliabox logs manager`",
                code="task.forgotten",
            )
        if found.outcome not in {"queued", "running"}:
            return found
        time.sleep(_LOOK)


@task.command()
@click.argument("name", default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, results included.")
def results(name: str, as_json: bool) -> None:
    """Show the last runs of all tasks, or of NAME, newest first."""
    found: list[TaskResult] = open_installation().manager.call(TaskResults(name or None, limit=50))
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=2, ensure_ascii=False))
        return
    rows = [
        (
            _moment(one.started),
            one.task,
            one.client,
            one.outcome,
            f"{one.seconds:.1f}",
            one.message or msgspec.json.encode(one.result).decode(),
        )
        for one in found
    ]
    _print(("began", "task", "asked by", "outcome", "seconds", "result"), rows)


def _moment(seconds: float) -> str:
    if not seconds:
        return ""
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def _print(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold" if name in {"result", "task"} else "ellipsis")
    for row in rows:
        # texts of plugins: no markup of theirs is obeyed
        table.add_row(*(Text(cell[:200]) for cell in row))
    Console().print(table)


COMMANDS: list[click.Command] = [task]
