"""The built-in plugins of the portal's pages: their contracts, and the defaults that one keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from juliabox_ext import catalog
from juliabox_ext.errors import UnavailableError
from juliabox_ext.plugin import Plugin, PluginContext
from juliabox_ext.testing.db_fake import FakeDatabase
from juliabox_ext.testing.handler_suite import HandlerSuite
from juliabox_ext.testing.ui_suite import WidgetSuite
from juliabox_ext.ui import Widget
from juliabox_plugins.configuration import Configuration, Defaults, DefaultsPages
from juliabox_plugins.session_head import SessionHead


def made(kind: type[Plugin], name: str, database: FakeDatabase | None = None) -> Plugin:
    """Return a plugin as the portal makes it."""
    plugin = kind(PluginContext(name, feature=lambda _: database))
    plugin.configure()
    return plugin


class TestSessionHead(WidgetSuite):
    @pytest.fixture
    def plugin(self) -> Widget:
        plugin = made(SessionHead, "session-head")
        assert isinstance(plugin, Widget)
        return plugin


class TestConfiguration(WidgetSuite):
    @pytest.fixture
    def plugin(self) -> Widget:
        plugin = made(Configuration, "configuration")
        assert isinstance(plugin, Widget)
        return plugin


class TestDefaultsPages(HandlerSuite):
    @pytest.fixture
    def plugin(self, pages: DefaultsPages) -> DefaultsPages:
        return pages


@pytest.mark.parametrize("name", ["configuration", "session-head"])
def test_a_plugin_can_be_loaded_by_its_name_and_shows_its_files(name: str) -> None:
    infos = [info for info in catalog.available() if info.name == name]
    assert infos
    for info in infos:
        loaded = catalog.load_class(info)
        catalog.check_class(info, loaded)
    folder = Path(__file__).parents[3] / "plugins/juliabox_plugins" / name.replace("-", "_")
    assert list(folder.glob("templates/*.html"))


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase()


@pytest.fixture
def pages(database: FakeDatabase) -> DefaultsPages:
    plugin = made(DefaultsPages, "configuration", database)
    assert isinstance(plugin, DefaultsPages)
    return plugin


def test_who_chose_nothing_has_the_ways_of_the_service(pages: DefaultsPages) -> None:
    assert pages.read("ada") == Defaults(profile="", open="lab", confirm=True)


def test_what_is_saved_is_read_again_and_is_of_one_person(pages: DefaultsPages) -> None:
    pages.save("ada", Defaults(profile="large", open="frame", confirm=False))
    pages.save("ada", Defaults(profile="small", open="frame"))
    assert pages.read("ada") == Defaults(profile="small", open="frame", confirm=True)
    assert pages.read("emmy") == Defaults()


def test_what_another_version_kept_is_left_out(
    pages: DefaultsPages, database: FakeDatabase
) -> None:
    pages.save("ada", Defaults(profile="large"))
    table = database.table_open(pages._table().schema())
    for choice in ({"colour": "red", "profile": "large"}, {"open": "carrier pigeon"}, None):
        database.record_save(table, {"owner": "ada", "choice": choice})
        assert pages.read("ada").open == "lab"


def test_a_database_that_is_down_is_told_and_nothing_is_made_up(
    pages: DefaultsPages, database: FakeDatabase
) -> None:
    database.fault = UnavailableError("the database is down", code="db.unavailable")
    with pytest.raises(UnavailableError):
        pages.read("ada")
    with pytest.raises(UnavailableError):
        pages.save("ada", Defaults())
