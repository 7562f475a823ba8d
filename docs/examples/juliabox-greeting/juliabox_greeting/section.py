"""A section of the portal's configuration page."""

from pathlib import Path
from typing import ClassVar

from juliabox_ext.ui import JBPluginUI, Widget
from juliabox_greeting.settings import GreetingSettings


class GreetingSection(Widget):
    """Shows a picture and a link to the greeting."""

    provides: ClassVar = [JBPluginUI.JBP_UI_CONFIG_SECTION]
    Settings: ClassVar = GreetingSettings

    def get_template(self, plugin_type: str) -> Path:
        """Return the section's template."""
        return Path(__file__).parent / "templates" / "greeting.html"
