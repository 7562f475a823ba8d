"""Waiting for the parts: until all answer, or until it is plain that one never will."""

from __future__ import annotations

from typing import Any

import pytest

from juliabox_cli import health
from juliabox_ext.errors import UnavailableError


def _seen(**state: Any) -> dict[str, Any]:
    return {"Id": "1", "Config": {"Image": "x"}, "State": state, "RestartCount": 2}


@pytest.mark.parametrize("code", [65, 78], ids=["damaged database", "configuration"])
def test_a_part_that_cannot_run_as_configured_is_not_waited_for(code: int) -> None:
    broken = health.container_state(_seen(Restarting=True, ExitCode=code))
    with pytest.raises(UnavailableError, match="juliabox logs hub") as caught:
        health.await_healthy(lambda: {"hub": broken}, 60.0, lambda *_: None)
    assert caught.value.code == "up.unhealthy"


def test_a_part_that_fell_over_once_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.time, "sleep", lambda _: None)
    looks = iter(
        [
            {"hub": health.container_state(_seen(Restarting=True, ExitCode=1))},
            {"hub": health.container_state(_seen(Running=True))},
        ]
    )
    health.await_healthy(lambda: next(looks), 60.0, lambda *_: None)
