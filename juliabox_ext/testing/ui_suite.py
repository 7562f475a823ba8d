"""What every provider of ``juliabox.ui`` does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from juliabox_ext.ui import JBPluginUI, Widget

#: What a template is given; values that would be noticed if they were not escaped.
HOSTILE = '"><script>alert(1)</script>'
XSRF = Markup('<input type="hidden" name="_xsrf" value="canary">')

_ELSEWHERE = re.compile(r"""(?:src|href|action)\s*=\s*["']?\s*(?:https?:)?//""", re.IGNORECASE)


class WidgetSuite:
    """Derive from it and give the fixture."""

    @pytest.fixture
    def plugin(self) -> Widget:
        raise NotImplementedError("return a plugin that was configured")

    def rendered(self, plugin: Widget, place: str, text: str) -> str:
        """Render the template of a place as JuliaBox does."""
        path = Path(plugin.get_template(place))
        environment = Environment(
            loader=FileSystemLoader(path.parent), autoescape=True, undefined=StrictUndefined
        )
        button = place == JBPluginUI.JBP_UI_AUTH_BTN
        return environment.get_template(path.name).render(
            plugin=plugin.name,
            user="" if button else text,
            base_url="/hub/",
            static_url=lambda name: f"/static/{plugin.name}/{name}",
            xsrf_form_html=XSRF,
            login_url="/hub/login" if button else "",
            login_service=text if button else "",
            username=text if button else "",
        )

    def test_each_place_has_a_template(self, plugin: Widget) -> None:
        assert set(plugin.provides) <= set(JBPluginUI.functionalities)
        for place in plugin.provides:
            path = plugin.get_template(place)
            assert isinstance(path, Path) and path.is_file()

    def test_each_template_renders_with_what_it_is_given(self, plugin: Widget) -> None:
        for place in plugin.provides:
            assert self.rendered(plugin, place, "Ada").strip()

    def test_what_people_type_is_escaped(self, plugin: Widget) -> None:
        for place in plugin.provides:
            assert HOSTILE not in self.rendered(plugin, place, HOSTILE)

    def test_nothing_is_loaded_from_elsewhere(self, plugin: Widget) -> None:
        for place in plugin.provides:
            assert not _ELSEWHERE.search(self.rendered(plugin, place, "Ada"))

    def test_a_form_that_changes_something_has_its_token(self, plugin: Widget) -> None:
        for place in plugin.provides:
            html = self.rendered(plugin, place, "Ada")
            for form in re.findall(r"<form\b.*?</form>", html, re.DOTALL | re.IGNORECASE):
                if re.search(r'method\s*=\s*["\']?post', form, re.IGNORECASE):
                    assert str(XSRF) in form

    def test_a_button_leads_to_its_log_in(self, plugin: Widget) -> None:
        if JBPluginUI.JBP_UI_AUTH_BTN in plugin.provides:
            html = self.rendered(plugin, JBPluginUI.JBP_UI_AUTH_BTN, "Ada")
            assert 'href="/hub/login"' in html or 'action="/hub/login"' in html
