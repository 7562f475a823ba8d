"""What a person does to log in at a provider."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import quote

import httpx

from support.hub_stand import HubStand
from support.login_providers import Imitation
from support.visitor import Visitor

ADA = {
    "sub": "subject-ada",
    "id": 7,
    "login": "Ada",
    "email": "ada@example.org",
    "email_verified": True,
    "verified_email": True,
    "emails": [
        {"email": "old@elsewhere.example", "primary": False, "verified": True},
        {"email": "ada@example.org", "primary": True, "verified": True},
    ],
}


CLIENT = {"client_id": "box", "client_secret": "canary-client-secret"}


def settings_of(
    imitation: Imitation, provider: str = "http://127.0.0.1:9"
) -> dict[str, dict[str, Any]]:
    """Settings of the log-ins at a provider."""
    url = imitation.url
    urls = {
        "authorize_url": f"{url}/authorize",
        "token_url": f"{url}/token",
        "userinfo_url": f"{url}/userinfo",
    }
    return {
        "oidc": {
            **CLIENT,
            "issuer": provider,
            "username_claim": "email",
            "button": "Example University",
            "allow_all": True,
            "admins": ["dean@example.org"],
        },
        "google": {**CLIENT, **urls, "mail_domains": ["example.org"]},
        "github": {**CLIENT, "url": url, "userinfo_url": f"{url}/api/v3/user",
                   "mail_domains": ["example.org"], "allow": ["Ada"]},
        "linkedin": {**CLIENT, **urls, "issuer": url, "jwks_url": f"{url}/keys",
                     "allow_all": True},
    }  # fmt: skip


def answer_of(visitor: Visitor, login: str, where_to: str = "", sub: str = "") -> str:
    """Press a button, let the provider say yes, and return the address that it sends back to."""
    query = f"?next={quote(where_to)}" if where_to else ""
    begun = visitor.get(f"/hub/{login}/oauth_login{query}")
    assert begun.status_code == 302, begun.text[:2000]
    form: dict[str, Any] = {"data": {"sub": sub}} if sub else {}
    method = "POST" if sub else "GET"
    answer = httpx.request(method, begun.headers["location"], timeout=60, **form)
    assert answer.status_code == 302, answer.text[:2000]
    return str(answer.headers["location"])


def log_in_at(visitor: Visitor, login: str, where_to: str = "", sub: str = "") -> httpx.Response:
    """Log in at a provider and return what the hub answers."""
    return visitor.get(answer_of(visitor, login, where_to, sub))


def tell_openid(provider: str, sub: str, **claims: Any) -> None:
    """Let the real provider know a person."""
    httpx.put(f"{provider}/users/{quote(sub)}", json=claims, timeout=60).raise_for_status()


def become(imitation: Imitation, **changes: Any) -> None:
    """Let the imitations say who comes next: Ada, with these changes."""
    imitation.become(**{**ADA, **changes})


def who(visitor: Visitor) -> str:
    """Return the name of whoever is logged in, as the pages show it; empty if nobody is."""
    page = visitor.get("/hub/home")
    found = re.search(r'class="jb-name" title="([^"]*)"', page.text)
    return unescape(found[1]) if page.status_code == 200 and found else ""


def users(stand: HubStand) -> set[str]:
    """Return the names of all people that the hub knows."""
    return {one["name"] for one in stand.api("GET", "/users").json()}
