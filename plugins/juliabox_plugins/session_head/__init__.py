"""Plugin ``session-head``: what stands above a session in the portal's frame.

Name and state, time left, gauges, a button that stops the session, and the way back.
"""

from __future__ import annotations

from pathlib import Path

from juliabox_ext.ui import JBPluginUI, Widget

__all__ = ["SessionHead"]

HERE = Path(__file__).parent


class SessionHead(Widget):
    """The head of a session."""

    provides = (JBPluginUI.JBP_UI_SESSION_HEAD,)

    def get_template(self, plugin_type: str) -> Path:  # one place, one template
        """Return the head's template; its script follows the event ``juliabox:session``."""
        return HERE / "templates" / "session_head.html"
