"""The button of a log-in: a template of this package."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from juliabox_ext.plugin import PluginSettings
from juliabox_ext.ui import JBPluginUI, Widget

FOLDER = Path(__file__).parent / "login_templates"


class ButtonSettings(PluginSettings):
    """What a button makes of the settings, which are those of the log-in of its name: nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class LoginButton(Widget):
    """Base of the built-in buttons; a subclass names its template."""

    provides = (JBPluginUI.JBP_UI_AUTH_BTN,)
    Settings: ClassVar[type[PluginSettings]] = ButtonSettings
    template: ClassVar[str]

    def get_template(self, plugin_type: str) -> Path:
        """Return the file of the button's template."""
        return FOLDER / self.template
