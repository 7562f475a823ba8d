"""The section of a person's defaults on the portal's page of settings."""

from __future__ import annotations

from pathlib import Path

from juliabox_ext.ui import JBPluginUI, Widget

HERE = Path(__file__).parent


class Configuration(Widget):
    """The section of a person's defaults."""

    provides = (JBPluginUI.JBP_UI_CONFIG_SECTION,)

    def get_template(self, plugin_type: str) -> Path:  # one place, one template
        """Return the section's template: a form that the portal's script loads and saves."""
        return HERE / "templates" / "defaults.html"
