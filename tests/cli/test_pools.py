"""`juliabox pool`: what is printed, and what the manager is asked."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from juliabox_cli import commands_pools, health
from juliabox_cli.main import cli
from juliabox_ext.errors import UnavailableError
from juliabox_manager.protocol import PoolInfo, PoolList, PoolRenew, Verb

POOLS = [
    PoolInfo(
        image="juliabox/julia", wanted=3, ready=2, loading=1,
        claimed=41, missed=2, failed=0, memory=700 * 10**6,
    ),
    PoolInfo(
        image="lab/geo", wanted=2, ready=0, loading=0,
        claimed=0, missed=5, failed=1, memory=0, reason="the image is not on this instance",
    ),
]  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Verb]:
    """Answer with the pools above; return what was asked."""
    verbs: list[Verb] = []

    def call(verb: Verb, timeout: float = 10.0) -> Any:
        verbs.append(verb)
        return POOLS if isinstance(verb, PoolList) else None

    manager = SimpleNamespace(manager=SimpleNamespace(call=call))
    monkeypatch.setattr(commands_pools, "open_installation", lambda: manager)
    return verbs


def test_pools_are_listed_with_the_reason_of_one_that_is_short(asked: list[Verb]) -> None:
    done = CliRunner().invoke(cli, ["pool", "list"], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    first, second = done.output.splitlines()[1:]
    assert first.split() == ["juliabox/julia", "3", "2", "1", "41", "2", "0", "700.0", "MB"]
    assert second.endswith("the image is not on this instance")


def test_pools_as_json_are_what_the_manager_told(asked: list[Verb]) -> None:
    done = CliRunner().invoke(cli, ["pool", "list", "--json"])
    assert json.loads(done.output) == msgspec.to_builtins(POOLS)


def test_renewing_asks_the_manager_once(asked: list[Verb]) -> None:
    assert CliRunner().invoke(cli, ["pool", "renew"]).exit_code == 0
    assert asked == [PoolRenew()]


def test_status_tells_why_a_pool_is_short_and_stays_healthy() -> None:
    component = health.Component("running")
    health._tell_pools(component, SimpleNamespace(call=lambda *_, **__: POOLS))  # type: ignore[arg-type]
    assert component.running
    assert component.detail["reason"] == "pool of lab/geo: the image is not on this instance"


def test_a_manager_that_does_not_tell_of_pools_is_not_worse_for_it() -> None:
    def silent(*_: Any, **__: Any) -> Any:
        raise UnavailableError("no answer")

    component = health.Component("running")
    health._tell_pools(component, SimpleNamespace(call=silent))  # type: ignore[arg-type]
    assert component == health.Component("running")
