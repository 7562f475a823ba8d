"""Mount point ``juliabox.ui``: pieces of pages.

``JBP_UI_AUTH_BTN`` is loaded by the hub, the others by the portal.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from juliabox_ext.plugin import Plugin


class JBPluginUI(Plugin):
    """Widgets and sections."""

    JBP_UI_SESSION_HEAD = "ui.session.head"
    JBP_UI_AUTH_BTN = "ui.auth.btn"
    JBP_UI_CONFIG_SECTION = "ui.config.section"


class Widget(JBPluginUI):
    """A template for one or more places (any ``JBP_UI_*``)."""

    @abstractmethod
    def get_template(self, plugin_type: str) -> Path:
        """Return the file of a Jinja2 template for a place, in the plugin's package.

        It is rendered inside the page with ``plugin`` (the plugin's name), ``user`` (name, or
        empty on the log-in page), ``base_url``, ``static_url`` (function: path in the plugin's
        ``static`` folder -> address; in the portal), ``xsrf_form_html`` and, for a button,
        ``login_url`` (of the log-in of the same name, with the page to go to afterwards; empty if
        there is none), ``login_service`` (the text, such as ``GitHub``) and ``username`` (what was
        typed before a failure). Variables are escaped. A template that is missing or fails leaves
        its place empty and is reported.
        """


JBPluginUI.functionalities = {
    JBPluginUI.JBP_UI_SESSION_HEAD: Widget,
    JBPluginUI.JBP_UI_AUTH_BTN: Widget,
    JBPluginUI.JBP_UI_CONFIG_SECTION: Widget,
}
