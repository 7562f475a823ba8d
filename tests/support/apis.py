"""Published functions of a real installation, as the programs that call them see them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import docker
import httpx
from docker.errors import NotFound

from support.fresh_http import FreshConnections
from support.installation import Installation
from support.rest_user import RestUser, wait_for

#: Path of all APIs, and of the interface that manages them.
PREFIX = "/services/api"
INTERFACE = f"{PREFIX}/_"

#: Seconds for a source to be checked on a busy machine: a container is made for it.
SAVE = 120.0

#: Label that tells an API container from somebody's session.
API_CONTAINERS = "juliabox.kind=api"


class Apis:
    """An installation's published functions, with an admin's token to manage them all.

    An admin may save APIs of any person, so a test needs nobody who may publish.
    """

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        # as many connections as a test wants: the callers of a crowd wait for the engine alone
        self.http = httpx.Client(
            base_url=installation.url, timeout=SAVE, transport=FreshConnections()
        )
        self.admin = {"Authorization": f"token {installation.juliabox('token', 'admin').strip()}"}

    # -- to manage ------------------------------------------------------------------------------

    def manage(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the interface as an admin."""
        return self.http.request(method, f"{INTERFACE}/{path}", headers=self.admin, **options)

    def save(
        self,
        publisher: str,
        api: str,
        source: str,
        functions: list[str],
        *,
        activate: bool = True,
        **choices: Any,
    ) -> dict[str, Any]:
        """Save a version, which answers at once, and return what the interface tells of it."""
        answer = self.try_to_save(publisher, api, source, functions, activate=activate, **choices)
        assert answer.status_code in {200, 201}, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def try_to_save(
        self,
        publisher: str,
        api: str,
        source: str,
        functions: list[str],
        *,
        activate: bool = True,
        **choices: Any,
    ) -> httpx.Response:
        """Ask for a version to be saved; it is public unless ``choices`` say otherwise."""
        body = {
            "source": source,
            "functions": functions,
            "activate": activate,
            "options": {"access": "public", **choices},
        }
        return self.manage("PUT", f"apis/{publisher}/{api}", json=body)

    @contextlib.contextmanager
    def published(
        self, publisher: str, api: str, source: str, functions: list[str], **choices: Any
    ) -> Iterator[None]:
        """Have an API published until the block ends."""
        self.save(publisher, api, source, functions, **choices)
        try:
            yield
        finally:
            self.manage("DELETE", f"apis/{publisher}/{api}")

    def stats(self, publisher: str, api: str) -> dict[str, Any]:
        """Return what an API keeps busy, and its last hour minute by minute."""
        answer = self.manage("GET", f"apis/{publisher}/{api}/stats?hours=1").raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def containers(self, publisher: str, api: str) -> int:
        """Return how many containers an API has now."""
        return int(self.stats(publisher, api)["containers"])

    def log(self, publisher: str, api: str) -> list[dict[str, Any]]:
        """Return an API's log."""
        answer = self.manage("GET", f"apis/{publisher}/{api}/log").raise_for_status()
        found: list[dict[str, Any]] = answer.json()["lines"]
        return found

    # -- to call --------------------------------------------------------------------------------

    def call(
        self, address: str, method: str = "GET", *, token: str = "", **options: Any
    ) -> httpx.Response:
        """Call a function at ``publisher/api/function/argument?keyword=value``."""
        headers = dict(options.pop("headers", {}))
        if token:
            headers["Authorization"] = f"token {token}"
        return self.http.request(method, f"{PREFIX}/{address}", headers=headers, **options)

    def call_started(
        self, address: str, *, token: str = "", seconds: float = 90.0, **options: Any
    ) -> httpx.Response:
        """Call, and again for as long as no container could be made in time: machines are busy."""
        end = time.monotonic() + seconds
        while True:
            answer = self.call(address, token=token, **options)
            if answer.status_code != 503 or time.monotonic() > end:
                return answer
            time.sleep(0.5)

    def await_answer(self, address: str, seconds: float = 30.0) -> float:
        """Wait until a call gets a good answer; return the seconds that it took."""

        def answers() -> bool:
            return self.call(address).status_code == 200

        return wait_for(answers, seconds, f"{address} does not answer")


def token_for(person: RestUser, *scopes: str) -> str:
    """Return a token of a person's that has these scopes alone."""
    body = {"note": "test", **({"scopes": list(scopes)} if scopes else {})}
    answer = person.hub("POST", "/tokens", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def fault(answer: httpx.Response) -> str:
    """Return the code of a failure, which every failure has."""
    found = answer.json()
    assert set(found) >= {"code", "message"}, answer.text
    return str(found["code"])


def api_containers(installation: Installation) -> list[dict[str, Any]]:
    """Return what the engine tells of each running API container, warm ones among them."""
    client = docker.from_env().api
    labels = {"label": [f"juliabox.installation={installation.name}", API_CONTAINERS]}
    found = []
    try:
        for item in client.containers(filters=labels):
            with contextlib.suppress(NotFound):
                found.append(client.inspect_container(item["Id"]))
    finally:
        client.close()
    return [one for one in found if one["State"]["Pid"]]
