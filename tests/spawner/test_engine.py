"""The closed set of calls, and what may not pass through it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import dockerspawner
import pytest
from docker.errors import APIError, NotFound
from hypothesis import given
from hypothesis import strategies as st

from juliabox_ext.errors import FAMILIES, NotFoundError
from juliabox_manager.protocol import Limits, SessionCreate
from juliabox_spawner.engine import Engine, StandIn
from juliabox_spawner.failures import docker_error, start_error
from juliabox_spawner.names import session_name
from juliabox_spawner.spawner import JuliaBoxSpawner
from support.fake_manager import FakeManager

LIMITS = Limits(memory=1024**3, cpu=1.0, pids=256, disk=1024**3)


def engine() -> Engine:
    made = Engine(FakeManager(), "ada", "")
    made.limits = LIMITS
    return made


@pytest.mark.parametrize(
    "method",
    ["exec_create", "exec_start", "create_volume", "put_archive", "commit", "_stop", "call"],
)
async def test_calls_outside_the_set_are_refused_without_a_word_to_the_manager(method: str) -> None:
    one = engine()
    with pytest.raises(APIError, match="may not ask for"):
        await one.call(method, "x")
    assert one.manager.verbs == []


def test_docker_is_a_plain_function_as_dockerspawner_wants_it() -> None:
    assert not inspect.iscoroutinefunction(JuliaBoxSpawner.docker)


def test_every_call_of_dockerspawner_is_translated_or_belongs_to_a_refused_option() -> None:
    source = Path(inspect.getsourcefile(dockerspawner.DockerSpawner) or "").read_text()
    words = [part.split(",")[0].split(")")[0].strip() for part in source.split("self.docker(")[1:]]
    called = {w.strip("\"'") for w in words if w[:1] in "\"'" and "%" not in w and "+" not in w}
    refused = {"exec_create", "exec_start", "create_volume", "put_archive", "inspect_", "remove_"}
    assert called - refused <= Engine.CALLS


@pytest.mark.parametrize(
    "extra",
    [
        {"host_config": {"privileged": True}},
        {"host_config": {"binds": {"/etc": {"bind": "/x"}}}},
        {"host_config": {"mounts": [{"source": "/"}]}},
        {"host_config": {"links": {"a": "b"}}},
        {"host_config": {"cap_add": ["SYS_ADMIN"]}},
        {"host_config": {"port_bindings": {8888: None}}},
        {"volumes": ["/x"]},
        {"command": ["sh"]},
        {"user": "root"},
        {"entrypoint": "sh"},
        {"labels": {"a": "b"}},
    ],
    ids=lambda extra: "-".join(
        str(next(iter(v if isinstance(v, dict) else {k: 1}))) for k, v in extra.items()
    ),
)
async def test_what_the_manager_has_no_word_for_is_refused(extra: dict[str, Any]) -> None:
    one = engine()
    with pytest.raises(APIError, match="never accepts"):
        await one.call("create_container", image="juliabox/julia", environment={}, **extra)
    assert one.manager.asked(SessionCreate) == []


def test_the_stand_in_has_nothing_but_host_config() -> None:
    assert StandIn().create_host_config(auto_remove=True, binds={}, links={}, mounts=[]) == {
        "auto_remove": True,
        "binds": {},
        "links": {},
        "mounts": [],
    }
    with pytest.raises(APIError, match="privileged"):
        StandIn().create_host_config(privileged=True)
    with pytest.raises(AttributeError, match="no Docker client"):
        StandIn().containers()


async def test_inspect_has_docker_s_shape_and_finds_a_session_by_owner_and_server() -> None:
    one = engine()
    created = await one.call("create_container", image="juliabox/julia", environment={"A": 1})
    other = Engine(one.manager, "ada", "")
    other.network = "sessions"
    seen = await other.call("inspect_container", "whatever")
    assert seen["Id"] == created["Id"]
    assert seen["State"]["Running"] is False
    assert seen["Config"]["Env"] == []
    assert "sessions" in seen["NetworkSettings"]["Networks"]
    with pytest.raises(NotFound):
        await Engine(one.manager, "ada", "lab").call("inspect_container", "whatever")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_error_becomes_docker_s_and_none_looks_like_a_lost_container(family: str) -> None:
    error = docker_error(FAMILIES[family]("words"))
    assert (error.response.status_code == 404) == (family == "NotFoundError")
    assert error.response.status_code != 500
    assert isinstance(error, NotFound) == (family == "NotFoundError")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_error_has_a_reason_and_a_text_for_the_person(family: str) -> None:
    failure = start_error(FAMILIES[family]("the words of the <manager>"))
    assert failure.reason
    assert failure.jupyterhub_message.endswith("the words of the <manager>")
    assert "<manager>" not in failure.jupyterhub_html_message


def test_an_image_error_is_called_so() -> None:
    assert start_error(NotFoundError("x", code="image.not_allowed")).reason == "image"


names = st.text(min_size=0, max_size=255)


@given(names, names, names, names)
def test_names_are_unique_and_printable(a: str, b: str, c: str, d: str) -> None:
    first, second = session_name(a, b), session_name(c, d)
    assert (first == second) == ((a, b) == (c, d))
    assert first.isascii() and first.isprintable() and len(first) <= 41


def test_names_keep_the_boundary_between_user_and_server() -> None:
    pairs = [("a", "b-c"), ("a-b", "c"), ("a-b-c", ""), ("", "a-b-c"), ("A", "b-c")]
    assert len({session_name(*pair) for pair in pairs}) == len(pairs)
