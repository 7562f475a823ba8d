"""Options of DockerSpawner that cannot be honoured are refused, each with its name and a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dockerspawner import DockerSpawner
from traitlets.config import Config

from juliabox_ext.errors import ConfigurationError
from juliabox_spawner import options
from juliabox_spawner.failures import StartError


@pytest.mark.parametrize("section", options.SECTIONS)
@pytest.mark.parametrize("name", sorted(options.REFUSED))
def test_an_option_that_cannot_be_honoured_is_named_with_a_reason(name: str, section: str) -> None:
    config = Config({section: {name: "anything"}})
    with pytest.raises(ConfigurationError) as caught:
        options.check_config(config)
    assert f"c.{section}.{name}: {options.REFUSED[name]}" in caught.value.message


@pytest.mark.parametrize("name", sorted(options.FIXED))
def test_a_fixed_option_may_be_set_to_its_value_only(name: str) -> None:
    options.check_config(Config({"DockerSpawner": {name: True}}))
    with pytest.raises(ConfigurationError, match=name):
        options.check_config(Config({"DockerSpawner": {name: False}}))


def test_internal_ssl_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="internal_ssl"):
        options.check_config(Config({"JupyterHub": {"internal_ssl": True}}))


def test_all_problems_are_told_at_once() -> None:
    config = Config({"DockerSpawner": {"volumes": {}, "links": {}}, "Spawner": {"cmd": ["x"]}})
    with pytest.raises(ConfigurationError) as caught:
        options.check_config(config)
    assert caught.value.message.count("\n") == 3


def test_every_option_that_dockerspawner_adds_is_judged() -> None:
    honoured = {
        "allowed_images",
        "cpu_limit",
        "image",
        "mem_limit",
        "network_name",
        "pull_policy",
    }
    own = {
        name
        for name in DockerSpawner.class_own_traits(config=True)
        if name not in options.REFUSED and name not in options.FIXED
    }
    assert own <= honoured


async def test_the_spawner_checks_its_configuration_when_it_is_made(
    spawner: Callable[..., Any],
) -> None:
    with pytest.raises(ConfigurationError, match="extra_host_config"):
        spawner("ada", extra_host_config={"privileged": True})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("extra_host_config", {"privileged": True}),
        ("extra_create_kwargs", {"user": "root"}),
        ("volumes", {"/etc": "/x"}),
        ("mounts", [{"source": "/", "target": "/x"}]),
        ("post_start_cmd", "sh"),
        ("links", {"a": "b"}),
    ],
)
async def test_an_option_that_a_hook_sets_fails_the_start(
    world: Any, name: str, value: Any
) -> None:
    world.config.JuliaBoxSpawner.pre_spawn_hook = lambda spawner: setattr(spawner, name, value)
    with pytest.raises(StartError) as caught:
        await world.user("ada").spawn()
    assert caught.value.reason == "configuration"
    assert name in caught.value.jupyterhub_message
    assert world.manager.sessions == {}


async def test_remove_cannot_be_switched_off(spawner: Callable[..., Any]) -> None:
    one = spawner("ada")
    assert one.remove is True
    assert one.will_resume is False
    with pytest.raises(ConfigurationError, match="always removed"):
        one.remove = False
