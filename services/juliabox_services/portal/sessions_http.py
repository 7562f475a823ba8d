"""Requests to a person's running session, by the proxy and with a token for that session alone."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError

from juliabox_ext.errors import ConfigurationError, NotFoundError, UnavailableError
from juliabox_services.portal.hub import Shared
from juliabox_services.portal.settings import PortalSettings

#: Seconds that a session has, and the most that it may answer: it is no part of ours.
PATIENCE = 10.0
MOST = 4 * 1024 * 1024


class SessionClient:
    """Asks sessions; what they answer is a stranger's word."""

    def __init__(self, settings: PortalSettings) -> None:
        self._settings = settings
        self._http = AsyncHTTPClient(force_instance=True, max_clients=16, max_body_size=MOST)
        self._ssl = _pinned(settings)
        #: Questions that are asked now, by session.
        self.under_way = Shared(0.0)

    async def get(self, url: str, path: str, token: str) -> Any:
        """Return the JSON that a session answers; ``url`` is the server's, as the hub tells it.

        Raise ``UnavailableError`` (``portal.session_silent``) for one that does not answer, and
        ``NotFoundError`` (``portal.session_lacks``) for one whose image has no such page.
        """
        parts = urlsplit(url)
        host = parts.netloc or urlsplit(self._settings.hub_host or self._settings.public_url).netloc
        request = HTTPRequest(
            f"{self._settings.proxy}{parts.path}{path}",
            headers={"Authorization": f"token {token}", "Host": host, "Accept": "application/json"},
            follow_redirects=False,
            connect_timeout=3.0,
            request_timeout=PATIENCE,
            ssl_options=self._ssl,
        )
        try:
            answer = await self._http.fetch(request, raise_error=False)
        except (OSError, HTTPClientError, HTTPStreamClosedError, HTTPTimeoutError) as error:
            raise _silent() from error
        if answer.code in {403, 404}:
            raise NotFoundError(
                "the image of this session does not tell", code="portal.session_lacks"
            )
        if answer.code != 200:
            raise _silent()
        try:
            return msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, RecursionError):
            raise _silent() from None

    def close(self) -> None:
        """Give the client up."""
        self._http.close()


def _silent() -> UnavailableError:
    return UnavailableError("the session does not answer", code="portal.session_silent")


def _pinned(settings: PortalSettings) -> ssl.SSLContext | None:
    """Return a context that trusts the proxy's own certificate and no other."""
    if not settings.https:
        return None
    path = settings.secrets / "tls.crt"
    try:
        context = ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{path}, the proxy's certificate: {error}") from None
    # the address is the proxy's own on an internal network; the certificate is pinned instead
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
