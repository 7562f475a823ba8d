"""Profiles, groups and limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from juliabox_ext.errors import ConfigurationError
from juliabox_manager import protocol as p
from juliabox_spawner import profiles
from juliabox_spawner.failures import StartError

GIB = 1024**3
LIST = [
    {"display_name": "Small & <b>", "slug": "small", "memory": GIB},
    {"display_name": "Large", "slug": "large", "memory": 4 * GIB, "cpu": 4.0, "default": True},
    {"display_name": "Physics Lab", "groups": ["physics"], "environment": {"COURSE": "lab"}},
]


async def created(world: Any, user: Any, **options: Any) -> p.SessionCreate:
    await user.spawn(options=options)
    return world.manager.asked(p.SessionCreate)[-1]


async def test_the_default_profile_counts_when_none_is_asked_for(world: Any) -> None:
    world.config.JuliaBoxSpawner.profile_list = LIST
    verb = await created(world, world.user("ada"))
    assert (verb.profile, verb.limits.memory, verb.limits.cpu) == ("large", 4 * GIB, 4.0)


async def test_a_profile_is_chosen_by_user_options_and_reaches_the_environment(world: Any) -> None:
    world.config.JuliaBoxSpawner.profile_list = LIST
    verb = await created(world, world.user("ada", "physics"), profile="physics-lab")
    assert verb.profile == "physics-lab"
    (environment,) = world.manager.environments.values()
    assert environment["COURSE"] == "lab"
    assert environment["JULIABOX_PROFILE"] == "physics-lab"


@pytest.mark.parametrize("slug", ["physics-lab", "nothing", "../x", 7, "x" * 9999])
async def test_a_profile_that_is_not_offered_is_refused(world: Any, slug: Any) -> None:
    world.config.JuliaBoxSpawner.profile_list = LIST
    with pytest.raises(StartError) as caught:
        await world.user("ada").spawn(options={"profile": slug})
    assert (caught.value.reason, caught.value.status_code) == ("profile", 400)
    assert len(caught.value.jupyterhub_message) < 300
    assert world.manager.asked(p.SessionCreate) == []


@pytest.mark.parametrize("options", [{"memory": 10**12}, {"privileged": True}, {"Image": "x"}])
async def test_options_that_nobody_knows_are_refused(world: Any, options: Any) -> None:
    with pytest.raises(StartError) as caught:
        await world.user("ada").spawn(options=options)
    assert caught.value.reason == "options"


async def test_an_image_by_option_needs_allowed_images(world: Any) -> None:
    with pytest.raises(Exception, match="not allowed"):
        await world.user("ada").spawn(options={"image": "evil"})
    world.manager.images["juliabox/other"] = "sha256:2"
    world.config.JuliaBoxSpawner.allowed_images = {"other": "juliabox/other"}
    verb = await created(world, world.user("bob"), image="other")
    assert verb.image == "juliabox/other"


async def test_groups_replace_defaults_by_their_highest_and_profiles_come_last(world: Any) -> None:
    world.config.JuliaBoxSpawner.group_limits = {
        "staff": {"memory": 2 * GIB, "cpu": 2.0},
        "lab": {"memory": 8 * GIB},
        "other": {"memory": 99 * GIB},
    }
    verb = await created(world, world.user("ada", "staff", "lab"))
    assert (verb.limits.memory, verb.limits.cpu, verb.limits.pids) == (8 * GIB, 2.0, 512)
    world.config.JuliaBoxSpawner.profile_list = LIST
    verb = await created(world, world.user("ada"), profile="small")
    assert (verb.limits.memory, verb.limits.cpu) == (GIB, 2.0)


async def test_jupyterhub_s_own_group_overrides_count_as_defaults(world: Any) -> None:
    world.config.JuliaBoxSpawner.group_overrides = {
        "1": {"groups": ["big"], "spawner_override": {"mem_limit": "3G", "pids_limit": 99}}
    }
    verb = await created(world, world.user("ada", "big"))
    assert (verb.limits.memory, verb.limits.pids) == (3 * GIB, 99)
    (environment,) = world.manager.environments.values()
    assert environment["MEM_LIMIT"] == str(3 * GIB)


async def test_the_form_shows_what_this_person_may_choose_escaped(
    spawner: Callable[..., Any],
) -> None:
    form = await spawner("ada", profile_list=LIST).get_options_form()
    assert 'value="small"' in form and 'value="large" checked' in form
    assert "physics" not in form and "<b>" not in form and "Small &amp;" in form
    mine = await spawner("emmy", "physics").get_options_form()
    assert 'value="physics-lab"' in mine


async def test_no_form_where_there_is_no_choice(spawner: Callable[..., Any]) -> None:
    assert await spawner("ada").get_options_form() == ""
    assert await spawner("bob", profile_list=LIST[:1]).get_options_form() == ""


async def test_a_callable_profile_list_may_be_async(world: Any) -> None:
    async def mine(spawner: Any) -> list[dict[str, Any]]:
        return [{"display_name": f"Of {spawner.user.name}", "pids": 77}]

    world.config.JuliaBoxSpawner.profile_list = mine
    verb = await created(world, world.user("ada"))
    assert (verb.profile, verb.limits.pids) == ("of-ada", 77)


def test_form_fields_become_user_options_and_nothing_else_does() -> None:
    fields = {"profile": ["large"], "_xsrf": ["t"], "memory": ["9"], "image": []}
    assert profiles.from_form(fields) == {"profile": "large"}


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ([{"slug": "x"}], "display_name"),
        ([{"display_name": "A", "kubespawner_override": {}}], "kubespawner_override"),
        ([{"display_name": "A", "memory": "lots"}], "memory"),
        ([{"display_name": "A", "slug": "a/b"}], "slug"),
        ([{"display_name": "A"}, {"display_name": "a"}], "share the slug"),
    ],
)
def test_a_bad_profile_is_named(entries: list[dict[str, Any]], match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        profiles.read(entries)
