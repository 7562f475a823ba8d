"""Mount point ``juliabox.ui``: pieces of pages.

``JBP_UI_AUTH_BTN`` is loaded by the hub, the others by the portal.

The portal's pages run no script and take no style that stands within them: a template names files
of the plugin's ``static`` folder. Bootstrap's classes hold, and the variables ``--jb-…`` have the
colours of the theme. Around a template there are:

``JBP_UI_CONFIG_SECTION``
    A form with ``data-api="plugins/<name>/…"`` is loaded with GET and saved with PUT, as a JSON
    object of its named fields; a ``JBP_HANDLER`` of the same name answers. A ``select`` with
    ``data-options="PATH LIST VALUE LABEL"`` offers what the list under a key of a route holds.
``JBP_UI_SESSION_HEAD``
    The event ``juliabox:session`` on ``document`` brings the state of the session, the portal's
    ``SessionView``, every few seconds; the event ``juliabox:refresh`` asks for it at once.
both
    ``window.JuliaBox`` has ``has_plugin_feature(name)``, ``get_pluggedin_features()``, ``user``,
    ``portal_url``, ``hub_url``, and ``fetch(path, options)``, which sends the XSRF token.
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
