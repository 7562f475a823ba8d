"""What clients may ask of tasks, and tasks of the manager."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from pydantic import Field

from juliabox_ext.catalog import PluginInfo
from juliabox_ext.errors import JuliaBoxError, NoRoomError, PluginError
from juliabox_ext.task import TASK_CALLS, JBPluginTask, TaskData
from juliabox_manager import protocol
from juliabox_manager.protocol import TaskList, TaskResults, TaskRun
from juliabox_manager.tasks import tasks as tasks_module
from juliabox_manager.tasks.calls import Calls
from juliabox_manager.tasks.declared import Task
from juliabox_manager.tasks.wire import Call, Description
from juliabox_manager.verbs import VERBS
from support.task_stand import PATIENT, Stand


class Greeting(TaskData):
    name: str = Field(pattern=r"^[a-z]+$", max_length=20)
    times: int = Field(1, ge=1, le=3)


def a_task(name: str, features: list[str], data: dict[str, Any]) -> Task:
    info = PluginInfo(name, "juliabox.task", "jbt-stray", "1.0", "jbt_stray:Some")
    clients = ["operator", "hub"]
    return Task(
        info,
        Description(
            name=name, features=features, time_limit=5.0, memory_limit=2**29, clients=clients,
            data=data,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "code", "told"),
    [
        (("nothing", "operator", {}), "not_found.task", "this manager has: greet, ticks"),
        (("ticks", "operator", {}), "task.not_a_command", "by its schedule alone"),
        (("greet", "portal", {"name": "ada"}), "task.client", "allowed: operator, hub"),
        (("greet", "task:greet", {"name": "ada"}), "task.client", "may not ask"),
        (("greet", "operator", {}), "task.data", "'name' is missing"),
        (("greet", "hub", {"name": "ada", "shell": 1}), "task.data", "'shell' is unknown"),
        (("greet", "hub", {"name": 7}), "task.data", "name: does not keep the rule type"),
        (("greet", "hub", {"name": "Ada!"}), "task.data", "name: .* rule pattern"),
        (("greet", "hub", {"name": "ada", "times": 9}), "task.data", "times: .* maximum 3"),
        (("greet", "hub", {"name": "x" * 70_000}), "task.data", "more than 65536"),
        (("greet", "hub", {"name": b"ada\xff"}), "task.data", "pattern"),
    ],
    ids=[
        "unknown-task", "no-command", "wrong-client", "a-task-as-client", "missing", "unknown-key",
        "type", "pattern", "bound", "too-large", "bytes",
    ],
)  # fmt: skip
async def test_a_wrong_request_is_refused_before_anything_runs(
    stand: Stand, request_: tuple[str, str, dict[str, Any]], code: str, told: str
) -> None:
    task, client, data = request_
    async with stand.running() as tasks:
        schema = Greeting.model_json_schema()
        tasks._declared.tasks["greet"] = a_task("greet", [JBPluginTask.JBP_CMD_ASYNC], schema)
        tasks._declared.tasks["ticks"] = a_task("ticks", [JBPluginTask.JBP_NODE], {})
        with pytest.raises(JuliaBoxError, match=told) as caught:
            await tasks.ask(client, TaskRun(task, data))
        assert caught.value.code == code
        assert await tasks.results(TaskResults()) == []
        assert not stand.children()


async def test_a_pattern_of_a_schema_cannot_hold_the_manager_up() -> None:
    schema = {"properties": {"name": {"type": "string", "pattern": "^(a+)+$"}}}
    task = a_task("greet", [JBPluginTask.JBP_CMD_ASYNC], schema)
    assert await task.check("hub", {"name": "aaa"}) == {"name": "aaa"}
    begun = time.monotonic()
    with pytest.raises(JuliaBoxError, match="pattern"):
        await task.check("hub", {"name": "a" * 5000 + "!"})
    assert time.monotonic() - begun < 30  # a machine that tries all ways takes for ever


async def test_a_schema_that_is_none_is_the_plugins_fault() -> None:
    task = a_task("greet", [JBPluginTask.JBP_CMD_ASYNC], {"type": 7})
    with pytest.raises(PluginError, match="schema of task greet's data is none"):
        await task.check("hub", {})


async def test_more_commands_than_may_wait_are_refused(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_module, "QUEUE", 2)
    async with stand.running("hangs", settings=PATIENT) as tasks:
        await stand.run("hangs")
        await stand.noted("hangs")
        for _ in range(2):
            await tasks.ask("operator", TaskRun("hangs"))
        with pytest.raises(NoRoomError) as caught:
            await tasks.ask("operator", TaskRun("hangs"))
        assert caught.value.code == "no_room.tasks"
        outcomes = [one.outcome for one in await tasks.results(TaskResults("hangs"))]
        assert outcomes == ["queued", "queued", "running"]


async def test_a_task_may_ask_for_what_is_listed(stand: Stand) -> None:
    async with stand.running("asks"):
        asked = await stand.outcome("asks", verb="ping")
        assert asked.result == {"ready": True, "instance": "one", "protocol": 1}
        assert stand.handled == [("task:asks", protocol.Ping())]
        purged = await stand.outcome("asks", verb="volume.purge")
        assert (purged.result, stand.worked) == (["a-volume"], ["volume.purge"])
        listed = await stand.outcome("asks", verb="volume.list", fields={"owner": "ada"})
        assert listed.outcome == "ok"
        assert stand.handled[-1] == ("task:asks", protocol.VolumeList(owner="ada"))
        refused = await stand.outcome("asks", verb="session.remove")
        assert (refused.outcome, refused.code) == ("failed", "task.verb")


@pytest.mark.parametrize(
    ("verb", "fields", "code"),
    [
        ("session.remove", {"session": "0" * 16}, "task.verb"),
        ("session.start", {}, "task.verb"),
        ("task.run", {"task": "asks"}, "task.verb"),
        ("events", {}, "task.verb"),
        ("", {}, "task.verb"),
        ("volume.list", {"owner": "a/b"}, "request.invalid"),
        ("ping", {"privileged": True}, "request.invalid"),
        ("volume.purge", {"owner": "ada"}, "request.invalid"),
    ],
    ids=[
        "remove", "start", "another-task", "events", "empty", "bad-owner",
        "unknown-field", "work-with-field",
    ],
)  # fmt: skip
async def test_a_task_is_refused_what_is_not_listed(
    stand: Stand, verb: str, fields: dict[str, Any], code: str
) -> None:
    calls = Calls(stand.handle, {"volume.purge": stand.purge})
    answer = await calls.answer("asks", Call(verb, fields))
    assert answer.error is not None and answer.error.code == code
    assert stand.handled == [] and stand.worked == []


async def test_a_fault_of_the_manager_reaches_a_task_without_its_cause(stand: Stand) -> None:
    async def fails() -> None:
        raise ValueError("a secret")

    answer = await Calls(stand.handle, {"volume.purge": fails}).answer(
        "asks", Call("volume.purge", {})
    )
    assert answer.error is not None and answer.error.family == "InternalError"
    assert "a secret" not in answer.error.message


def test_tasks_may_ask_for_no_verb_that_changes_anything() -> None:
    verbs = {VERBS[name] for name in TASK_CALLS if name in VERBS}
    assert verbs <= protocol.READ_ONLY
    assert list(TASK_CALLS) == sorted(TASK_CALLS)


async def test_answers_cross_the_wire_as_they_are_declared(stand: Stand) -> None:
    async with stand.running("greet", "ticks", "lacks") as tasks:
        await stand.described(3)
        await stand.outcome("greet", name="ada")
        for verb in (TaskList(), TaskResults()):
            answer = await (tasks.list(verb) if isinstance(verb, TaskList) else tasks.results(verb))
            frame = protocol.encode(protocol.Reply("0" * 32, result=answer))
            assert protocol.result_of(verb, protocol.decode_reply(frame)) == answer
            assert msgspec.json.encode(answer)
