"""A person at the hub, without a browser: cookies and forms."""

from __future__ import annotations

import re
from typing import Any

import httpx

from support.fresh_http import FreshConnections
from support.hub_stand import PASSWORD, HubStand

XSRF = re.compile(r'name="_xsrf" value="([^"]+)"')
NAVIGATE = {"Sec-Fetch-Mode": "navigate"}


class Visitor:
    """Keeps cookies and fills in forms as their pages give them."""

    def __init__(self, stand: HubStand) -> None:
        # the proxy ends idle connections after 5 s, perhaps as one is taken
        self.http = httpx.Client(
            base_url=stand.url, follow_redirects=False, timeout=60, transport=FreshConnections()
        )

    def get(self, path: str) -> httpx.Response:
        """Open a page."""
        return self.http.get(path, headers=NAVIGATE)

    def token(self, path: str) -> str:
        """Return the XSRF token of a page's form."""
        page = self.get(path).text
        found = XSRF.search(page)
        assert found, f"{path} has no form: {page[:2000]}"
        return found.group(1)

    def post(self, path: str, form: dict[str, Any], *, page: str = "") -> httpx.Response:
        """Send a form with the token of its page."""
        filled = {**form, "_xsrf": self.token(page or path)}
        return self.http.post(path, data=filled, headers=NAVIGATE)

    def log_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """Fill in the log-in page."""
        return self.post("/hub/login", {"username": name, "password": password})

    def logged_in(self) -> bool:
        """Whether the home page opens."""
        return self.get("/hub/home").status_code == 200


def add_person(stand: HubStand, name: str) -> str:
    """Add a person by the REST API and return the password that was made up."""
    made = stand.api("POST", f"/users/{name}")
    assert made.status_code == 201, made.text
    answer = stand.api("POST", f"/users/{name}/password")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["password"])
