"""The pieces of the log-in page that plugins bring, rendered one by one."""

from __future__ import annotations

from typing import Any

import structlog
from jinja2 import Environment, FileSystemLoader
from jupyterhub.utils import url_path_join
from markupsafe import Markup
from tornado.httputil import url_concat

from juliabox_spawner.hub.logins import Button, Logins

log = structlog.get_logger("juliabox.logins")

_environments: dict[str, Environment] = {}


def render_buttons(handler: Any, logins: Logins, username: str) -> list[Markup]:
    """Return the pieces of a log-in page; one that fails is left out and logged."""
    pieces = []
    for button in logins.buttons:
        try:
            pieces.append(_render(handler, logins, button, username))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            log.error("a log-in button failed", plugin=button.plugin, reason=reason)
    return pieces


def _render(handler: Any, logins: Logins, button: Button, username: str) -> Markup:
    member = logins.find(button.plugin)
    url = ""
    if member is not None:
        authenticator = handler.settings["authenticator"].member(button.plugin)
        url = authenticator.login_url(handler.hub.base_url)
        where_to = handler.get_argument("next", "")
        url = url_concat(url, {"next": where_to}) if where_to else url
    token = handler.xsrf_token.decode("ascii")
    template = _environment(str(button.template.parent)).get_template(button.template.name)
    html = template.render(
        plugin=button.plugin,
        user="",
        base_url=url_path_join(handler.hub.base_url, "/"),
        xsrf_form_html=Markup('<input type="hidden" name="_xsrf" value="{}">').format(token),
        login_url=url,
        login_service=member.service if member is not None else "",
        username=username,
    )
    return Markup(html)  # noqa: S704  # made by a template that escapes


def _environment(folder: str) -> Environment:
    if folder not in _environments:
        _environments[folder] = Environment(loader=FileSystemLoader(folder), autoescape=True)
    return _environments[folder]
