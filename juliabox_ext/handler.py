"""Mount point ``juliabox.handler``: pages, scripts and log-ins.

``JBP_HANDLER`` and ``JBP_JS_TOP`` are loaded by the portal, ``JBP_HANDLER_AUTH*`` by the hub.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

from juliabox_ext.plugin import Plugin


class JBPluginHandler(Plugin):
    """Request handlers, log-ins and scripts."""

    JBP_HANDLER = "handler"
    JBP_HANDLER_AUTH = "handler.auth"
    JBP_HANDLER_AUTH_ZERO = "handler.auth.zero"
    JBP_HANDLER_AUTH_NATIVE = "handler.auth.native"
    JBP_HANDLER_AUTH_GOOGLE = "handler.auth.google"
    JBP_HANDLER_AUTH_GITHUB = "handler.auth.github"
    JBP_HANDLER_AUTH_LINKEDIN = "handler.auth.linkedin"
    JBP_HANDLER_AUTH_OIDC = "handler.auth.oidc"
    JBP_HANDLER_POST_AUTH = "handler.post_auth"
    JBP_JS_TOP = "handler.js.top"


class Handler(JBPluginHandler):
    """Pages of a plugin (``JBP_HANDLER``), served by the portal."""

    @abstractmethod
    def register(self, app: Any) -> None:
        """Add handlers to the portal's ``tornado.web.Application`` with ``app.add_handlers``.

        Called once on the event loop before the portal listens; it must not block. Paths start
        with ``app.settings["plugin_prefix"] + self.name + "/"``. A handler that derives from
        ``app.settings["handler_base"]`` has the portal's log-in, XSRF check, pages and errors.
        """


class Login(JBPluginHandler):
    """A way to log in (``JBP_HANDLER_AUTH`` and its variants), loaded by the hub.

    ``authentication.login`` of config.yaml names the ones that are used. A person of the plugin
    ``native`` keeps the bare name; everybody else is ``<plugin>:<name>``. The hub sees to that, to
    legal names, to a time limit of ten seconds, and to pages that tell a failure.
    """

    @abstractmethod
    def authenticator(self) -> type[Any]:
        """Return the class, a ``jupyterhub.auth.Authenticator``; called while the hub starts.

        Its ``authenticate`` returns the bare name, or an auth model: a dict with ``name`` and
        perhaps ``details``, a dict with ``email``, ``email_verified`` and ``subject``, the
        provider's identifier that never goes to somebody else. A name whose ``subject`` changed is
        refused: it is another person. Raise a ``JuliaBoxError`` to tell the person why not.
        Handlers that the class has are served below ``/hub/<plugin>/``.
        """

    @abstractmethod
    def traits(self) -> dict[str, Any]:
        """Return traits of that class, made from the plugin's settings.

        ``allow_all`` is False and ``admin_users`` empty unless they are among these; admins are
        named without the plugin. Raise ``ConfigurationError`` for a setting that is missing.
        """


class PostLogin(JBPluginHandler):
    """A rule for who may come in after a log-in (``JBP_HANDLER_POST_AUTH``), asked by the hub."""

    @abstractmethod
    def admit(self, name: str, details: dict[str, Any]) -> str:
        """Return an empty text to let a person in, else the reason for the person, one sentence.

        ``name`` is the whole one, such as ``oidc:ada``. ``details`` has ``login``, the plugin's
        name, and what the provider told: ``email``, ``email_verified``, ``subject``; ``native`` and
        ``zero`` tell no more. Called in a thread at each log-in of whatever kind, after all other
        checks. Nobody gets in while a rule raises, or takes more than ten seconds.
        """


class TopScript(JBPluginHandler):
    """A script that the portal's pages load (``JBP_JS_TOP``)."""

    @abstractmethod
    def script(self) -> Path:
        """Return the file, in the plugin's package; the portal serves its folder as static."""


JBPluginHandler.functionalities = {
    JBPluginHandler.JBP_HANDLER: Handler,
    JBPluginHandler.JBP_HANDLER_AUTH: Login,
    JBPluginHandler.JBP_HANDLER_AUTH_ZERO: Login,
    JBPluginHandler.JBP_HANDLER_AUTH_NATIVE: Login,
    JBPluginHandler.JBP_HANDLER_AUTH_GOOGLE: Login,
    JBPluginHandler.JBP_HANDLER_AUTH_GITHUB: Login,
    JBPluginHandler.JBP_HANDLER_AUTH_LINKEDIN: Login,
    JBPluginHandler.JBP_HANDLER_AUTH_OIDC: Login,
    JBPluginHandler.JBP_HANDLER_POST_AUTH: PostLogin,
    JBPluginHandler.JBP_JS_TOP: TopScript,
}
