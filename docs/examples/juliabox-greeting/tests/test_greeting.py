"""The suites of JuliaBox, and what is the greeting's own."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import tornado.web
from juliabox_greeting.page import GreetingPage
from juliabox_greeting.section import GreetingSection
from juliabox_greeting.task import GreetingTask, Whom

from juliabox_ext.task import JBPluginTask
from juliabox_ext.testing.plugin_suite import PluginSuite, make
from juliabox_ext.ui import JBPluginUI


class TestPage(PluginSuite):
    @pytest.fixture
    def plugin_class(self) -> type[GreetingPage]:
        return GreetingPage


class TestSection(PluginSuite):
    @pytest.fixture
    def plugin_class(self) -> type[GreetingSection]:
        return GreetingSection


class TestTask(PluginSuite):
    @pytest.fixture
    def plugin_class(self) -> type[GreetingTask]:
        return GreetingTask


def test_the_task_greets_with_the_word_of_the_settings(tmp_path: Path) -> None:
    task = make(GreetingTask, tmp_path, word="Servus")
    assert task.do_task(JBPluginTask.JBP_CMD_ASYNC, Whom(name="Ada")) == {
        "greeting": "Servus, Ada!"
    }


def test_the_template_and_the_script_are_in_the_package(tmp_path: Path) -> None:
    section = make(GreetingSection, tmp_path)
    assert section.get_template(JBPluginUI.JBP_UI_CONFIG_SECTION).is_file()
    script = make(GreetingPage, tmp_path).script()
    assert script.is_file()
    assert (script.parent / "wave.svg").is_file()


class App:
    """What the page needs of the portal's application."""

    settings: ClassVar = {
        "plugin_prefix": "/services/portal/plugins/",
        "handler_base": tornado.web.RequestHandler,
    }

    def add_handlers(self, hosts: str, handlers: list[Any]) -> None:
        self.paths = [path for path, _ in handlers]


def test_the_page_stands_below_the_plugins_prefix(tmp_path: Path) -> None:
    app = App()
    make(GreetingPage, tmp_path, name="greeting").register(app)
    assert app.paths == ["/services/portal/plugins/greeting/hello"]
