"""The hub's REST API with the operator's token, straight to the hub on the edge network."""

from __future__ import annotations

import warnings
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import urllib3

from juliabox_cli.addresses import Addresses
from juliabox_cli.config import Config
from juliabox_cli.ports import HUB_PORT
from juliabox_cli.state import State
from juliabox_ext.errors import (
    ConflictError,
    InternalError,
    JuliaBoxError,
    NotFoundError,
    PolicyError,
    RequestError,
    UnavailableError,
)

_FAMILY: dict[int, type[JuliaBoxError]] = {
    400: RequestError,
    401: PolicyError,
    403: PolicyError,
    404: NotFoundError,
    409: ConflictError,
    503: UnavailableError,
}


class HubApi:
    """The hub of one installation, as its operator reaches it from the host."""

    def __init__(self, config: Config, state: State, addresses: Addresses) -> None:
        self._base = f"http://{addresses.hub_edge}:{HUB_PORT}{config.base_url}hub/api"
        self._token = state.secrets / "operator" / "hub_token"

    def call(self, method: str, path: str, body: Any = None, timeout: float = 30.0) -> Any:
        """Return the decoded answer (None if empty); raise the error that the status stands for."""
        headers = {"Authorization": f"token {self._token.read_text().strip()}"}
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.request(
                    method, self._base + path, json=body, headers=headers, timeout=timeout
                )
        except requests.RequestException as error:
            raise UnavailableError(
                f"the hub does not answer ({type(error).__name__}); see `juliabox status` and "
                "`juliabox logs hub`",
                code="hub.silent",
            ) from None
        if answer.status_code >= 400:
            raise _error(method, path, answer)
        return answer.json() if answer.content else None

    def users(self) -> list[dict[str, Any]]:
        """Return all users, page after page."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", f"/users?limit=200&offset={len(found)}")
            found += page
            if len(page) < 200:
                return found


def user_path(name: str) -> str:
    """Return the path of a user's resource."""
    return f"/users/{quote(name, safe='')}"


def _error(method: str, path: str, answer: requests.Response) -> JuliaBoxError:
    try:
        said = str(answer.json().get("message", ""))
    except ValueError:
        said = ""
    family = _FAMILY.get(answer.status_code, InternalError)
    return family(f"the hub answered {answer.status_code} to {method} {path}: {said or 'no text'}")


def through_proxy(
    config: Config, path: str = "hub/api", timeout: float = 5.0, host: str = ""
) -> int:
    """Return the status that the service gives on its public port, or 0 if nothing answers.

    ``host`` is the name that is asked for, by default the hub's. The certificate is not verified:
    the request goes to this machine's own port and carries nothing.
    """
    address = config.local_address
    scheme = "https" if config.https_on else "http"
    headers = {}
    if config.subdomain_host:
        headers["Host"] = host or urlsplit(config.subdomain_host).netloc
    try:
        with requests.Session() as session, warnings.catch_warnings():
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
            session.trust_env = False
            answer = session.get(
                f"{scheme}://{address}:{config.port}{config.base_url}{path}",
                headers=headers,
                timeout=timeout,
                verify=False,
                allow_redirects=False,
            )
    except requests.RequestException:
        return 0
    return answer.status_code
