"""Starts, stops and ends of sessions, with JupyterHub's own user objects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from jupyterhub import orm

from juliabox_ext.errors import (
    InternalError,
    NoRoomError,
    PolicyError,
    UnavailableError,
    VolumeError,
)
from juliabox_manager import protocol as p
from juliabox_spawner import spawner as spawner_module
from juliabox_spawner.failures import StartError
from support.waiting import until

OOM = p.ExitInfo(137, True, "It ran out of memory (limit 1024 MiB).", ["julia> big", "Killed"])
CRASH = p.ExitInfo(1, False, "JupyterLab ended.", ["<script>alert(1)</script>", "no module"])


async def test_start_runs_a_session_and_stop_leaves_nothing(world: Any) -> None:
    user = world.user("ada")
    await user.spawn()
    (info,) = world.manager.sessions.values()
    assert (info.owner, info.server, info.state) == ("ada", "", "running")
    assert user.spawners[""].server.ip == info.address
    assert await user.spawners[""].poll() is None
    await user.stop()
    assert world.manager.sessions == {}
    assert user.spawner.server is None


@pytest.mark.parametrize(("now", "grace"), [(False, 7.0), (True, 0.0)], ids=["ordinary", "now"])
async def test_stop_lets_the_session_end_behind(world: Any, now: bool, grace: float) -> None:
    world.config.JuliaBoxSpawner.stop_grace = 7.0
    user = world.user("ada")
    await user.spawn()
    spawner = user.spawners[""]
    await spawner.stop(now=now)
    (asked,) = world.manager.asked(p.SessionRetire)
    assert asked.grace == grace
    assert world.manager.asked(p.SessionStop) == world.manager.asked(p.SessionRemove) == []
    assert (spawner.object_id, spawner.api_token) == ("", "")
    assert await spawner.poll() == 0


async def test_environment_goes_with_the_start_and_is_kept_nowhere(world: Any) -> None:
    user = world.user("ada")
    await user.spawn()
    spawner = user.spawners[""]
    (environment,) = world.manager.environments.values()
    assert environment["JUPYTERHUB_API_TOKEN"] == spawner.api_token
    assert environment["MEM_LIMIT"] == str(1024**3)
    assert environment["CPU_LIMIT"] == "1.0"
    assert spawner.engine._environment == {}
    assert spawner.api_token not in repr(spawner.get_state())
    assert spawner.api_token not in repr(world.manager.asked(p.SessionCreate))


async def test_hub_connect_url_is_what_the_session_is_told(world: Any) -> None:
    world.config.JuliaBoxSpawner.hub_connect_url = "http://10.9.8.7:8081"
    await world.user("ada").spawn()
    (environment,) = world.manager.environments.values()
    assert environment["JUPYTERHUB_API_URL"] == "http://10.9.8.7:8081/hub/api"


async def test_a_leftover_session_is_removed_before_a_start(world: Any) -> None:
    user = world.user("ada")
    await world.manager.call(
        p.SessionCreate(owner="ada", server="", image="juliabox/julia", limits=_limits())
    )
    (old,) = world.manager.sessions
    await user.spawn()
    assert old not in world.manager.sessions
    assert len(world.manager.sessions) == 1


async def test_two_servers_of_one_person_are_two_sessions(world: Any) -> None:
    user = world.user("ada")
    await user.spawn()
    await user.spawn("lab")
    assert {info.server for info in world.manager.sessions.values()} == {"", "lab"}


@pytest.mark.parametrize(
    ("verb", "error", "reason", "status"),
    [
        (p.SessionCreate, NoRoomError("100 of 100 sessions run."), "no_room", 503),
        (p.SessionCreate, PolicyError("memory is above the ceiling"), "policy", 403),
        (p.SessionStart, VolumeError("the disk of ada is quarantined"), "volume", 409),
        (p.SessionStart, UnavailableError("the engine does not answer"), "engine", 503),
        (p.SessionStart, InternalError("reference 17"), "internal", 500),
    ],
    ids=["no-room", "policy", "volume", "engine", "internal"],
)
async def test_a_refused_start_says_why_and_leaves_nothing(
    world: Any, verb: Any, error: Any, reason: str, status: int
) -> None:
    world.manager.errors[verb] = [error]
    with pytest.raises(StartError) as caught:
        await world.user("ada").spawn()
    assert caught.value.reason == reason
    assert caught.value.status_code == status
    assert error.message in caught.value.jupyterhub_message
    assert world.manager.sessions == {}


async def test_the_same_spawner_starts_again_after_a_failure_and_after_a_stop(world: Any) -> None:
    user = world.user("ada")
    spawner = user.get_or_create_spawner("", "")
    spawner.api_token = "t" * 32
    world.manager.errors[p.SessionStart] = [VolumeError("the disk of ada is locked")]
    with pytest.raises(StartError, match="locked"):
        await spawner.start()
    for _ in range(2):
        await spawner.start()
        await spawner.stop()
    assert world.manager.sessions == {}


async def test_an_image_off_the_list_is_named(world: Any) -> None:
    world.config.JuliaBoxSpawner.image = "evil/image"
    with pytest.raises(StartError) as caught:
        await world.user("ada").spawn()
    assert caught.value.reason == "image"
    assert "evil/image" in caught.value.jupyterhub_message


@pytest.mark.parametrize(("ending", "reason"), [(OOM, "oom"), (CRASH, "exited")])
async def test_a_session_that_ends_during_its_start_fails_at_once_with_its_last_lines(
    world: Any, ending: p.ExitInfo, reason: str
) -> None:
    world.manager.serving = False
    world.manager.doomed = ending
    started = asyncio.get_running_loop().time()
    with pytest.raises(StartError) as caught:
        await world.user("ada").spawn()
    assert asyncio.get_running_loop().time() - started < 20  # of the 60 s that it has
    assert caught.value.reason == reason
    assert ending.last_lines[-1] in caught.value.jupyterhub_html_message
    assert "<script>" not in caught.value.jupyterhub_html_message
    assert world.manager.sessions == {}


async def test_a_server_that_never_answers_ends_with_a_text_and_leaves_nothing(world: Any) -> None:
    world.manager.serving = False
    world.config.JuliaBoxSpawner.start_timeout = 3
    with pytest.raises(StartError, match="within 3 seconds") as caught:
        await world.user("ada").spawn()
    assert caught.value.reason == "timeout"
    assert world.manager.sessions == {}


async def test_a_session_killed_from_outside_is_noticed_and_the_reason_kept(world: Any) -> None:
    user = world.user("ada")
    await user.spawn()
    spawner = user.spawners[""]
    await world.manager.end(spawner.object_id, OOM)
    status = await spawner.poll()
    assert "ran out of memory" in status
    await user.stop()
    assert world.manager.sessions == {}
    kept = user.orm_user.orm_spawners[""].state["last_exit"]
    assert kept["oom"] and kept["lines"] == OOM.last_lines
    await user.spawn()
    assert "last_exit" not in user.spawners[""].get_state()


async def test_poll_does_not_declare_a_session_dead_because_the_manager_is_away(
    world: Any,
) -> None:
    user = world.user("ada")
    await user.spawn()
    world.manager.away = True
    assert await user.spawners[""].poll() is None
    world.manager.away = False
    assert await user.spawners[""].poll() is None


async def test_poll_of_a_server_that_never_ran_is_zero_even_without_a_manager(world: Any) -> None:
    world.manager.away = True
    assert await world.user("ada").spawner.poll() == 0


async def test_stop_without_a_manager_is_an_error_and_stop_again_works(world: Any) -> None:
    user = world.user("ada")
    await user.spawn()
    spawner = user.spawners[""]
    world.manager.away = True
    with pytest.raises(StartError):
        await spawner.stop()
    world.manager.away = False
    await spawner.stop()
    assert world.manager.sessions == {}


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3, 0.6])
async def test_stop_during_a_start_leaves_nothing(world: Any, moment: float) -> None:
    world.manager.pace = 0.15
    user = world.user("ada")
    starting = asyncio.ensure_future(user.spawn())
    await asyncio.sleep(moment)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await user.stop()
    await until(lambda: not world.manager.busy)
    assert world.manager.sessions == {}


async def test_a_restarted_hub_goes_on_with_a_running_session(world: Any) -> None:
    user = world.user("ada")
    await user.spawn()
    (session,) = world.manager.sessions
    again = world.user("ada")
    assert await again.spawner.poll() is None
    assert again.spawner.object_id == session
    assert await again.spawner.get_url() == user.spawners[""].server.url
    await again.stop()
    assert world.manager.sessions == {}


async def test_a_restarted_hub_removes_a_start_that_it_did_not_finish(world: Any) -> None:
    user = world.user("ada")
    user.spawner.orm_spawner.server = orm.Server(base_url=user.base_url)
    world.db.commit()
    created = await world.manager.call(
        p.SessionCreate(owner="ada", server="", image="juliabox/julia", limits=_limits())
    )
    await world.manager.call(p.SessionStart(session=created.session, environment={}))
    assert await world.user("ada").spawner.poll() == 0
    assert world.manager.sessions == {}


async def test_deleting_a_named_server_keeps_the_home_and_deleting_the_user_does_not(
    world: Any,
) -> None:
    user = world.user("ada")
    await user.spawn("lab")
    await user.stop("lab")
    await user._delete_spawner("lab")
    assert world.manager.removed_volumes == []
    await user.delete_spawners()
    assert world.manager.removed_volumes == ["ada"]
    await user.spawner.delete_home()
    assert world.manager.removed_volumes == ["ada"]


async def test_deletion_of_a_home_without_a_manager_is_an_error(world: Any) -> None:
    world.manager.away = True
    with pytest.raises(UnavailableError):
        await world.user("ada").spawner.delete_home()


async def test_progress_shows_the_manager_s_stages_to_every_page(world: Any) -> None:
    # events are listened to in time, though the machine stands still for half a second
    world.manager.pace = 0.3
    user = world.user("ada")
    starting = asyncio.ensure_future(user.spawn())
    await asyncio.sleep(0)
    spawner = user.spawners[""]
    await asyncio.sleep(0.1)

    async def follow() -> list[dict[str, object]]:
        return [step async for step in spawner.progress()]

    first, second, _ = await asyncio.gather(follow(), follow(), starting)
    assert first == second
    texts = [step["message"] for step in first]
    assert texts[1:] == [text for _, text in p.START_STAGES.values()]
    percents = [step["progress"] for step in first]
    assert percents == sorted(percents)
    late = [step async for step in spawner.progress()]
    assert late == first


async def test_a_quick_start_asks_the_manager_twice_and_a_stop_of_it_looks_once(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawner_module, "_QUICK", 60.0)
    user = world.user("ada")
    await user.spawn()
    assert [type(verb) for verb in world.manager.verbs] == [p.SessionCreate, p.SessionStart]
    world.manager.verbs.clear()
    await user.stop()
    assert len(world.manager.asked(p.SessionInspect)) <= 1


async def test_idle_spawners_ask_the_manager_nothing(world: Any) -> None:
    user = world.user("ada")
    await user.spawn()
    await asyncio.sleep(0.05)
    before = len(world.manager.verbs)
    await asyncio.sleep(0.3)
    assert len(world.manager.verbs) == before


async def test_progress_survives_a_manager_whose_events_fail(world: Any) -> None:
    world.manager.errors[p.Events] = [UnavailableError("away")] * 3
    world.manager.pace = 0.2
    user = world.user("ada")
    await user.spawn()
    assert [step async for step in user.spawners[""].progress()][-1]["progress"] == 95


def _limits() -> p.Limits:
    return p.Limits(memory=1024**3, cpu=1.0, pids=256, disk=1024**3)
