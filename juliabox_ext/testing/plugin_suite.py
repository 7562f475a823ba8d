"""Contract suite of every plugin: what holds whatever it provides.

Use it in a module of your tests::

    class TestMine(PluginSuite):
        @pytest.fixture
        def plugin_class(self):
            return MyPlugin

A plugin whose settings have no default overrides the fixture ``settings``, too.
"""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import ValidationError

from juliabox_ext import catalog
from juliabox_ext.catalog import MOUNT_POINTS, PluginInfo
from juliabox_ext.plugin import Plugin, PluginContext, PluginSettings

P = TypeVar("P", bound=Plugin)


def context_for(
    plugin_class: type[Plugin], folder: Path, name: str = "mine", **settings: Any
) -> PluginContext:
    """Return what the registry would give an object of the class."""
    return PluginContext(
        name=name,
        settings=plugin_class.Settings.model_validate(settings),
        installation="box",
        instance="box-1",
        folder=folder / name,
        public_url="http://box.example/",
    )


def make(plugin_class: type[P], folder: Path, name: str = "mine", **settings: Any) -> P:
    """Return a configured object of a plugin's class, with settings that its schema has checked."""
    made = plugin_class(context_for(plugin_class, folder, name, **settings))
    made.configure()
    return made


class PluginSuite:
    """Tests that any class behind an entry point passes."""

    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        """Return the class to test."""
        raise NotImplementedError("override the fixture plugin_class")

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        """Return settings with which it works."""
        return {}

    def test_its_class_keeps_the_contract_of_its_mount_point(
        self, plugin_class: type[Plugin]
    ) -> None:
        """The same check as when a part loads it; every feature has its methods."""
        groups = [group for group, point in MOUNT_POINTS.items() if issubclass(plugin_class, point)]
        assert len(groups) == 1, "a class has one mount point"
        where = f"{plugin_class.__module__}:{plugin_class.__qualname__}"
        catalog.check_class(PluginInfo("mine", groups[0], "mine", "0", where), plugin_class)

    def test_no_feature_is_listed_twice(self, plugin_class: type[Plugin]) -> None:
        """``provides`` and ``requires`` name each feature once, and no feature is in both."""
        assert len(set(plugin_class.provides)) == len(plugin_class.provides)
        assert len(set(plugin_class.requires)) == len(plugin_class.requires)
        assert not set(plugin_class.provides) & set(plugin_class.requires)

    def test_what_it_requires_are_features_that_exist(self, plugin_class: type[Plugin]) -> None:
        """A misspelt feature would keep the plugin out of every installation."""
        unknown = [one for one in plugin_class.requires if catalog.functionality(one) is None]
        assert unknown == []

    def test_its_settings_are_a_schema_that_refuses_unknown_keys(
        self, plugin_class: type[Plugin], settings: dict[str, Any]
    ) -> None:
        """A misspelt key is told to the operator instead of being ignored."""
        assert issubclass(plugin_class.Settings, PluginSettings)
        plugin_class.Settings.model_json_schema()
        plugin_class.Settings.model_validate(settings)
        with pytest.raises(ValidationError):
            plugin_class.Settings.model_validate({**settings, "no_such_key_": 1})

    def test_its_class_is_documented(self, plugin_class: type[Plugin]) -> None:
        """``juliabox plugin info`` shows the first line."""
        assert (plugin_class.__doc__ or "").strip()

    def test_making_an_object_touches_nothing(
        self, plugin_class: type[Plugin], settings: dict[str, Any], tmp_path: Path
    ) -> None:
        """``__init__`` neither starts threads nor writes; that is what ``configure`` is for."""
        before = set(threading.enumerate())
        made = plugin_class(context_for(plugin_class, tmp_path, **settings))
        assert made.name == "mine"
        # others may end meanwhile
        assert set(threading.enumerate()) <= before
        assert list(tmp_path.iterdir()) == []

    def test_it_is_configured_and_closed(
        self, plugin_class: type[Plugin], settings: dict[str, Any], tmp_path: Path
    ) -> None:
        """Closing once more, as after a failed start, is harmless."""
        made = make(plugin_class, tmp_path, **settings)
        made.close()
        made.close()

    def test_it_may_be_closed_without_having_been_configured(
        self, plugin_class: type[Plugin], settings: dict[str, Any], tmp_path: Path
    ) -> None:
        """A part that ends while it starts closes whatever it has made."""
        plugin_class(context_for(plugin_class, tmp_path, **settings)).close()

    def test_configure_and_close_are_plain_functions(self, plugin_class: type[Plugin]) -> None:
        """They are called in threads, without an event loop."""
        assert not inspect.iscoroutinefunction(plugin_class.configure)
        assert not inspect.iscoroutinefunction(plugin_class.close)
