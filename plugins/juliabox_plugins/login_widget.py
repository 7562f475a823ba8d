"""The button of a log-in: a template of this package."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from juliabox_ext.ui import JBPluginUI, Widget

FOLDER = Path(__file__).parent / "login_templates"


class LoginButton(Widget):
    """Base of the built-in buttons; a subclass names its template."""

    provides = (JBPluginUI.JBP_UI_AUTH_BTN,)
    template: ClassVar[str]

    def get_template(self, plugin_type: str) -> Path:
        """Return the file of the button's template."""
        return FOLDER / self.template
