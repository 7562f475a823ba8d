"""The API engine's interface, straight to the engine on the edge network, as an admin.

The operator's own token is the hub's business alone. So each command makes a token of an admin that
lives for two minutes, and takes it back at its end; the audit names that admin.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import requests

from juliabox_cli.hub_api import HubApi, user_path
from juliabox_cli.installation import Installation
from juliabox_cli.rendering_api import engine_url
from juliabox_ext.errors import (
    ConflictError,
    DeadlineError,
    InternalError,
    JuliaBoxError,
    NoRoomError,
    NotFoundError,
    PolicyError,
    RequestError,
    UnavailableError,
)

#: Seconds that a token lives, and after which a new one is made.
_LIFE, _RENEW = 120, 80.0
#: Seconds for one request: a source may take a minute to load, and a call as long as one may last,
#: and longer to start.
_PATIENCE, _MARGIN = 180.0, 60.0

_FAMILY: dict[int, type[JuliaBoxError]] = {
    401: PolicyError,
    403: PolicyError,
    404: NotFoundError,
    409: ConflictError,
    429: NoRoomError,
    503: UnavailableError,
    504: DeadlineError,
}


def segments(name: str, least: int = 2) -> list[str]:
    """Return the parts of ``PUBLISHER/API``; raise ``RequestError`` for another form."""
    parts = name.split("/")
    if len(parts) < least or not all(parts):
        form = "PUBLISHER/API/FUNCTION" if least > 2 else "PUBLISHER/API"
        raise RequestError(f"{name!r} is no name of the form {form}", code="api.name")
    return parts


class EngineApi:
    """The engine of one installation, as its operator reaches it from the host."""

    def __init__(self, installation: Installation, person: str = "") -> None:
        config = installation.config
        self._url = engine_url(config, installation.addresses.api_edge)
        if not self._url:
            raise NotFoundError(
                "there are no published APIs here: apis.enabled is false in config.yaml",
                code="api.off",
            )
        self._longest = config.apis.longest_timeout
        self._hub = installation.hub
        self._person = person
        self._first = config.authentication.admin
        #: When it was made, the token, and its id.
        self._token: tuple[float, str, str] | None = None

    def manage(self, method: str, path: str, body: Any = None, query: Any = None) -> Any:
        """Return the decoded answer of a route below ``_/`` (None if empty); raise its fault."""
        answer = self.send(method, f"_/{path}", json=body, params=query)
        return answer.json() if answer.content else None

    def send(self, method: str, path: str, **given: Any) -> requests.Response:
        """Return a good answer; raise the fault of any other, ``UnavailableError`` of none."""
        headers = {"Authorization": f"token {self._valid_token()}", **given.pop("headers", {})}
        timeout = max(_PATIENCE, self._longest + _MARGIN)
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.request(
                    method, self._url + path, headers=headers, timeout=timeout, **given
                )
        except requests.RequestException as error:
            raise UnavailableError(
                f"the API engine does not answer ({type(error).__name__}); see `juliabox status` "
                "and `juliabox logs api`",
                code="api.silent",
            ) from None
        if answer.status_code >= 400:
            raise _fault(answer)
        return answer

    def close(self) -> None:
        """Take the token back; one that the hub does not take now ends by itself."""
        if self._token is not None:
            with contextlib.suppress(JuliaBoxError):
                self._hub.call("DELETE", f"{user_path(self._person)}/tokens/{self._token[2]}")
            self._token = None

    def _valid_token(self) -> str:
        if self._token is not None and time.monotonic() - self._token[0] < _RENEW:
            return self._token[1]
        self.close()
        self._person = self._person or _an_admin(self._hub, self._first)
        wanted = {"note": "juliabox api", "expires_in": _LIFE}
        made = self._hub.call("POST", f"{user_path(self._person)}/tokens", wanted)
        self._token = (time.monotonic(), made["token"], made["id"])
        return self._token[1]


@contextlib.contextmanager
def engine(installation: Installation, person: str = "") -> Iterator[EngineApi]:
    """Give the engine, with the rights of a person: of an admin unless named."""
    opened = EngineApi(installation, person)
    try:
        yield opened
    finally:
        opened.close()


def api_path(name: str) -> str:
    """Return the route of ``PUBLISHER/API`` below ``_/``."""
    parts = segments(name)
    if len(parts) != 2:
        raise RequestError(f"{name!r} is no name of the form PUBLISHER/API", code="api.name")
    return "apis/" + "/".join(quote(part, safe="") for part in parts)


def plain(text: str) -> str:
    """Return what people wrote, or functions printed, without what would command a terminal."""
    return "".join(one if one.isprintable() or one in "\n\t" else " " for one in text)


def _an_admin(hub: HubApi, first: str) -> str:
    """Return the first admin, else another one."""
    admins = [str(one["name"]) for one in hub.users() if one.get("admin")]
    if not admins:
        raise NotFoundError("the hub has no admin; make one with `juliabox user add NAME --admin`")
    return first if first in admins else admins[0]


def _fault(answer: requests.Response) -> JuliaBoxError:
    try:
        fault = answer.json()
    except ValueError:
        fault = None
    if not isinstance(fault, Mapping):
        fault = {"message": f"the API engine answered {answer.status_code}"}
    status = answer.status_code
    family = _FAMILY.get(status, RequestError if status < 500 else InternalError)
    lines = [str(fault.get("message", ""))]
    for frame in fault.get("frames") or []:
        lines.append(f"  line {frame.get('line')}, in {frame.get('function')}")
    if fault.get("output"):
        lines += ["it printed:", str(fault["output"]).rstrip("\n")]
    code = str(fault.get("code") or "internal")
    return family(plain("\n".join(lines)), code=code)
