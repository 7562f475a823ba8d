"""Contract suite of a task: derive from :class:`TaskSuite` and override ``make``."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from juliabox_ext.catalog import PluginInfo, check_class
from juliabox_ext.errors import JuliaBoxError, UnavailableError
from juliabox_ext.task import (
    MAX_RESULT_BYTES,
    TASK_CALLS,
    CommandTask,
    JBPluginTask,
    PeriodicTask,
    TaskData,
)
from juliabox_ext.testing.task_fake import FakeManager

Make = Callable[[FakeManager], JBPluginTask]

_PERIODIC = (JBPluginTask.JBP_NODE, JBPluginTask.JBP_CLUSTER)


class TaskSuite:
    """What every task does, whatever its features."""

    #: Data that a command accepts, and data that it refuses.
    good_data: ClassVar[dict[str, Any]] = {}
    bad_data: ClassVar[dict[str, Any]] = {"no-such-key": 1}

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        """Return a function that makes the task for a manager; see ``make_task``."""
        raise NotImplementedError

    @pytest.fixture
    def manager(self) -> FakeManager:
        """Return the manager that the task asks."""
        return FakeManager()

    @pytest.fixture
    def task(self, make: Make, manager: FakeManager) -> JBPluginTask:
        """Return the task, configured."""
        return make(manager)

    def _run(self, task: JBPluginTask) -> dict[str, Any]:
        """Run each feature once; return the results."""
        results = {}
        for feature in task.provides:
            if feature == JBPluginTask.JBP_CMD_ASYNC:
                schema: type[TaskData] = getattr(task, "Data", CommandTask.Data)
                data = schema.model_validate(self.good_data)
                results[feature] = task.do_task(feature, data)  # type: ignore[attr-defined]
            else:
                results[feature] = task.do_periodic_task(feature)  # type: ignore[attr-defined]
        return results

    def test_its_class_keeps_the_contract(self, task: JBPluginTask) -> None:
        info = PluginInfo("task", "juliabox.task", "tests", "0", "tests:Task")
        check_class(info, type(task))

    def test_its_limits_can_be_kept(self, task: JBPluginTask) -> None:
        assert 0 < task.time_limit <= 86400
        assert task.memory_limit >= 64 * 1024**2

    def test_its_schedule_leaves_time_between_runs(self, task: JBPluginTask) -> None:
        if set(task.provides) & set(_PERIODIC):
            schedule = getattr(task, "schedule", PeriodicTask.schedule)
            assert schedule.every >= 1 and schedule.delay >= 0

    def test_its_methods_are_plain_functions(self, task: JBPluginTask) -> None:
        for name in ("do_task", "do_periodic_task"):
            assert not inspect.iscoroutinefunction(getattr(task, name, None))

    def test_results_are_json_within_the_limit(self, task: JBPluginTask) -> None:
        for feature, result in self._run(task).items():
            assert len(json.dumps(result, allow_nan=False)) <= MAX_RESULT_BYTES, feature

    def test_it_calls_only_what_tasks_may(self, task: JBPluginTask, manager: FakeManager) -> None:
        self._run(task)
        assert {verb for verb, _ in manager.called} <= set(TASK_CALLS)

    def test_a_run_is_repeated_by_a_new_object_without_harm(
        self, make: Make, manager: FakeManager
    ) -> None:
        for _ in range(2):
            task = make(manager)
            first = self._run(task)
            task.close()
            assert first.keys() == set(task.provides)

    def test_a_manager_that_fails_is_told_by_its_own_error(
        self, task: JBPluginTask, manager: FakeManager
    ) -> None:
        manager.errors = dict.fromkeys(TASK_CALLS, UnavailableError("the engine is away"))
        # nothing else may escape
        with contextlib.suppress(JuliaBoxError):
            self._run(task)

    def test_a_command_says_who_may_ask_and_with_what(self, task: JBPluginTask) -> None:
        if JBPluginTask.JBP_CMD_ASYNC in task.provides:
            clients = getattr(task, "clients", CommandTask.clients)
            assert clients and not isinstance(clients, str)
            schema: type[TaskData] = getattr(task, "Data", CommandTask.Data)
            assert schema.model_json_schema()["type"] == "object"

    def test_a_command_refuses_data_of_another_form(self, task: JBPluginTask) -> None:
        if JBPluginTask.JBP_CMD_ASYNC in task.provides:
            schema: type[TaskData] = getattr(task, "Data", CommandTask.Data)
            with pytest.raises(ValidationError):
                schema.model_validate(self.bad_data)

    def test_unknown_settings_are_refused(self, task: JBPluginTask) -> None:
        with pytest.raises(ValidationError):
            task.Settings.model_validate({"no-such-key": 1})
