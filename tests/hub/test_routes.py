"""Activity of sessions that the proxy tells: news only if it has changed by much."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from jupyterhub.proxy import ConfigurableHTTPProxy

from juliabox_spawner.hub.routes import Routes


def activity(time: str) -> dict[str, Any]:
    data = {"user": "ada", "server_name": "", "last_activity": f"2026-11-25T{time}Z"}
    return {"/user/ada/": {"target": "http://10.0.0.9:8888", "data": data}}


def answers_of_bob() -> dict[str, Any]:
    return activity("10:01:59.000")["/user/ada/"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (["10:00:00.000", "10:00:29.900"], [True, False]),
        (["10:00:00.000", "10:00:20.000", "10:00:31.000"], [True, False, True]),
        (["10:00:00.000", "10:00:31.000", "10:00:50.000"], [True, True, False]),
    ],
    ids=["little", "little-by-little", "much"],
)
async def test_activity_is_told_when_it_has_changed_by_a_step_since_it_was_told(
    monkeypatch: pytest.MonkeyPatch, times: list[str], told: list[bool]
) -> None:
    answers = [{"/": {"target": "http://hub", "data": {}}, **activity(time)} for time in times]

    async def get_all_routes(self: Any) -> dict[str, Any]:
        return deepcopy(answers.pop(0))

    monkeypatch.setattr(ConfigurableHTTPProxy, "get_all_routes", get_all_routes)
    proxy = Routes(auth_token="t" * 32)
    seen = [await proxy.get_all_routes() for _ in times]
    assert ["last_activity" in routes["/user/ada/"]["data"] for routes in seen] == told
    answers.append(activity("10:02:00.000") | {"/user/bob/": answers_of_bob()})
    new = await proxy.get_all_routes()
    # who has just started was noted by the hub itself
    assert "last_activity" not in new["/user/bob/"]["data"]
    assert "last_activity" in new["/user/ada/"]["data"]
    assert all(routes["/user/ada/"]["target"] and "/" in routes for routes in seen)
