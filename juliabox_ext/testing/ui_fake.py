"""A provider of ``juliabox.ui`` for tests of what shows it."""

from __future__ import annotations

from pathlib import Path

from juliabox_ext.ui import JBPluginUI, Widget


class FakeWidget(Widget):
    """One template for all places."""

    provides = tuple(JBPluginUI.functionalities)

    def get_template(self, plugin_type: str) -> Path:
        """Return the file."""
        return Path(__file__).parent / "fake_templates" / "widget.html"
