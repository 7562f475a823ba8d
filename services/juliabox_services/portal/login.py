"""Who calls: log-in by the hub's OAuth, without blocking the event loop."""

from __future__ import annotations

from typing import Any

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler
from tornado.web import HTTPError

from juliabox_ext.errors import UnavailableError
from juliabox_services.portal.base import SafeErrors, hub_is_down
from juliabox_services.portal.settings import CLIENT_ID, SERVICE, PortalSettings, read_secret

#: Seconds that the hub's word about a token is trusted: how long a role that was taken away counts.
TRUST_SECONDS = 30


class PortalAuth(HubOAuth):  # type: ignore[misc]  # JupyterHub is untyped
    """JupyterHub's OAuth, which takes no token from an address, not even for a web socket."""

    def _get_token_url(self, handler: Any) -> str:
        return ""


def make_auth(settings: PortalSettings) -> PortalAuth:
    """Return the portal's end of the hub's OAuth."""
    return PortalAuth(
        api_url=settings.hub_api,
        api_token=read_secret(settings.secrets / "api_token"),
        base_url=settings.prefix,
        hub_prefix=f"{settings.base_url}hub/",
        hub_host=settings.hub_host,
        oauth_client_id=CLIENT_ID,
        oauth_redirect_uri=f"{settings.portal_host}{settings.prefix}oauth_callback",
        access_scopes={f"access:services!service={SERVICE}"},
        cache_max_age=TRUST_SECONDS,
        cookie_host_prefix_enabled=settings.https and bool(settings.hub_host),
        cookie_options={"secure": True, "samesite": "Lax"}
        if settings.public_url.startswith("https:")
        else {"samesite": "Lax"},
    )


class Callback(SafeErrors, HubOAuthCallbackHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """End of a log-in."""

    @property
    def hub_auth(self) -> PortalAuth:
        """The application's end of OAuth."""
        auth: PortalAuth = self.settings["hub_auth"]
        return auth

    async def get(self) -> None:
        """Take the code, keep the token in a cookie, and go on to the page that was asked for."""
        # whoever is logged in is found without the thread that JupyterHub would wait for
        self._hub_auth_user_cache = None
        try:
            await HubOAuthCallbackHandler.get(self)
        except HTTPError as error:
            if hub_is_down(error):
                raise UnavailableError(
                    "JuliaBox's hub does not answer; try again in a moment", code="portal.hub"
                ) from error
            raise
