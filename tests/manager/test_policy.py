"""Policy and hardening: what is refused, and how a container is made."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from juliabox_ext.errors import ConfigurationError, JuliaBoxError
from juliabox_manager import hardening
from juliabox_manager.endings import exit_info
from juliabox_manager.engine import Container
from juliabox_manager.hardening import Hardening
from juliabox_manager.policy import Policy
from juliabox_manager.pool.size import Room, of_apis
from juliabox_manager.protocol import Limits
from juliabox_manager.records import SessionRecord
from juliabox_manager.settings import (
    ApiContainers,
    CapacitySettings,
    Client,
    ManagerSettings,
    NetworkSettings,
)
from juliabox_manager.tally import Tally
from manager.test_store import a_record

MIB = 1024**2
LIMITS = Limits(memory=128 * MIB, cpu=0.5, pids=64, disk=32 * MIB)


def tallied(records: list[SessionRecord]) -> Tally:
    tally = Tally()
    for record in records:
        tally.count(record)
    return tally


def settings(tmp_path: Path, **changes: Any) -> ManagerSettings:
    (tmp_path / "seccomp.json").write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
    made = ManagerSettings(
        installation="jbt",
        instance="one",
        state=tmp_path,
        listen="ipc:///nowhere",
        metrics_address="127.0.0.1",
        metrics_port=0,
        secret_key=tmp_path / "key",
        clients={"hub": Client("k" * 40, ["*"])},
        images={"juliabox/julia": "sha256:one"},
        ceilings=Limits(memory=512 * MIB, cpu=2.0, pids=128, disk=64 * MIB),
        network=NetworkSettings("jbt-sessions", "10.0.0.1", ["10.0.0.2"], "10.0.0.3", 8081),
        capacity=CapacitySettings(sessions=4, sessions_per_owner=2, memory=512 * MIB),
        seccomp=tmp_path / "seccomp.json",
    )
    return msgspec.structs.replace(made, **changes)


def roomy_settings(folder: Path, **changes: Any) -> ManagerSettings:
    """Return settings by which the machine itself always has room."""
    made = settings(folder, **changes)
    capacity = msgspec.structs.replace(made.capacity, disk_reserve=0, memory=0)
    return msgspec.structs.replace(made, capacity=capacity)


@pytest.mark.parametrize("name", ["memory", "cpu", "pids", "disk"])
def test_a_limit_above_its_ceiling_is_refused_by_name(tmp_path: Path, name: str) -> None:
    policy = Policy(settings(tmp_path))
    ceiling = getattr(settings(tmp_path).ceilings, name)
    policy.check_limits(msgspec.structs.replace(LIMITS, **{name: ceiling}))
    with pytest.raises(JuliaBoxError, match=f"{name} limit") as refused:
        policy.check_limits(msgspec.structs.replace(LIMITS, **{name: ceiling * 2}))
    assert refused.value.code == f"policy.limit.{name}"


@pytest.mark.parametrize("image", ["debian", "juliabox/julia:latest", "sha256:one"])
def test_an_image_is_allowed_by_its_exact_name_alone(tmp_path: Path, image: str) -> None:
    policy = Policy(settings(tmp_path))
    assert policy.image_id("juliabox/julia") == "sha256:one"
    with pytest.raises(JuliaBoxError, match="allowed: juliabox/julia") as refused:
        policy.image_id(image)
    assert refused.value.code == "image.not_allowed"


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ([a_record(n, owner="ada", server=f"s{n}") for n in (1, 2)], "no_room.owner"),
        ([a_record(n) for n in range(4)], "no_room.sessions"),
        ([a_record(1, limits=msgspec.structs.replace(LIMITS, memory=400 * MIB))], "no_room.memory"),
    ],
    ids=["owner", "sessions", "memory"],
)
def test_a_used_up_quota_refuses_and_ended_sessions_do_not_count(
    tmp_path: Path, others: list[Any], code: str
) -> None:
    policy = Policy(settings(tmp_path))
    with pytest.raises(JuliaBoxError) as refused:
        policy.check_room("ada", LIMITS, tallied(others))
    assert (refused.value.code, refused.value.retryable) == (code, True)
    ended = [msgspec.structs.replace(record, state="ended") for record in others]
    policy.check_room("ada", LIMITS, tallied(ended))


def test_a_nearly_full_disk_refuses(tmp_path: Path) -> None:
    Policy(settings(tmp_path, capacity=CapacitySettings(disk_reserve=1))).check_disk()
    with pytest.raises(JuliaBoxError) as refused:
        Policy(settings(tmp_path, capacity=CapacitySettings(disk_reserve=2**60))).check_disk()
    assert refused.value.code == "no_room.disk"


def test_a_home_inside_a_read_only_slot_stays_writable_on_every_engine(tmp_path: Path) -> None:
    """From API 1.44 on, read-only holds for what is mounted inside, too, unless refused."""
    (mount,) = Hardening(settings(tmp_path)).config("0" * 16, "sha256:one", LIMITS)["HostConfig"][
        "Mounts"
    ]
    assert (mount["ReadOnly"], mount["BindOptions"]["ReadOnlyNonRecursive"]) == (True, True)


@pytest.mark.parametrize("there", [True, False], ids=["with", "without"])
def test_ipv6_is_switched_off_where_the_kernel_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr(hardening, "_IPV6", tmp_path if there else tmp_path / "missing")
    host = Hardening(settings(tmp_path)).config("0" * 16, "sha256:one", LIMITS)["HostConfig"]
    assert set(host["Sysctls"].values()) == ({"1"} if there else set())
    assert len(host["Sysctls"]) == 2 * there


def test_the_config_differs_between_two_sessions_in_their_names_alone(tmp_path: Path) -> None:
    hardening = Hardening(settings(tmp_path))
    one, two = (
        json.dumps(hardening.config(session, "sha256:one", LIMITS)).replace(session[:8], "X")
        for session in ("a" * 16, "b" * 16)
    )
    assert one.replace("a" * 8, "") == two.replace("b" * 8, "")


@pytest.mark.parametrize(
    "change",
    [{"tmp_size": 1}, {"runtime": "runsc"}, {"installation": "other"}],
    ids=["tmp", "runtime", "installation"],
)
def test_the_digest_changes_with_each_setting(tmp_path: Path, change: dict[str, Any]) -> None:
    before = Hardening(settings(tmp_path)).digest("sha256:one", LIMITS)
    assert Hardening(settings(tmp_path)).digest("sha256:one", LIMITS) == before
    assert Hardening(settings(tmp_path, **change)).digest("sha256:one", LIMITS) != before
    assert Hardening(settings(tmp_path)).digest("sha256:two", LIMITS) != before


@pytest.mark.parametrize("content", [None, "", "[]", "{}"], ids=["absent", "empty", "list", "map"])
def test_no_manager_without_a_seccomp_profile(tmp_path: Path, content: str | None) -> None:
    made = settings(tmp_path)
    made.seccomp.unlink() if content is None else made.seccomp.write_text(content)
    with pytest.raises(ConfigurationError, match="seccomp"):
        Hardening(made)


@pytest.mark.parametrize(
    ("container", "told", "reason", "memory"),
    [
        ({"exit_code": 137, "oom_killed": True}, "", "out of memory (limit 128 MiB)", True),
        ({"exit_code": 0, "oom_killed": True}, "it was stopped", "It was stopped.", False),
        ({"exit_code": 137}, "", "killed from outside", False),
        ({"exit_code": 3}, "", "exit code 3", False),
        ({"exit_code": 0}, "", "ended by itself", False),
        ({"exit_code": 127, "started": 0.0, "error": "no such file"}, "", "no such file", False),
    ],
    ids=["memory", "stopped-later", "killed", "failed", "user", "unstartable"],
)
def test_the_reason_of_an_end_is_told(
    container: dict[str, Any], told: str, reason: str, memory: bool
) -> None:
    seen = Container(**{"session": "a", "id": "b", "running": False, "digest": "", "started": 1.0}
                     | container)  # fmt: skip
    info = exit_info(seen, [], LIMITS, told=told)
    assert reason in info.reason
    assert info.oom_killed is memory


# -- API containers ------------------------------------------------------------------------------

API_LIMITS = msgspec.structs.replace(LIMITS, disk=0)
APIS = ApiContainers(
    image="juliabox/julia-api",
    image_id="sha256:api",
    trusted=["10.0.0.4"],
    ceilings=Limits(memory=128 * MIB, cpu=1.0, pids=64, disk=0),
    containers=3,
    containers_per_publisher=2,
    memory=300 * MIB,
)


def an_api(owner: str = "ada", **changes: Any) -> SessionRecord:
    return msgspec.structs.replace(
        a_record(owner=owner), kind="api", limits=API_LIMITS, session=os.urandom(8).hex(), **changes
    )


@pytest.mark.parametrize(
    ("present", "code"),
    [
        ([], ""),
        ([an_api()], ""),
        ([an_api(), an_api(retired=True)], "no_room.api_memory"),
        ([an_api(state="ended"), an_api(state="ended"), an_api()], ""),
        ([an_api(), an_api()], "no_room.api_publisher"),
        ([an_api("bob"), an_api("eve"), an_api("joe")], "no_room.api_containers"),
    ],
    ids=["none", "one", "retired", "ended", "publisher", "instance"],
)
def test_the_room_for_api_containers_is_counted(
    tmp_path: Path, present: list[SessionRecord], code: str
) -> None:
    policy, tally = Policy(settings(tmp_path, api=APIS)), tallied(present)
    if not code:
        return policy.check_api_room("ada", API_LIMITS, tally)
    with pytest.raises(JuliaBoxError) as refused:
        policy.check_api_room("ada", API_LIMITS, tally)
    assert refused.value.code == code


@pytest.mark.parametrize("name", ["juliabox/julia-api", "juliabox/renamed"])
def test_the_image_of_apis_is_no_sessions_under_any_name(tmp_path: Path, name: str) -> None:
    made = settings(tmp_path, api=APIS)
    made.images[name] = "sha256:api"
    policy = Policy(made)
    with pytest.raises(JuliaBoxError, match=r"allowed: juliabox/julia$") as refused:
        policy.image_id(name)
    assert refused.value.code == "image.not_allowed"
    assert policy.known_image("juliabox/julia-api", "api") == "sha256:api"
    assert policy.known_image("juliabox/julia", "api") is None


def test_an_api_container_is_made_like_a_session_but_for_what_it_is_told_and_may_ask(
    tmp_path: Path,
) -> None:
    made = settings(tmp_path, api=APIS)
    rules = [{"names": ["inotify_init1", "read"], "action": "SCMP_ACT_ALLOW"}]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
    made.seccomp.write_text(json.dumps(profile))
    hardening = Hardening(made)
    session = hardening.config("a" * 16, "sha256:one", API_LIMITS)
    api = hardening.config("a" * 16, "sha256:one", API_LIMITS, "api")
    admitted = [
        json.loads(one["HostConfig"]["SecurityOpt"].pop().removeprefix("seccomp="))["syscalls"]
        for one in (session, api)
    ]
    assert [rule["names"] for (rule,) in admitted] == [["inotify_init1", "read"], ["read"]]
    assert {name for name in session if session[name] != api[name]} == {
        "Hostname",
        "Env",
        "Labels",
    }
    warm = hardening.warm_config("a" * 16, "sha256:api", "api")
    assert warm["HostConfig"]["Memory"] == APIS.warm_memory


@pytest.mark.parametrize(
    ("room", "size", "reason"),
    [
        (Room(containers=9, memory=None), 2, ""),
        (Room(containers=1, memory=None), 1, "apis.containers"),
        (Room(containers=-1, memory=None), 0, "apis.containers"),
        (Room(containers=9, memory=300 * MIB), 1, "api.memory"),
    ],
    ids=["room", "few", "none", "memory"],
)
def test_the_pool_of_apis_takes_what_api_containers_leave(
    room: Room, size: int, reason: str
) -> None:
    given, bound = of_apis(msgspec.structs.replace(APIS, pool=2), room)
    assert given == size
    assert bound.endswith(reason)
